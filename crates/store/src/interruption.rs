//! What a lease leaves behind when its holder is gone.

use angarium_domain::attempt::{AttemptRecord, Exchange};
use angarium_domain::delivery::{Delivery, State};
use angarium_domain::outcome::{Class, Failure, Outcome};
use angarium_domain::time::Timestamp;

/// Makes a delivery in flight due at `now`, with one interruption more, and answers the record of
/// the attempt that nobody will settle.
///
/// When the attempt began and where it went died with its holder: the record begins when we
/// noticed and names no endpoint.
pub(crate) fn interrupt(delivery: &mut Delivery, now: Timestamp) -> AttemptRecord {
    let record = AttemptRecord {
        number: delivery.next_attempt(),
        started_at: now,
        exchange: Exchange::failed(Failure::Interrupted, "", "the process ended during the attempt"),
        class: Class::Retry,
        delay: None,
    };
    delivery.state = State::Scheduled { due_at: now };
    delivery.interruptions += 1;
    delivery.last_outcome = Some(Outcome::Failed { failure: Failure::Interrupted });
    record
}

//! An attempt that comes back to the API is refused: a subscription that leads to one of our own routes, such
//! as another one's test, would otherwise feed itself for ever.
//!
//! Names and addresses of our own are refused before anything is sent. This is for those that we cannot know: a
//! proxy, a load balancer, a name of the operator's. No body of ours is one that the API takes for an event, so
//! nobody's chain of services is cut by it.

use angarium_channels::webhook::AGENT_PREFIX;
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};

use crate::problem::Problem;

/// Refuses what says of itself that it is an attempt.
///
/// 403 and not 508: the attempt must not be made again, and its owner finds the reason in the delivery's log.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    let is_attempt =
        headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(AGENT_PREFIX.as_bytes()));
    if is_attempt { Err(looped()) } else { Ok(()) }
}

fn looped() -> Problem {
    let message = "this is an attempt of this service itself: its webhook leads back here";
    Problem::new(StatusCode::FORBIDDEN, "loop_detected", message)
}

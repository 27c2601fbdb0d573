//! Looking up what the DNS says of the domain that mails come from.

use std::time::Duration;

use angarium_domain::sender_domain::{Expected, Found, Report, SenderDomain};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::egress::{LookUp, ResolveError};

/// The deadline of each lookup; all run at a time.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks every record up and compares. Takes five seconds at most, and changes nothing.
pub async fn examine(names: &dyn LookUp, sender: &SenderDomain) -> Report {
    let expected = sender.expected();
    let found = join_all(expected.iter().map(|expected| look_up(names, expected))).await;
    sender.report(found)
}

async fn look_up(names: &dyn LookUp, expected: &Expected) -> Found {
    match timeout(LOOKUP_TIMEOUT, names.look_up(&expected.name, expected.record_type)).await {
        Ok(Ok(values)) => Found::Values(values),
        Ok(Err(ResolveError::NoAddress)) => Found::Nothing,
        Ok(Err(_)) | Err(_) => Found::NoAnswer,
    }
}

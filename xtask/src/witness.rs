//! The receiver's side of the story: what arrived where, whether it was whole, and whether it was signed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use aws_lc_rs::hmac;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use hyper::{StatusCode, http::request::Parts};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    lane::Lane,
    ledger::Arrival,
    producer,
    receiver::{Guest, Reply},
};

/// No process opens its store and sends a request in less; what arrives earlier was on its way before.
const STILL_FROM_BEFORE: Duration = Duration::from_millis(3);

/// Notes every arrival of a trial.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    secrets: OnceLock<HashMap<Lane, String>>,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    arrivals: Vec<Arrival>,
    seen: HashMap<Lane, HashSet<String>>,
    restarted: Option<Instant>,
    first_deliveries: Vec<Duration>,
}

impl Witness {
    /// Tells the secrets that requests must be signed with; before that, none counts as signed.
    pub(crate) fn expect_signatures(&self, secrets: HashMap<Lane, String>) {
        self.secrets.set(secrets).expect("the lanes are subscribed once in a trial");
    }

    /// Notes that the product was started anew: the next arrival ends the outage.
    pub(crate) fn note_restart(&self, at: Instant) {
        self.notes().restarted = Some(at);
    }

    /// The time from each start to the first arrival after it.
    pub(crate) fn first_deliveries(&self) -> Vec<Duration> {
        self.notes().first_deliveries.clone()
    }

    /// How much has arrived so far.
    pub(crate) fn count(&self) -> usize {
        self.notes().arrivals.len()
    }

    /// How many requests came so far.
    pub(crate) fn arrivals_made(&self) -> usize {
        self.notes().arrivals.len()
    }

    /// Hands over what was noted.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.notes().arrivals)
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().expect("taking notes does not panic")
    }

    fn is_signed(&self, lane: Lane, head: &Parts, body: &[u8]) -> bool {
        let secret = self.secrets.get().and_then(|secrets| secrets.get(&lane));
        let claimed = header(head, "x-arjun-signature").and_then(|value| value.strip_prefix("sha256="));
        secret.zip(claimed).is_some_and(|(secret, claimed)| signature(secret, body) == claimed)
    }
}

impl Guest for Witness {
    fn receive(&self, head: &Parts, body: &Bytes) -> Reply {
        let Some(lane) = Lane::at(head.uri.path()) else {
            return Reply::Now(StatusCode::IM_A_TEAPOT);
        };
        let event_id = header(head, "webhook-id").unwrap_or("a request without webhook-id").to_owned();
        let (intact, signed) = (is_intact(&event_id, body), self.is_signed(lane, head, body));

        let mut notes = self.notes();
        let is_new = notes.seen.entry(lane).or_default().insert(event_id.clone());
        let reply = lane.reply(is_new);
        let taken = matches!(reply, Reply::Now(code) | Reply::After(_, code) if code.is_success());
        notes.arrivals.push(Arrival { lane, event_id, intact, signed, taken });
        if let Some(outage) =
            notes.restarted.map(|at| at.elapsed()).filter(|outage| *outage > STILL_FROM_BEFORE)
        {
            notes.restarted = None;
            notes.first_deliveries.push(outage);
        }
        reply
    }
}

/// The native body's own id is the header's, and its payload is what the producer sent, byte for byte.
fn is_intact(event_id: &str, body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        id: &'a str,
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Payload {
        number: u64,
    }

    let Ok(body) = serde_json::from_slice::<Body>(body) else { return false };
    let number = serde_json::from_str::<Payload>(body.payload.get()).map(|payload| payload.number);
    body.id == event_id && number.is_ok_and(|number| body.payload.get() == producer::payload(number))
}

fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    HEXLOWER.encode(hmac::sign(&key, body).as_ref())
}

fn header<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn body(number: u64) -> String {
        format!(r#"{{"id":"evt_1","type":"trial.tick","payload":{}}}"#, producer::payload(number))
    }

    /// Sends `body` to the flaky lane, signed with `secret`, and returns what was noted and answered.
    fn arrive(witness: &Witness, body: &str, secret: &str) -> Reply {
        let request = Request::post("/flaky")
            .header("webhook-id", "evt_1")
            .header("x-arjun-signature", format!("sha256={}", signature(secret, body.as_bytes())))
            .body(());
        witness.receive(&request.unwrap().into_parts().0, &Bytes::from(body.to_owned()))
    }

    fn witness() -> Witness {
        let witness = Witness::default();
        witness.expect_signatures(HashMap::from([(Lane::Flaky, "whsec_a".to_owned())]));
        witness
    }

    #[test]
    fn the_signature_is_the_known_one_of_a_known_body() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }

    #[test]
    fn whole_and_signed_arrivals_are_told_from_others() {
        let witness = witness();
        arrive(&witness, &body(7), "whsec_a");
        arrive(&witness, &body(7), "whsec_b");
        arrive(&witness, &body(7).replace("1.0e2", "100"), "whsec_a");
        arrive(&witness, &body(7).replace("evt_1", "evt_2"), "whsec_a");
        let noted: Vec<_> =
            witness.arrivals().iter().map(|arrival| (arrival.intact, arrival.signed)).collect();
        assert_eq!(noted, [(true, true), (true, false), (false, true), (false, true)]);
    }

    #[test]
    fn a_flaky_lane_takes_an_event_when_it_comes_again() {
        let witness = witness();
        let replies = [arrive(&witness, &body(7), "whsec_a"), arrive(&witness, &body(7), "whsec_a")];
        assert_eq!(replies, [Reply::Now(StatusCode::SERVICE_UNAVAILABLE), Reply::Now(StatusCode::OK)]);
        assert_eq!(witness.arrivals().iter().map(|arrival| arrival.taken).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn the_first_arrival_after_a_restart_ends_the_outage_once() {
        let witness = witness();
        witness.note_restart(Instant::now().checked_sub(Duration::from_millis(50)).unwrap());
        arrive(&witness, &body(1), "whsec_a");
        arrive(&witness, &body(2), "whsec_a");
        let outages = witness.first_deliveries();
        assert!(outages.len() == 1 && outages[0] >= Duration::from_millis(50), "{outages:?}");
    }
}

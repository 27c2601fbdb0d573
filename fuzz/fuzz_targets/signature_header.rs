//! Whatever stands in the headers that prove an origin: reading them never fails, nothing forged holds,
//! and a right token holds whatever stands beside it.

#![no_main]

use std::time::Duration;

use angarium_domain::ids::EventId;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::{SigningProfile, ToSign};
use angarium_domain::time::Timestamp;
use angarium_verify::{Received, Verdict, VerifyKey, header_in, verify};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 6] = [
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-arjun-signature",
    "x-event-signature",
    "x-event-timestamp",
];

fn verdicts(headers: &[(String, String)], body: &[u8], now: Timestamp) -> Vec<Verdict> {
    let keys = [
        VerifyKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret"),
        VerifyKey::parse("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=").expect("a public key"),
    ];
    let received = Received { header: &|name| header_in(headers, name), body };
    let now = now.as_seconds() as u64;
    verify(&keys, &received, now, Duration::from_secs(300)).iter().map(|finding| finding.verdict).collect()
}

fuzz_target!(|input: ([Option<&str>; 6], &[u8])| {
    let (values, body) = input;
    let now = Timestamp::from_seconds(1_614_265_330);
    let named = NAMES.iter().zip(values);
    let headers: Vec<(String, String)> =
        named.filter_map(|(name, value)| Some(((*name).to_owned(), value?.to_owned()))).collect();
    assert!(!verdicts(&headers, body, now).contains(&Verdict::Verified), "forged: {headers:?}");

    let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
    let event_type = "order.paid".parse().expect("a type");
    let to_sign =
        ToSign { event_id: EventId::from_bytes([1; 16]), event_type: &event_type, attempt: 1, at: now, body };
    let signed = SigningProfile::Standard.headers(&SigningKeys::new(key), &to_sign);
    let beside = values[2].unwrap_or_default();
    let headers: Vec<(String, String)> = signed
        .into_iter()
        .map(|(name, value)| {
            let value = if name == "webhook-signature" { format!("{beside} {value}") } else { value };
            (name.to_owned(), value)
        })
        .collect();
    assert!(verdicts(&headers, body, now).contains(&Verdict::Verified), "a right token beside {beside:?}");
});

//! Fixed vectors, the shapes of the contract, and an independent library as judge.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const MFK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const C2F: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PAIR: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const MSG: (&str, &str) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330");
const BODY: &str = r#"{"test": 2432232314}"#;
const AT: Timestamp = Timestamp::from_seconds(1_614_265_330);

fn key(text: &str) -> SigningKey {
    SigningKey::parse(text).expect("a secret")
}

/// The keys after rotating from `old` to `new` shortly before [`AT`].
fn rotated(old: &str, new: &str) -> SigningKeys {
    let before = AT.saturating_sub(Duration::from_secs(10));
    SigningKeys::new(key(old)).rotated(key(new), Duration::from_hours(1), before)
}

fn event_type() -> EventType {
    "link.clicked".parse().expect("a type")
}

/// The headers of attempt 3 of an event whose id is `evt_` and 26 zeros.
fn headers(profile: SigningProfile, keys: &SigningKeys) -> Vec<(&'static str, String)> {
    let event_id = EventId::from_bytes([0; 16]);
    let request = ToSign { event_id, event_type: &event_type(), attempt: 3, at: AT, body: BODY.as_bytes() };
    profile.headers(keys, &request)
}

fn names(headers: &[(&'static str, String)]) -> Vec<&'static str> {
    headers.iter().map(|(name, _)| *name).collect()
}

#[track_caller]
fn check(secret: &str, (id, timestamp): (&str, &str), body: &str, expected: &str) {
    let key = key(secret);
    assert_eq!(standard_webhooks::signature([&key].into_iter(), id, timestamp, body.as_bytes()), expected);
}

/// The vectors that the official libraries share.
#[test]
fn published_vectors_of_standard_webhooks_come_out() {
    check(MFK, MSG, BODY, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    check(
        C2F,
        ("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553"),
        r#"{"email":"test@example.com","username":"test_user"}"#,
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    );
    check(
        PAIR,
        MSG,
        BODY,
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
    );
    assert_eq!(key(PAIR).shown(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
}

#[test]
fn bodies_of_every_kind_are_signed_byte_by_byte() {
    check(MFK, MSG, "", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=");
    check(MFK, MSG, "{}", "v1,aZgkZHxTDvZJsDWtN4dfyyZWkpgTgg60bdob9DOG8Mc=");
    check(MFK, MSG, r#"{"a":"é✓𝄞"}"#, "v1,vQQVtTs87nPSThnVt8xuy0+ht6GGGEyTx8INfYEK76k=");
    check(MFK, MSG, &format!("{BODY}\n"), "v1,FIt3hYjPQCdyuyMOw+0dZwwjGRAx1Il4CsgdFnOmrcc=");
}

#[test]
fn the_shortest_and_the_longest_key_sign() {
    check(
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        MSG,
        BODY,
        "v1,/485aUtxlie+TIScVpHggMfqOB4so2KWb7+Gf727B44=",
    );
    check(
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==",
        MSG,
        BODY,
        "v1,LZ5zuwHTqQH3VM8ERUusjzVQq1FXzemvpR8Mk7Ivp5c=",
    );
}

#[test]
fn while_a_rotation_overlaps_every_live_key_signs_newest_first() {
    let keys = rotated(MFK, C2F);
    assert_eq!(
        standard_webhooks::signature(keys.live(AT), MSG.0, MSG.1, BODY.as_bytes()),
        "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    );
    let later = keys.live(AT + Duration::from_hours(1));
    assert_eq!(
        standard_webhooks::signature(later, MSG.0, MSG.1, BODY.as_bytes()),
        "v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44="
    );
}

#[test]
fn a_secret_and_a_key_pair_may_overlap_while_a_receiver_moves() {
    let headers = headers(SigningProfile::StandardV1a, &rotated(MFK, PAIR));
    let (_, list) = headers.last().expect("a signature");
    let versions: Vec<_> = list.split(' ').map(|token| token.split_once(',').expect("a token").0).collect();
    assert_eq!(versions, ["v1a", "v1"]);
}

#[test]
fn single_valued_headers_are_made_with_the_newest_secret() {
    for profile in [SigningProfile::Arjun, SigningProfile::Platformxe] {
        let overlapping = headers(profile, &rotated(MFK, C2F));
        let newest = headers(profile, &SigningKeys::new(key(C2F)));
        assert_eq!(overlapping[0], newest[0]);
        assert_ne!(overlapping.last(), newest.last(), "webhook-signature carries both");
    }
}

#[test]
fn arjun_sends_its_own_headers_and_the_standard_ones() {
    let headers = headers(SigningProfile::Arjun, &SigningKeys::new(key(MFK)));
    assert_eq!(headers[0].1, "sha256=80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c");
    assert_eq!(
        names(&headers),
        [
            "x-arjun-signature",
            "x-arjun-event-type",
            "x-arjun-attempt",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature"
        ]
    );
    assert_eq!(headers[1].1, "link.clicked");
    assert_eq!(headers[2].1, "3");
    assert_eq!(headers[3].1, "evt_00000000000000000000000000");
    assert_eq!(headers[4].1, "1614265330");
}

#[test]
fn platformxe_sends_its_own_headers_and_the_standard_ones() {
    let headers = headers(SigningProfile::Platformxe, &SigningKeys::new(key(MFK)));
    assert_eq!(
        names(&headers),
        [
            "x-event-signature",
            "x-event-timestamp",
            "x-event-type",
            "x-event-id",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature"
        ]
    );
    assert_eq!(headers[0].1, "2e37df5d4a028c51a7f3133d64ae1e300d2c2c900f1b1d49d4369ad2530f8964");
    assert_eq!(headers[1].1, "1614265330");
    assert_eq!(headers[2].1, "link.clicked");
    assert_eq!(headers[3].1, "evt_00000000000000000000000000");
}

#[test]
fn the_standard_profiles_send_the_standard_headers_alone() {
    for (profile, secret) in [(SigningProfile::Standard, MFK), (SigningProfile::StandardV1a, PAIR)] {
        let headers = headers(profile, &SigningKeys::new(key(secret)));
        assert_eq!(names(&headers), ["webhook-id", "webhook-timestamp", "webhook-signature"]);
    }
}

#[test]
fn a_profile_accepts_keys_of_its_own_kind_only() {
    for profile in [SigningProfile::Arjun, SigningProfile::Platformxe, SigningProfile::Standard] {
        assert!(profile.accepts(&key(MFK)) && !profile.accepts(&key(PAIR)), "{profile}");
    }
    assert!(
        SigningProfile::StandardV1a.accepts(&key(PAIR)) && !SigningProfile::StandardV1a.accepts(&key(MFK))
    );
}

#[test]
fn profiles_keep_their_text_form() {
    use SigningProfile::{Arjun, Platformxe, Standard, StandardV1a};
    for profile in [Arjun, Platformxe, Standard, StandardV1a] {
        let json = serde_json::to_string(&profile).expect("text");
        assert_eq!(json, format!("\"{}\"", profile.as_str()));
        assert_eq!(serde_json::from_str::<SigningProfile>(&json).expect("a profile"), profile);
    }
}

#[expect(clippy::disallowed_methods, reason = "the judging library compares with the real clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Timestamp::from_millis(since.as_millis() as i64)
}

/// Whether the library of the standard's authors accepts a request.
fn accepted_elsewhere(secret: &str, headers: &[(&'static str, String)], body: &str) -> bool {
    let judge = standardwebhooks::Webhook::new(secret).expect("a secret");
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().expect("a header name"), value.parse().expect("a header value")));
    judge.verify(body.as_bytes(), &headers.collect()).is_ok()
}

proptest! {
    #[test]
    fn an_independent_library_accepts_what_we_sign(
        random: [u8; 32], id: [u8; 16], attempt in 1_u32..20, body in "\\PC{0,200}", profile in 0..3_usize,
    ) {
        let profile = [SigningProfile::Arjun, SigningProfile::Platformxe, SigningProfile::Standard][profile];
        let (old, new) = (SigningKey::hmac(random), SigningKey::hmac([7; 32]));
        let secrets = [old.shown(), new.shown()];
        let at = now();
        let keys = SigningKeys::new(old).rotated(new, Duration::from_mins(1), at);
        let event_id = EventId::from_bytes(id);
        let request = ToSign { event_id, event_type: &event_type(), attempt, at, body: body.as_bytes() };
        let headers = profile.headers(&keys, &request);
        for secret in &secrets {
            prop_assert!(accepted_elsewhere(secret, &headers, &body));
        }
        let changed = body + " ";
        prop_assert!(!accepted_elsewhere(&secrets[0], &headers, &changed));
    }
}

//! The sender's side of this workspace against the receiver's: what is signed is accepted, and
//! nothing that differs from it is.

use std::time::Duration;

use angarium_domain::event_type::EventType;
use angarium_domain::ids::EventId;
use angarium_domain::secret::{SigningKey, SigningKeys};
use angarium_domain::signature::{SigningProfile, ToSign};
use angarium_domain::time::Timestamp;
use angarium_verify::{InvalidVerifyKey, Refusal, Verifier, header_in};
use proptest::prelude::*;

const AT: u64 = 1_614_265_330;
const PROFILES: [SigningProfile; 4] = [
    SigningProfile::Arjun,
    SigningProfile::Platformxe,
    SigningProfile::Standard,
    SigningProfile::StandardV1a,
];

/// A request as it was signed, and what its receiver was shown.
#[derive(Debug, Clone)]
struct Signed {
    profile: SigningProfile,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Newest first.
    secrets: [String; 2],
}

/// Signs while a rotation overlaps.
fn sign(profile: SigningProfile, old: [u8; 32], new: [u8; 32], id: [u8; 16], body: Vec<u8>) -> Signed {
    let key = |seed| if profile.is_asymmetric() { SigningKey::ed25519(seed) } else { SigningKey::hmac(seed) };
    let (old, new) = (key(old), key(new));
    let secrets = [new.shown(), old.shown()];
    let at = Timestamp::from_seconds(AT as i64);
    let keys = SigningKeys::new(old).rotated(new, Duration::from_hours(1), at);
    let event_type: EventType = "order.paid".parse().expect("a type");
    let to_sign =
        ToSign { event_id: EventId::from_bytes(id), event_type: &event_type, attempt: 1, at, body: &body };
    let headers = profile.headers(&keys, &to_sign);
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Signed { profile, headers, body, secrets }
}

/// A receiver's judgement by the header of the profile itself.
fn judge(signed: &Signed, secret: &str) -> Result<(), Refusal> {
    let verifier: Result<Verifier, InvalidVerifyKey> = match signed.profile {
        SigningProfile::Arjun => Verifier::arjun([secret]),
        SigningProfile::Platformxe => Verifier::platformxe([secret]),
        SigningProfile::Standard | SigningProfile::StandardV1a => Verifier::new([secret]),
    };
    verifier.expect("a secret").verify(&|name| header_in(&signed.headers, name), &signed.body, AT)
}

/// A receiver's judgement by `webhook-signature`, which every profile sends.
fn judge_by_standard(signed: &Signed, secret: &str) -> Result<(), Refusal> {
    let verifier = Verifier::new([secret]).expect("a secret");
    verifier.verify(&|name| header_in(&signed.headers, name), &signed.body, AT)
}

/// The headers that a profile's signature lives by, and is over.
fn covered(profile: SigningProfile) -> &'static [&'static str] {
    match profile {
        SigningProfile::Arjun => &["x-arjun-signature"],
        SigningProfile::Platformxe => &["x-event-signature", "x-event-timestamp"],
        SigningProfile::Standard | SigningProfile::StandardV1a => {
            &["webhook-signature", "webhook-id", "webhook-timestamp"]
        }
    }
}

fn flip(bytes: &mut [u8], bit: usize) {
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

prop_compose! {
    fn any_signed()(
        profile in 0..PROFILES.len(), old: [u8; 32], new: [u8; 32], id: [u8; 16],
        body in prop::collection::vec(any::<u8>(), 1..300),
    ) -> Signed {
        sign(PROFILES[profile], old, new, id, body)
    }
}

proptest! {
    #[test]
    fn what_is_signed_is_accepted(signed in any_signed()) {
        prop_assert_eq!(judge(&signed, &signed.secrets[0]), Ok(()));
        for secret in &signed.secrets {
            prop_assert_eq!(judge_by_standard(&signed, secret), Ok(()), "both secrets while they overlap");
        }
    }

    #[test]
    fn a_bit_of_the_body_makes_it_another_one(signed in any_signed(), bit: usize) {
        let mut changed = signed.clone();
        flip(&mut changed.body, bit);
        prop_assert!(judge(&changed, &signed.secrets[0]).is_err());
        prop_assert!(judge_by_standard(&changed, &signed.secrets[0]).is_err());
    }

    /// Of a rotation only the newest token is left, so that the other one does not save it.
    #[test]
    fn a_bit_of_a_covered_header_makes_it_another_one(signed in any_signed(), which: usize, bit: usize) {
        let names = covered(signed.profile);
        let name = names[which % names.len()];
        let mut changed = signed.clone();
        for (known, value) in &mut changed.headers {
            if known == "webhook-signature" {
                *value = value.split(' ').next().expect("a token").to_owned();
            }
            if known == name {
                let mut bytes = value.clone().into_bytes();
                flip(&mut bytes, bit);
                // Hexadecimal digits mean the same in either case.
                let same = value.eq_ignore_ascii_case(&String::from_utf8_lossy(&bytes));
                prop_assume!(!(same && signed.profile != SigningProfile::Standard
                    && signed.profile != SigningProfile::StandardV1a));
                // Bytes that are no text never reach a receiver as a header.
                prop_assume!(bytes.is_ascii());
                *value = String::from_utf8(bytes).expect("ASCII");
            }
        }
        prop_assert!(judge(&changed, &signed.secrets[0]).is_err(), "{:?}", changed.headers);
    }

    #[test]
    fn another_secret_verifies_nothing(signed in any_signed(), other: [u8; 32]) {
        let other = sign(signed.profile, other, other, [0; 16], vec![0]).secrets[0].clone();
        prop_assume!(!signed.secrets.contains(&other));
        prop_assert!(judge(&signed, &other).is_err());
        prop_assert!(judge_by_standard(&signed, &other).is_err());
    }

    #[test]
    fn whatever_comes_is_judged_and_nothing_panics(
        names in prop::collection::vec(0..7_usize, 0..9),
        values in prop::collection::vec("\\PC{0,60}", 9),
        secret in "(whsec_|whpk_|whsk_)?[A-Za-z0-9+/=]{0,90}",
        body in prop::collection::vec(any::<u8>(), 0..100),
        now: u64,
    ) {
        const NAMES: [&str; 7] = [
            "x-arjun-signature", "x-event-signature", "x-event-timestamp", "webhook-id",
            "webhook-timestamp", "webhook-signature", "content-type",
        ];
        let headers: Vec<_> =
            names.iter().zip(values).map(|(name, value)| (NAMES[*name].to_owned(), value)).collect();
        let verifiers =
            [Verifier::new([&secret]), Verifier::arjun([&secret]), Verifier::platformxe([&secret])];
        for verifier in verifiers.into_iter().flatten() {
            prop_assert!(verifier.verify(&|name| header_in(&headers, name), &body, now).is_err());
        }
    }
}

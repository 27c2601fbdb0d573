//! The answer that most receivers want: yes, or why not.

use std::fmt;
use std::time::Duration;

use crate::request::{Finding, Profile, Received, TOLERANCE, verify};
use crate::verdict::Verdict;
use crate::{InvalidVerifyKey, VerifyKey, headers};

/// Checks requests with the secrets of one subscription.
///
/// ```
/// use std::time::Duration;
/// use angarium_verify::Verifier;
///
/// // A public key verifies without being able to forge.
/// let verifier = Verifier::new(["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="])?;
/// let strict = verifier.tolerating(Duration::from_secs(30));
/// let refusal = strict.verify(&|_| None, b"{}", 1_614_265_330).unwrap_err();
/// assert_eq!(refusal.to_string(), "webhook-signature: not sent");
/// # Ok::<(), angarium_verify::InvalidVerifyKey>(())
/// ```
pub struct Verifier {
    keys: Vec<VerifyKey>,
    proof: Proof,
    tolerance: Duration,
}

/// Which header has to prove the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    Standard,
    Arjun,
    Platformxe,
}

/// A request that must not be acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The header that proves nothing.
    pub header: &'static str,
    /// Why it does not; never [`Verdict::Verified`].
    pub verdict: Verdict,
}

impl Verifier {
    /// Checks `webhook-signature`, the header of Standard Webhooks, which every profile sends. It is
    /// the one to prefer: it covers the id and the time of a request, so a recorded one is refused.
    ///
    /// `secrets` are `whsec_…` or `whpk_…`, or both; any one that fits is enough.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Result<Verifier, InvalidVerifyKey> {
        Verifier::of(secrets, Proof::Standard)
    }

    /// Checks `x-arjun-signature`. It covers the body alone: a request that was recorded a year ago
    /// is as good as one of today.
    pub fn arjun<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Result<Verifier, InvalidVerifyKey> {
        Verifier::of(secrets, Proof::Arjun)
    }

    /// Checks `x-event-signature`, which covers the body and `x-event-timestamp`.
    pub fn platformxe<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Verifier, InvalidVerifyKey> {
        Verifier::of(secrets, Proof::Platformxe)
    }

    fn of<S: AsRef<str>>(
        secrets: impl IntoIterator<Item = S>,
        proof: Proof,
    ) -> Result<Verifier, InvalidVerifyKey> {
        let keys = secrets.into_iter().map(|text| VerifyKey::parse(text.as_ref()));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            Err(InvalidVerifyKey::None)
        } else {
            Ok(Verifier { keys, proof, tolerance: TOLERANCE })
        }
    }

    /// The same with another limit on how far a timestamp may lie from the receiver's clock, both
    /// ways, in whole seconds.
    #[must_use]
    pub fn tolerating(self, tolerance: Duration) -> Verifier {
        Verifier { tolerance, ..self }
    }

    /// Whether a request proves its origin.
    ///
    /// `header` looks a header up by its lower-case name, `body` is raw, and `now` is the receiver's
    /// clock in Unix seconds. Repeating is safe: nothing is remembered.
    pub fn verify<'h>(
        &self,
        header: &dyn Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: u64,
    ) -> Result<(), Refusal> {
        let findings = verify(&self.keys, &Received { header, body }, now, self.tolerance);
        let mut verdicts = findings.iter().filter(|finding| self.asks_for(finding)).map(|f| f.verdict);
        if verdicts.clone().any(|verdict| verdict == Verdict::Verified) {
            return Ok(());
        }
        // The most telling: what was sent and is wrong, before what was not sent at all.
        let refused = verdicts.clone().find(|verdict| matches!(verdict, Verdict::Refused(_)));
        let unusable = verdicts.find(|verdict| *verdict == Verdict::NoKey);
        let verdict = refused.or(unusable).unwrap_or(Verdict::Absent);
        Err(Refusal { header: self.proof.header(), verdict })
    }

    fn asks_for(&self, finding: &Finding) -> bool {
        match finding.profile {
            Profile::Arjun => self.proof == Proof::Arjun,
            Profile::Platformxe => self.proof == Proof::Platformxe,
            Profile::Standard | Profile::StandardV1a => self.proof == Proof::Standard,
        }
    }
}

impl Proof {
    fn header(self) -> &'static str {
        match self {
            Proof::Standard => headers::STANDARD_SIGNATURE,
            Proof::Arjun => headers::ARJUN_SIGNATURE,
            Proof::Platformxe => headers::PLATFORMXE_SIGNATURE,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.header, self.verdict)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const AT: u64 = 1_614_265_330;

    fn header(name: &str) -> Option<&'static str> {
        match name {
            "webhook-id" => Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
            "webhook-timestamp" | "x-event-timestamp" => Some("1614265330"),
            "webhook-signature" => Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
            "x-arjun-signature" => {
                Some("sha256=80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c")
            }
            "x-event-signature" => Some("2e37df5d4a028c51a7f3133d64ae1e300d2c2c900f1b1d49d4369ad2530f8964"),
            _ => None,
        }
    }

    fn verified(verifier: Result<Verifier, InvalidVerifyKey>, now: u64) -> Result<(), Refusal> {
        verifier.expect("secrets").verify(&header, br#"{"test": 2432232314}"#, now)
    }

    #[test]
    fn each_profile_is_judged_by_its_own_header() {
        for now in [AT, AT + 300] {
            assert_eq!(verified(Verifier::new([OTHER, SECRET]), now), Ok(()));
            assert_eq!(verified(Verifier::arjun([SECRET]), now), Ok(()));
            assert_eq!(verified(Verifier::platformxe([SECRET]), now), Ok(()));
        }
        let late = AT + 301;
        let too_old = Verdict::Refused(Reason::TooOld { seconds: 301, seconds_max: 300 });
        let refusal = |header| Err(Refusal { header, verdict: too_old });
        assert_eq!(verified(Verifier::new([SECRET]), late), refusal("webhook-signature"));
        assert_eq!(verified(Verifier::platformxe([SECRET]), late), refusal("x-event-signature"));
        assert_eq!(verified(Verifier::arjun([SECRET]), late), Ok(()), "it knows no time");
    }

    #[test]
    fn the_right_signature_of_another_header_proves_nothing() {
        let only = |kept: &'static str| move |name: &str| header(name).filter(|_| name == kept);
        let body = br#"{"test": 2432232314}"#;
        let standard = Verifier::new([SECRET]).expect("a secret");
        let refusal =
            standard.verify(&only("x-arjun-signature"), body, AT).expect_err("stripped of its time");
        assert_eq!(refusal.to_string(), "webhook-signature: not sent");
        let arjun = Verifier::arjun([SECRET]).expect("a secret");
        assert_eq!(arjun.verify(&only("x-arjun-signature"), body, AT), Ok(()));
    }

    #[test]
    fn the_wrong_secret_and_the_wrong_kind_of_key_are_told_apart() {
        let wrong = verified(Verifier::new([OTHER]), AT).expect_err("another secret");
        assert_eq!(wrong.verdict, Verdict::Refused(Reason::Wrong));
        let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        assert_eq!(
            verified(Verifier::new([public]), AT).expect_err("no shared secret").verdict,
            Verdict::NoKey
        );
        assert_eq!(Verifier::new::<&str>([]).err(), Some(InvalidVerifyKey::None));
    }

    #[test]
    fn the_tolerance_is_the_receivers_own() {
        let strict = || Verifier::new([SECRET]).map(|verifier| verifier.tolerating(Duration::from_secs(5)));
        assert_eq!(verified(strict(), AT + 5), Ok(()));
        assert!(verified(strict(), AT + 6).is_err() && verified(strict(), AT - 6).is_err());
    }
}

//! When the next attempt may start.
//!
//! A schedule is a list of waits, from the end of one attempt to the start of
//! the next. Jitter only lengthens a wait, by at most a tenth, and comes from a
//! hash of the delivery and the attempt: spread evenly, and the same in every
//! replay of a simulation.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::DeliveryId;
use crate::outcome::RetryOn;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Seed 002: 5 attempts in 75 seconds.
const FAST: [u64; 4] = [5, 10, 20, 40];
/// Seed 004: 8 attempts in 17 h 42 min 30 s.
const PATIENT: [u64; 7] = [30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR, 12 * HOUR];
/// Standard Webhooks 1.0: 10 attempts in 75 h 35 min 5 s.
const STANDARD: [u64; 9] =
    [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
/// E-mail: 10 attempts in 23 h 51 min. The first waits are for greylisting and for a relay that is
/// being restarted, the others for one that is down; RFC 5321 (4.5.4.1) asks for half an hour and more
/// between attempts that go on. After a day a notice has lost most of its worth, and whoever waits for
/// it should see it among the dead letters.
const EMAIL: [u64; 9] =
    [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR];

/// The most attempts that a custom policy may make (contract 3.3).
pub const ATTEMPTS_MAX: usize = 20;
/// The longest that the waits of a custom policy may add up to (contract 3.3).
pub const SPAN_MAX: Duration = Duration::from_secs(7 * 24 * HOUR);

/// A subscription's retry policy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RetryPolicy {
    /// 5 attempts with waits of 5, 10, 20 and 40 s; the default of the v2 API.
    #[default]
    Fast,
    /// 8 attempts over 17 hours; the default of the v1 API.
    Patient,
    /// 10 attempts over three days, as Standard Webhooks advises.
    Standard,
    /// 10 attempts over a day; the policy of e-mail.
    Email,
    /// A list of the subscriber's own.
    Custom(CustomPolicy),
}

/// A list of waits of the subscriber's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomPolicy {
    delays_seconds: Vec<u64>,
    #[serde(default)]
    retry_on: RetryOn,
}

/// Why a custom policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// More waits than [`ATTEMPTS_MAX`] leaves room for.
    #[error("delaysSeconds makes {attempts} attempts, the limit is {ATTEMPTS_MAX}")]
    TooManyAttempts {
        /// Attempts that the list would make.
        attempts: usize,
    },
    /// The waits add up to more than [`SPAN_MAX`].
    #[error("delaysSeconds adds up to {seconds} s, the limit is 604,800 s (7 days)")]
    TooLong {
        /// The sum of the waits.
        seconds: u64,
    },
}

/// A wait, with what went into it, so that an operator can see why it is so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delay {
    /// The policy's wait, in milliseconds.
    pub scheduled_ms: u64,
    /// What the receiver asked for, in milliseconds, after the cap.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub asked_ms: Option<u64>,
    /// Whether the receiver asked for more than the policy allows.
    #[serde(default)]
    pub capped: bool,
    /// What was added to spread attempts out, in milliseconds.
    pub jitter_ms: u64,
}

impl Delay {
    /// The whole wait: the longer of schedule and asked time, and the jitter.
    pub fn total(&self) -> Duration {
        Duration::from_millis(self.scheduled_ms.max(self.asked_ms.unwrap_or(0)) + self.jitter_ms)
    }
}

impl RetryPolicy {
    /// A policy of the subscriber's own.
    pub fn custom(delays_seconds: Vec<u64>, retry_on: RetryOn) -> Result<RetryPolicy, InvalidPolicy> {
        let attempts = delays_seconds.len() + 1;
        if attempts > ATTEMPTS_MAX {
            return Err(InvalidPolicy::TooManyAttempts { attempts });
        }
        let seconds = delays_seconds.iter().fold(0_u64, |sum, delay| sum.saturating_add(*delay));
        if seconds > SPAN_MAX.as_secs() {
            return Err(InvalidPolicy::TooLong { seconds });
        }
        Ok(RetryPolicy::Custom(CustomPolicy { delays_seconds, retry_on }))
    }

    /// How many attempts the policy makes at most.
    pub fn attempts_max(&self) -> u32 {
        self.delays_seconds().len() as u32 + 1
    }

    /// Which answers are tried again.
    pub fn retry_on(&self) -> RetryOn {
        match self {
            RetryPolicy::Fast | RetryPolicy::Email => RetryOn::Transient,
            RetryPolicy::Patient => RetryOn::AnyFailure,
            RetryPolicy::Standard => RetryOn::AnyFailureButGone,
            RetryPolicy::Custom(custom) => custom.retry_on,
        }
    }

    /// The wait after attempt number `attempts_made`, or none if that was the last.
    ///
    /// The receiver may ask for more time but not for less, and for no more than the policy's cap.
    pub fn delay_after(
        &self,
        attempts_made: u32,
        asked: Option<Duration>,
        delivery: DeliveryId,
    ) -> Option<Delay> {
        let scheduled = *self.delays_seconds().get(attempts_made.checked_sub(1)? as usize)?;
        let scheduled_ms = scheduled * 1000;
        let cap = self.retry_after_max();
        let asked_ms = asked.map(|asked| asked.min(cap).as_millis() as u64);
        let floor_ms = scheduled_ms.max(asked_ms.unwrap_or(0));
        Some(Delay {
            scheduled_ms,
            asked_ms,
            capped: asked.is_some_and(|asked| asked > cap),
            jitter_ms: jitter(delivery, attempts_made, floor_ms / 10),
        })
    }

    /// How long a delivery waits for a receiver that is out before we give up on it.
    ///
    /// The policy's own waits end long before this. It ends what they cannot: deliveries that an
    /// open breaker keeps from being attempted at all.
    pub fn patience(&self) -> Duration {
        let waits = Duration::from_secs(self.delays_seconds().iter().sum());
        waits * 2 + Duration::from_secs(24 * HOUR)
    }

    /// A receiver that asks for more is broken, not busy; waiting would hide it.
    fn retry_after_max(&self) -> Duration {
        match self {
            RetryPolicy::Fast => Duration::from_secs(HOUR),
            RetryPolicy::Patient | RetryPolicy::Standard | RetryPolicy::Email | RetryPolicy::Custom(_) => {
                Duration::from_secs(24 * HOUR)
            }
        }
    }

    fn delays_seconds(&self) -> &[u64] {
        match self {
            RetryPolicy::Fast => &FAST,
            RetryPolicy::Patient => &PATIENT,
            RetryPolicy::Standard => &STANDARD,
            RetryPolicy::Email => &EMAIL,
            RetryPolicy::Custom(custom) => &custom.delays_seconds,
        }
    }
}

/// A number from 0 to `max` that is always the same for this delivery and attempt.
fn jitter(delivery: DeliveryId, attempts_made: u32, max: u64) -> u64 {
    let seed = u128::from_be_bytes(*delivery.as_bytes());
    let mut bits = (seed as u64) ^ ((seed >> 64) as u64).rotate_left(32) ^ u64::from(attempts_made);
    // SplitMix64's finaliser: every input bit changes half of the output bits.
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (bits ^ (bits >> 31)) % (max + 1)
}

/// A name, or an object with a list.
impl Serialize for RetryPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RetryPolicy::Fast => serializer.serialize_str("fast"),
            RetryPolicy::Patient => serializer.serialize_str("patient"),
            RetryPolicy::Standard => serializer.serialize_str("standard"),
            RetryPolicy::Email => serializer.serialize_str("email"),
            RetryPolicy::Custom(custom) => custom.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RetryPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RetryPolicy, D::Error> {
        use serde::de::Error;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => match name.as_str() {
                "fast" => Ok(RetryPolicy::Fast),
                "patient" => Ok(RetryPolicy::Patient),
                "standard" => Ok(RetryPolicy::Standard),
                "email" => Ok(RetryPolicy::Email),
                other => Err(D::Error::custom(format!(
                    "{other:?} is not a retry policy; use fast, patient, standard, email or an object with delaysSeconds"
                ))),
            },
            object => {
                let CustomPolicy { delays_seconds, retry_on } =
                    serde_json::from_value(object).map_err(D::Error::custom)?;
                RetryPolicy::custom(delays_seconds, retry_on).map_err(D::Error::custom)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOME: fn(u8) -> DeliveryId = |n| DeliveryId::from_bytes([n; 16]);

    /// The waits of a policy without jitter, until it gives up.
    fn waits(policy: &RetryPolicy) -> Vec<u64> {
        (1..)
            .map_while(|made| policy.delay_after(made, None, SOME(1)))
            .map(|d| d.scheduled_ms / 1000)
            .collect()
    }

    #[test]
    fn named_policies_wait_as_published() {
        assert_eq!(waits(&RetryPolicy::Fast), [5, 10, 20, 40]);
        assert_eq!(waits(&RetryPolicy::Patient), [30, 120, 600, 1800, 3600, 14_400, 43_200]);
        assert_eq!(waits(&RetryPolicy::Patient).iter().sum::<u64>(), 17 * HOUR + 42 * MINUTE + 30);
        assert_eq!(waits(&RetryPolicy::Standard).iter().sum::<u64>(), 75 * HOUR + 35 * MINUTE + 5);
        assert_eq!(RetryPolicy::Standard.attempts_max(), 10);
        assert_eq!(waits(&RetryPolicy::Email).iter().sum::<u64>(), 23 * HOUR + 51 * MINUTE);
        assert_eq!(RetryPolicy::Email.attempts_max(), 10);
    }

    #[test]
    fn receiver_may_ask_for_more_time_but_not_for_less() {
        let fast = |asked| {
            let delay =
                RetryPolicy::Fast.delay_after(1, Some(Duration::from_secs(asked)), SOME(1)).expect("a wait");
            (delay.total().as_millis() as u64 - delay.jitter_ms, delay.capped)
        };
        assert_eq!(fast(1), (5_000, false));
        assert_eq!(fast(60), (60_000, false));
        assert_eq!(fast(3600), (3_600_000, false));
        assert_eq!(fast(3601), (3_600_000, true));
        assert_eq!(fast(u64::MAX), (3_600_000, true));
    }

    #[test]
    fn a_policy_without_waits_makes_one_attempt() {
        let once = RetryPolicy::custom(vec![], RetryOn::Transient).expect("a policy");
        assert_eq!(once.delay_after(1, None, SOME(1)), None);
        assert_eq!(once.attempts_max(), 1);
    }

    #[test]
    fn custom_policies_are_bounded() {
        assert_eq!(
            RetryPolicy::custom(vec![1; 20], RetryOn::Transient),
            Err(InvalidPolicy::TooManyAttempts { attempts: 21 })
        );
        assert_eq!(
            RetryPolicy::custom(vec![604_801], RetryOn::Transient),
            Err(InvalidPolicy::TooLong { seconds: 604_801 })
        );
        assert!(RetryPolicy::custom(vec![u64::MAX, u64::MAX], RetryOn::Transient).is_err());
        assert!(RetryPolicy::custom(vec![31_831; 19], RetryOn::Transient).is_ok());
    }

    #[test]
    fn policies_keep_their_text_form() {
        for json in [
            r#""fast""#,
            r#""patient""#,
            r#""standard""#,
            r#"{"delaysSeconds":[1,2],"retryOn":"any_failure"}"#,
        ] {
            let policy: RetryPolicy = serde_json::from_str(json).expect("a policy");
            assert_eq!(serde_json::to_string(&policy).expect("text"), json);
        }
        for json in [
            r#""slow""#,
            "3",
            r#"{"delaysSeconds":[-1]}"#,
            r#"{"delays":[1]}"#,
            r#"{"delaysSeconds":[604801]}"#,
        ] {
            assert!(serde_json::from_str::<RetryPolicy>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn jitter_only_lengthens_and_by_a_tenth_at_most(bytes: [u8; 16], made in 1_u32..5, asked in 0_u64..10_000) {
            let asked = Duration::from_secs(asked);
            let id = DeliveryId::from_bytes(bytes);
            let delay = RetryPolicy::Fast.delay_after(made, Some(asked), id);
            if let Some(delay) = delay {
                let floor = delay.scheduled_ms.max(delay.asked_ms.unwrap_or(0));
                prop_assert!(delay.total() >= Duration::from_millis(floor));
                prop_assert!(delay.jitter_ms <= floor / 10);
                prop_assert_eq!(RetryPolicy::Fast.delay_after(made, Some(asked), id), Some(delay));
            } else {
                prop_assert!(made >= 5);
            }
        }
    }

    #[test]
    fn jitter_spreads_a_thousand_deliveries_evenly() {
        let mut tenths = [0_u32; 10];
        for n in 0..1000_u128 {
            let id = DeliveryId::from_bytes((n << 3).to_be_bytes());
            let delay = RetryPolicy::Fast.delay_after(1, None, id).expect("a wait");
            tenths[(delay.jitter_ms * 10 / 501) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
    }
}

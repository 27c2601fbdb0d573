//! Verifies webhooks: does this request come from whom its signature names, and if not, why?
//!
//! For receivers. Nothing here waits, reads a clock or opens a socket: headers, body and time are
//! arguments, so it fits every web framework and every test.
//!
//! ```
//! use angarium_verify::Verifier;
//!
//! // The secret as the service showed it. While a rotation overlaps, give both.
//! let verifier = Verifier::new(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])?;
//!
//! let headers = [
//!     ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
//!     ("webhook-timestamp", "1614265330"),
//!     ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
//! ];
//! let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
//! let body = br#"{"test": 2432232314}"#; // raw, before anything parses it
//! let now = 1_614_265_340; // Unix seconds, from the receiver's clock
//!
//! assert!(verifier.verify(&header, body, now).is_ok());
//!
//! let refusal = verifier.verify(&header, br#"{"test":2432232314}"#, now).unwrap_err();
//! assert_eq!(
//!     refusal.to_string(),
//!     "webhook-signature: signature was made over another body, this one as JSON with a space \
//!      after each comma and colon: was the body re-encoded?"
//! );
//! # Ok::<(), angarium_verify::InvalidVerifyKey>(())
//! ```
//!
//! Verify before you parse, and remember the `webhook-id`s that you have acted upon: delivery is at
//! least once.

mod headers;
mod key;
mod mistake;
mod request;
mod verdict;
mod verifier;

pub use key::{InvalidVerifyKey, VerifyKey};
pub use mistake::{BodyForm, Content, KeyForm, Made};
pub use request::{Finding, Profile, Received, TOLERANCE, header_in, verify};
pub use verdict::{Reason, Verdict};
pub use verifier::{Refusal, Verifier};

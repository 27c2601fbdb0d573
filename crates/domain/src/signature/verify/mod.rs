//! The receiver's side: which signatures of a request hold, and what is wrong with the others.

mod key;
mod verdict;

use std::time::Duration;

use super::mistake::{BodyForm, Content, KeyForm, Made};
use super::standard_webhooks::{self as standard, Version};
use super::{SigningProfile, arjun, platformxe};
use crate::time::Timestamp;

use key::Checker;
pub use key::{InvalidVerifyKey, VerifyKey};
pub use verdict::{Reason, Verdict};

/// How far a timestamp may lie from the receiver's clock, both ways: what every library allows.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// A later Unix time than this is milliseconds: it lies in the year 5138.
const SECONDS_MAX: u64 = 100_000_000_000;

/// A request as it arrived.
#[derive(Clone, Copy)]
pub struct Received<'a> {
    /// Looks a header up by its lower-case name. Of several lines with one name, the first counts.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The raw body.
    pub body: &'a [u8],
}

/// Looks a name up in captured headers, whatever its case: for [`Received::header`].
pub fn header_in<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What one profile's headers are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Whose headers: [`SigningProfile::Standard`] stands for `v1` tokens, `StandardV1a` for `v1a`.
    pub profile: SigningProfile,
    /// What they are worth.
    pub verdict: Verdict,
}

/// Judges the signatures of a request: one finding each for `x-arjun-*`, `x-event-*`, `v1` and `v1a`.
///
/// A signature holds if any of the keys verifies it. `tolerance` is counted in whole seconds, and a
/// timestamp that lies exactly so far away still holds.
pub fn verify(
    keys: &[VerifyKey],
    received: &Received<'_>,
    now: Timestamp,
    tolerance: Duration,
) -> [Finding; 4] {
    let judge = |profile, claim: Claimed<'_>| {
        let verdict = match claim {
            Ok(None) => Verdict::Absent,
            Ok(Some(claim)) => claim.judge(keys, received.body, now, tolerance),
            Err(reason) => Verdict::Refused(reason),
        };
        Finding { profile, verdict }
    };
    [
        judge(SigningProfile::Arjun, claim_arjun(received)),
        judge(SigningProfile::Platformxe, claim_platformxe(received)),
        judge(SigningProfile::Standard, claim_standard(received, Version::V1)),
        judge(SigningProfile::StandardV1a, claim_standard(received, Version::V1a)),
    ]
}

/// What a request says about itself in the headers of one profile.
struct Claim<'a> {
    documented: Made,
    signatures: Vec<Vec<u8>>,
    /// For the signed text, where there is one.
    id: Option<&'a str>,
    timestamp: Option<&'a str>,
    /// The signed time in Unix seconds, in profiles that sign one.
    seconds: Option<u64>,
}

type Claimed<'a> = Result<Option<Claim<'a>>, Reason>;

fn claim_arjun<'a>(received: &Received<'a>) -> Claimed<'a> {
    let header = received.header;
    let Some(signature) = header(arjun::SIGNATURE) else { return Ok(None) };
    let malformed = Reason::Malformed { header: arjun::SIGNATURE, shape: arjun::SHAPE };
    Ok(Some(Claim {
        documented: Made::documented(KeyForm::Text, Content::Body),
        signatures: vec![arjun::read(signature).ok_or(malformed)?],
        // Not signed by this profile: for the search for mistakes only.
        id: header(standard::ID),
        timestamp: header(standard::TIMESTAMP).or_else(|| header(platformxe::TIMESTAMP)),
        seconds: None,
    }))
}

fn claim_platformxe<'a>(received: &Received<'a>) -> Claimed<'a> {
    let header = received.header;
    if [platformxe::SIGNATURE, platformxe::TIMESTAMP].into_iter().all(|name| header(name).is_none()) {
        return Ok(None);
    }
    let signature = required(received, platformxe::SIGNATURE)?;
    let timestamp = required(received, platformxe::TIMESTAMP)?;
    let malformed = Reason::Malformed { header: platformxe::SIGNATURE, shape: platformxe::SHAPE };
    Ok(Some(Claim {
        documented: Made::documented(KeyForm::Text, Content::TimestampBody),
        signatures: vec![platformxe::read(signature).ok_or(malformed)?],
        id: header(standard::ID),
        timestamp: Some(timestamp),
        seconds: Some(unix_seconds(platformxe::TIMESTAMP, timestamp)?),
    }))
}

fn claim_standard<'a>(received: &Received<'a>, version: Version) -> Claimed<'a> {
    if !claims(received, version) {
        return Ok(None);
    }
    let list = required(received, standard::SIGNATURE)?;
    let id = required(received, standard::ID)?;
    let timestamp = required(received, standard::TIMESTAMP)?;
    let signatures = standard::read(list, version);
    if signatures.is_empty() {
        return Err(Reason::Malformed { header: standard::SIGNATURE, shape: version.shape() });
    }
    let with = match version {
        Version::V1 => KeyForm::Bytes,
        Version::V1a => KeyForm::Pair,
    };
    Ok(Some(Claim {
        documented: Made::documented(with, Content::IdTimestampBody),
        signatures,
        id: Some(id),
        timestamp: Some(timestamp),
        seconds: Some(unix_seconds(standard::TIMESTAMP, timestamp)?),
    }))
}

/// Whether a request means to carry tokens of this version. A request that names neither version
/// is taken for a broken `v1`, which is what nearly everybody sends.
fn claims(received: &Received<'_>, version: Version) -> bool {
    let names =
        |version| (received.header)(standard::SIGNATURE).is_some_and(|list| standard::names(list, version));
    match version {
        Version::V1a => names(Version::V1a),
        Version::V1 => {
            let all = [standard::ID, standard::TIMESTAMP, standard::SIGNATURE];
            let any = all.into_iter().any(|name| (received.header)(name).is_some());
            any && (names(Version::V1) || !names(Version::V1a))
        }
    }
}

fn required<'a>(received: &Received<'a>, header: &'static str) -> Result<&'a str, Reason> {
    (received.header)(header).ok_or(Reason::Missing { header })
}

fn unix_seconds(header: &'static str, text: &str) -> Result<u64, Reason> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| digits);
    seconds.ok_or(Reason::Malformed { header, shape: "whole Unix seconds" })
}

impl Claim<'_> {
    fn judge(&self, keys: &[VerifyKey], body: &[u8], now: Timestamp, tolerance: Duration) -> Verdict {
        let mut usable = keys.iter().filter_map(|key| key.form(self.documented.with)).peekable();
        if usable.peek().is_none() {
            return Verdict::NoKey;
        }
        if !usable.any(|checker| self.was_made(checker, self.documented.over, body)) {
            let found = self.search(keys, body);
            return Verdict::Refused(
                found.map_or(Reason::Wrong, |found| Reason::Mismade { found, documented: self.documented }),
            );
        }
        match self.seconds.map(|seconds| in_time(seconds, now, tolerance)) {
            None | Some(Ok(())) => Verdict::Verified,
            Some(Err(reason)) => Verdict::Refused(reason),
        }
    }

    fn was_made(&self, checker: &Checker, over: Content, body: &[u8]) -> bool {
        let pieces = over.pieces(self.id, self.timestamp, body);
        pieces.is_some_and(|pieces| checker.accepts(&pieces, &self.signatures))
    }

    /// Looks for a way in which one of the keys made the signature.
    fn search(&self, keys: &[VerifyKey], body: &[u8]) -> Option<Made> {
        let forms = keys.iter().flat_map(|key| &key.0);
        let forms: Vec<_> = forms.filter(|(form, _)| self.is_conceivable(*form)).collect();
        let bodies = BodyForm::all(body);
        bodies.iter().find_map(|(body_form, body)| {
            let mut ways =
                Content::ALL.into_iter().flat_map(|over| forms.iter().map(move |form| (form, over)));
            let (form, over) = ways.find(|((_, checker), over)| self.was_made(checker, *over, body))?;
            Some(Made { with: form.0, over, body: *body_form })
        })
    }

    /// A shared secret cannot have made what a key pair should have, nor the other way round.
    fn is_conceivable(&self, form: KeyForm) -> bool {
        (form == KeyForm::Pair) == (self.documented.with == KeyForm::Pair)
    }
}

fn in_time(seconds: u64, now: Timestamp, tolerance: Duration) -> Result<(), Reason> {
    let now = now.as_seconds().max(0) as u64;
    let seconds_max = tolerance.as_secs();
    if seconds > SECONDS_MAX {
        Err(Reason::Milliseconds)
    } else if now.saturating_sub(seconds) > seconds_max {
        Err(Reason::TooOld { seconds: now - seconds, seconds_max })
    } else if seconds.saturating_sub(now) > seconds_max {
        Err(Reason::TooFarAhead { seconds: seconds - now, seconds_max })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

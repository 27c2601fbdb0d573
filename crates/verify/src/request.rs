//! The receiver's side: which signatures of a request hold, and what is wrong with the others.

use std::fmt;
use std::time::Duration;

use crate::headers::{
    ARJUN_SHAPE, ARJUN_SIGNATURE, PLATFORMXE_SHAPE, PLATFORMXE_SIGNATURE, PLATFORMXE_TIMESTAMP, STANDARD_ID,
    STANDARD_SIGNATURE, STANDARD_TIMESTAMP, Version, read_arjun, read_platformxe,
};
use crate::key::{Checker, VerifyKey};
use crate::mistake::{BodyForm, Content, KeyForm, Made};
use crate::verdict::{Reason, Verdict};

/// How far a timestamp may lie from the receiver's clock, both ways: what every library allows.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// A later Unix time than this is milliseconds: it lies in the year 5138.
const SECONDS_MAX: u64 = 100_000_000_000;

/// Which headers prove a request's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// `x-arjun-signature`: hex over the body.
    Arjun,
    /// `x-event-signature`: hex over the time and the body.
    Platformxe,
    /// `v1` tokens of `webhook-signature`: a shared secret.
    Standard,
    /// `v1a` tokens of `webhook-signature`: an Ed25519 key pair.
    StandardV1a,
}

impl Profile {
    /// The word that a subscription's field `signingProfile` has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Arjun => "arjun",
            Profile::Platformxe => "platformxe",
            Profile::Standard => "standard",
            Profile::StandardV1a => "standard-v1a",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request as it arrived.
#[derive(Clone, Copy)]
pub struct Received<'r, 'h> {
    /// Looks a header up by its lower-case name. Of several lines with one name, the first counts.
    pub header: &'r dyn Fn(&str) -> Option<&'h str>,
    /// The raw body.
    pub body: &'r [u8],
}

/// Looks a name up in captured headers, whatever its case: for [`Received::header`].
pub fn header_in<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What one profile's headers are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Whose headers.
    pub profile: Profile,
    /// What they are worth.
    pub verdict: Verdict,
}

/// Judges the signatures of a request: one finding each for `x-arjun-*`, `x-event-*`, `v1` and `v1a`.
///
/// A signature holds if any of the keys verifies it. `now` is the receiver's clock in Unix seconds;
/// `tolerance` is counted in whole seconds, and a
/// timestamp that lies exactly so far away still holds.
pub fn verify(
    keys: &[VerifyKey],
    received: &Received<'_, '_>,
    now: u64,
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
        judge(Profile::Arjun, claim_arjun(received)),
        judge(Profile::Platformxe, claim_platformxe(received)),
        judge(Profile::Standard, claim_standard(received, Version::V1)),
        judge(Profile::StandardV1a, claim_standard(received, Version::V1a)),
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

fn claim_arjun<'a>(received: &Received<'_, 'a>) -> Claimed<'a> {
    let header = received.header;
    let Some(signature) = header(ARJUN_SIGNATURE) else { return Ok(None) };
    let malformed = Reason::Malformed { header: ARJUN_SIGNATURE, shape: ARJUN_SHAPE };
    Ok(Some(Claim {
        documented: Made::documented(KeyForm::Text, Content::Body),
        signatures: vec![read_arjun(signature).ok_or(malformed)?],
        // Not signed by this profile: for the search for mistakes only.
        id: header(STANDARD_ID),
        timestamp: header(STANDARD_TIMESTAMP).or_else(|| header(PLATFORMXE_TIMESTAMP)),
        seconds: None,
    }))
}

fn claim_platformxe<'a>(received: &Received<'_, 'a>) -> Claimed<'a> {
    let header = received.header;
    if [PLATFORMXE_SIGNATURE, PLATFORMXE_TIMESTAMP].into_iter().all(|name| header(name).is_none()) {
        return Ok(None);
    }
    let signature = required(received, PLATFORMXE_SIGNATURE)?;
    let timestamp = required(received, PLATFORMXE_TIMESTAMP)?;
    let malformed = Reason::Malformed { header: PLATFORMXE_SIGNATURE, shape: PLATFORMXE_SHAPE };
    Ok(Some(Claim {
        documented: Made::documented(KeyForm::Text, Content::TimestampBody),
        signatures: vec![read_platformxe(signature).ok_or(malformed)?],
        id: header(STANDARD_ID),
        timestamp: Some(timestamp),
        seconds: Some(unix_seconds(PLATFORMXE_TIMESTAMP, timestamp)?),
    }))
}

fn claim_standard<'a>(received: &Received<'_, 'a>, version: Version) -> Claimed<'a> {
    if !claims(received, version) {
        return Ok(None);
    }
    let list = required(received, STANDARD_SIGNATURE)?;
    let id = required(received, STANDARD_ID)?;
    let timestamp = required(received, STANDARD_TIMESTAMP)?;
    let signatures = version.read(list);
    if signatures.is_empty() {
        return Err(Reason::Malformed { header: STANDARD_SIGNATURE, shape: version.shape() });
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
        seconds: Some(unix_seconds(STANDARD_TIMESTAMP, timestamp)?),
    }))
}

/// Whether a request means to carry tokens of this version. A request that names neither version
/// is taken for a broken `v1`, which is what nearly everybody sends.
fn claims(received: &Received<'_, '_>, version: Version) -> bool {
    let names =
        |version: Version| (received.header)(STANDARD_SIGNATURE).is_some_and(|list| version.is_in(list));
    match version {
        Version::V1a => names(Version::V1a),
        Version::V1 => {
            let all = [STANDARD_ID, STANDARD_TIMESTAMP, STANDARD_SIGNATURE];
            let any = all.into_iter().any(|name| (received.header)(name).is_some());
            any && (names(Version::V1) || !names(Version::V1a))
        }
    }
}

fn required<'a>(received: &Received<'_, 'a>, header: &'static str) -> Result<&'a str, Reason> {
    (received.header)(header).ok_or(Reason::Missing { header })
}

fn unix_seconds(header: &'static str, text: &str) -> Result<u64, Reason> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| digits);
    seconds.ok_or(Reason::Malformed { header, shape: "whole Unix seconds" })
}

impl Claim<'_> {
    fn judge(&self, keys: &[VerifyKey], body: &[u8], now: u64, tolerance: Duration) -> Verdict {
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

fn in_time(seconds: u64, now: u64, tolerance: Duration) -> Result<(), Reason> {
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

//! Certificates that were fetched and judged, so that SNS is asked once for each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angarium_domain::sns::TopicArn;
use angarium_domain::time::Timestamp;
use rustls::pki_types::TrustAnchor;
use tokio::time::Instant;

use super::Unverified;
use super::certificate::Signer;
use super::fetch::{Fetch, Unfetched};

/// How many certificates are remembered. SNS uses one or two a region at a time.
const KEPT_MAX: usize = 32;
/// How long a certificate is taken without being judged again.
const KEPT: Duration = Duration::from_hours(24);
/// How many files are asked for in [`WINDOW`] at most, of addresses where a certificate was before and of
/// others: whoever knows a topic's name could otherwise have us ask SNS for one file after another.
const FETCHES_MAX: usize = 10;
/// See [`FETCHES_MAX`].
const WINDOW: Duration = Duration::from_mins(1);

/// The certificates that messages were signed with, in memory.
pub(super) struct Signers {
    roots: Vec<TrustAnchor<'static>>,
    fetch: Arc<dyn Fetch>,
    /// Shared between requests; never held while somebody is asked.
    known: Mutex<Vec<Kept>>,
    /// Of addresses that were never seen to have a certificate: strangers name as many as they like.
    unproven: Turns,
    /// Of addresses that had one, which nobody but Amazon can make. What strangers use up is not theirs.
    proven: Turns,
}

struct Kept {
    url: String,
    since: Instant,
    signer: Signer,
}

/// One file is asked for at a time: whoever waits for it finds it afterwards, and does not ask too.
#[derive(Default)]
struct Turns(tokio::sync::Mutex<Vec<Instant>>);

impl Signers {
    pub(super) fn new(roots: Vec<TrustAnchor<'static>>, fetch: Arc<dyn Fetch>) -> Signers {
        let (unproven, proven) = (Turns::default(), Turns::default());
        Signers { roots, fetch, known: Mutex::default(), unproven, proven }
    }

    /// The signer at an address that was vetted for this topic.
    pub(super) async fn of(&self, topic: &TopicArn, url: &str, now: Timestamp) -> Result<Signer, Unverified> {
        let turns = match self.known(url) {
            Some((signer, true)) => return Ok(signer),
            Some((_, false)) => &self.proven,
            None => &self.unproven,
        };
        let mut fetched_at = turns.0.lock().await;
        if let Some((signer, true)) = self.known(url) {
            return Ok(signer);
        }
        take_a_turn(&mut fetched_at)?;
        let pem = self.fetch.get(url).await?;
        let signer = Signer::read(&pem, topic, &self.roots, now)?;
        self.keep(url, &signer);
        Ok(signer)
    }

    /// Who signs at an address, and whether that was judged lately.
    fn known(&self, url: &str) -> Option<(Signer, bool)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The address begins with the region's host, so it is the same certificate for all its topics.
        let kept = known.iter().find(|kept| kept.url == url)?;
        Some((kept.signer.clone(), kept.since.elapsed() < KEPT))
    }

    fn keep(&self, url: &str, signer: &Signer) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|kept| kept.url != url);
        if known.len() == KEPT_MAX {
            known.remove(0);
        }
        known.push(Kept { url: url.to_owned(), since: Instant::now(), signer: signer.clone() });
    }
}

fn take_a_turn(fetched_at: &mut Vec<Instant>) -> Result<(), Unfetched> {
    fetched_at.retain(|at| at.elapsed() < WINDOW);
    if fetched_at.len() >= FETCHES_MAX {
        let reason = format!("{FETCHES_MAX} certificates were asked for within a minute");
        return Err(Unfetched { reason });
    }
    fetched_at.push(Instant::now());
    Ok(())
}

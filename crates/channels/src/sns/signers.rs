//! Certificates that were fetched and judged, so that SNS is asked once for each.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::sns::TopicArn;
use angarium_domain::time::Timestamp;
use rustls::pki_types::TrustAnchor;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Unverified;
use super::certificate::Signer;
use super::fetch::{Fetch, Unfetched};

/// How many certificates are remembered. SNS uses one or two a region at a time.
const KEPT_MAX: usize = 32;
/// How long a certificate is taken without being judged again.
const KEPT: Duration = Duration::from_hours(24);
/// How many files are asked for in [`WINDOW`] at most. Whoever knows a topic's name could otherwise
/// have us ask SNS for one file after another.
const FETCHES_MAX: usize = 10;
/// See [`FETCHES_MAX`].
const WINDOW: Duration = Duration::from_mins(1);

/// The certificates that messages were signed with, in memory.
pub(super) struct Signers {
    roots: Vec<TrustAnchor<'static>>,
    fetch: Arc<dyn Fetch>,
    /// Held while a file is fetched: whoever waits for it finds it here, and does not ask too.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    signers: Vec<Kept>,
    fetched_at: Vec<Instant>,
}

struct Kept {
    url: String,
    since: Instant,
    signer: Signer,
}

impl Signers {
    pub(super) fn new(roots: Vec<TrustAnchor<'static>>, fetch: Arc<dyn Fetch>) -> Signers {
        Signers { roots, fetch, known: Mutex::default() }
    }

    /// The signer at an address that was vetted for this topic.
    pub(super) async fn of(&self, topic: &TopicArn, url: &str, now: Timestamp) -> Result<Signer, Unverified> {
        let mut known = self.known.lock().await;
        known.signers.retain(|kept| kept.since.elapsed() < KEPT);
        // The address begins with the region's host, so it is the same certificate for all its topics.
        if let Some(kept) = known.signers.iter().find(|kept| kept.url == url) {
            return Ok(kept.signer.clone());
        }
        known.take_a_turn()?;
        let pem = self.fetch.get(url).await?;
        let signer = Signer::read(&pem, topic, &self.roots, now)?;
        if known.signers.len() == KEPT_MAX {
            known.signers.remove(0);
        }
        known.signers.push(Kept { url: url.to_owned(), since: Instant::now(), signer: signer.clone() });
        Ok(signer)
    }
}

impl Known {
    fn take_a_turn(&mut self) -> Result<(), Unfetched> {
        self.fetched_at.retain(|at| at.elapsed() < WINDOW);
        if self.fetched_at.len() >= FETCHES_MAX {
            let reason = format!("{FETCHES_MAX} certificates were asked for within a minute");
            return Err(Unfetched { reason });
        }
        self.fetched_at.push(Instant::now());
        Ok(())
    }
}

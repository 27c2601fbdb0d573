//! Messages of Amazon SNS: whether one is what it says, and confirming that we want them.
//!
//! What a message says decides nothing about where we connect to: its topic is on the operator's list,
//! the list says the host, and [`angarium_domain::sns`] refuses every other one. Certificates come from
//! there over TLS, and must be for Amazon's name under a public authority all the same.

mod certificate;
mod fetch;
mod signers;

use std::sync::Arc;

use angarium_domain::sns::{Kind, Message, Refusal, TopicArn, Vetted};
use angarium_domain::time::Timestamp;
use async_trait::async_trait;
use rustls::pki_types::TrustAnchor;

use certificate::InvalidSigner;
use signers::Signers;

pub use fetch::{Fetch, GuardedFetch, Unfetched};

/// Verifies messages of the topics on a list.
pub struct SnsVerifier {
    topics: Vec<TopicArn>,
    fetch: Arc<dyn Fetch>,
    signers: Signers,
}

/// Why a message has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It is no message of SNS.
    #[error("the body is no message of SNS: {0}")]
    NoMessage(String),
    /// It says something that we do not take.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its certificate is not one that SNS would sign with.
    #[error("the certificate is not taken: {0}")]
    Signer(#[from] InvalidSigner),
    /// It was not signed with its certificate, or changed afterwards.
    #[error("the signature does not belong to the message")]
    Signature,
    /// The certificate cannot be had now. The same message may be verified later.
    #[error("the certificate cannot be had now: {0}")]
    NotNow(#[from] Unfetched),
}

impl SnsVerifier {
    /// Takes messages of these topics, signed by certificates under these authorities.
    pub fn new(
        topics: Vec<TopicArn>,
        roots: Vec<TrustAnchor<'static>>,
        fetch: Arc<dyn Fetch>,
    ) -> SnsVerifier {
        SnsVerifier { topics, signers: Signers::new(roots, Arc::clone(&fetch)), fetch }
    }

    /// Takes no message at all, and asks nobody.
    pub fn of_no_topics() -> SnsVerifier {
        SnsVerifier::new(Vec::new(), Vec::new(), Arc::new(Nobody))
    }

    /// The authorities that everybody trusts.
    pub fn public_roots() -> Vec<TrustAnchor<'static>> {
        webpki_roots::TLS_SERVER_ROOTS.to_vec()
    }

    /// Reads a message and verifies it. Repeating is safe.
    pub async fn verify(&self, body: &[u8], now: Timestamp) -> Result<Message, Unverified> {
        let message: Message =
            serde_json::from_slice(body).map_err(|error| Unverified::NoMessage(error.to_string()))?;
        let Vetted { topic, signature, .. } = message.vet(&self.topics, now)?;
        let signer = self.signers.of(topic, &message.signing_cert_url, now).await?;
        if !signer.has_signed(message.signed_text().as_bytes(), &signature) {
            return Err(Unverified::Signature);
        }
        Ok(message)
    }

    /// Says that we want a topic's notifications, if a verified message asks that. Repeating is safe.
    pub async fn confirm(&self, verified: &Message) -> Result<(), Unfetched> {
        match (verified.kind, &verified.subscribe_url) {
            (Kind::SubscriptionConfirmation, Some(url)) => self.fetch.get(url).await.map(drop),
            // That we were unsubscribed is somebody's wish, which we do not undo.
            (Kind::SubscriptionConfirmation | Kind::UnsubscribeConfirmation | Kind::Notification, _) => {
                Ok(())
            }
        }
    }
}

/// Is asked for nothing where there are no topics.
struct Nobody;

#[async_trait]
impl Fetch for Nobody {
    async fn get(&self, _url: &str) -> Result<String, Unfetched> {
        Err(Unfetched { reason: "there are no topics".to_owned() })
    }
}

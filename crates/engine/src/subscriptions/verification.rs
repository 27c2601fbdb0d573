//! Asking a receiver for its consent: once by itself after the address was given, and on request.

use std::fmt::Write as _;

use angarium_channels::Request;
use angarium_domain::access::Mode;
use angarium_domain::handle::Handle;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::signature::ToSign;
use angarium_domain::verification::{
    Finding, Method, challenge_body, judge_challenge, judge_consent, rate_asked,
};
use angarium_store::directory::Entry;
use bytes::Bytes;

use super::{Described, SubscriptionError, Subscriptions};
use crate::ids::new_id;
use crate::once::{Once, Reply};
use crate::snapshots::find_webhook;
use crate::{Caller, follow_up};

impl Subscriptions {
    /// Asks the receiver now, and answers with what is known after it. That it does not consent is
    /// no error of the request.
    pub async fn verify(
        &self,
        caller: Caller,
        id: SubscriptionId,
        once: Once<Described>,
    ) -> Result<Reply, SubscriptionError> {
        if let Some(reply) = self.desk.repeats.earlier::<SubscriptionError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let snapshot = self.desk.snapshots.get(&caller.handle).await?;
        let entry = find_webhook(&snapshot, id).ok_or(SubscriptionError::NotFound)?;
        let method = entry.subscription.verification.as_ref().map(|verification| verification.method);
        let method = method.ok_or(SubscriptionError::NothingToVerify)?;
        let finding = self.check(entry, method).await;
        let now = self.desk.clock.now();
        self.put(&caller, id, "subscription.checked", once, |subscription| {
            let same_address = subscription.endpoint_url == entry.subscription.endpoint_url;
            // The owner may have changed his mind meanwhile; then it is to be asked again.
            if let Some(verification) = &mut subscription.verification
                && same_address
                && verification.method == method
            {
                verification.take(finding.clone(), now);
            }
            Ok(())
        })
        .await
    }

    /// Asks the receiver in the background, if it has not been asked at this address.
    pub(super) fn verify_later(&self, handle: &Handle, id: SubscriptionId) {
        let (subscriptions, cutoff) = (self.clone(), self.desk.tasks.cutoff());
        let caller = Caller {
            handle: handle.clone(),
            actor: follow_up::ACTOR.to_owned(),
            request_id: id.to_string(),
            ip: None,
            mode: Mode::Live,
            trace: None,
            draw: None,
        };
        self.desk.tasks.spawn(async move {
            let verified = tokio::select! {
                biased;
                verified = subscriptions.verify_if_new(caller, id) => verified,
                () = cutoff.cancelled() => return,
            };
            if let Err(error) = verified {
                tracing::warn!(%error, subscription = %id, "a receiver could not be asked; it is asked on request");
            }
        });
    }

    async fn verify_if_new(&self, caller: Caller, id: SubscriptionId) -> Result<(), SubscriptionError> {
        let snapshot = self.desk.snapshots.get(&caller.handle).await?;
        let verification =
            find_webhook(&snapshot, id).and_then(|entry| entry.subscription.verification.as_ref());
        if verification.is_some_and(|verification| verification.checked_at.is_none()) {
            self.verify(caller, id, Once::unkeyed()).await?;
        }
        Ok(())
    }

    async fn check(&self, entry: &Entry, method: Method) -> Finding {
        let subscription = &entry.subscription;
        let host = subscription.endpoint_url.host();
        match method {
            Method::Challenge => {
                let challenge = hex(self.desk.ids.key());
                let request = self.challenge(entry, &challenge);
                let exchange = self.channel.send(request, subscription.timeout()).await;
                judge_challenge(&challenge, host, &exchange)
            }
            Method::CloudEvents => {
                let origin = self.channel.origin();
                let request = handshake(entry, origin);
                let exchange = self.channel.ask(request, subscription.timeout()).await;
                judge_consent(origin, host, &exchange)
            }
        }
    }

    /// A challenge looks like a delivery to whoever checks signatures.
    fn challenge(&self, entry: &Entry, challenge: &str) -> Request {
        let subscription = &entry.subscription;
        let now = self.desk.clock.now();
        let body = challenge_body(challenge, subscription.id);
        let to_sign = ToSign {
            event_id: new_id(&*self.desk.ids, now),
            event_type: &"webhook.verification".parse().expect("a valid event type"),
            attempt: 1,
            at: now,
            body: body.as_bytes(),
        };
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let signatures = subscription.signing_profile.headers(&entry.keys, &to_sign);
        headers.extend(signatures.into_iter().map(|(name, value)| (name.to_owned(), value)));
        headers.extend(own_headers(entry));
        Request { url: subscription.endpoint_url.clone(), headers, body: Bytes::from(body) }
    }
}

fn handshake(entry: &Entry, origin: &str) -> Request {
    let subscription = &entry.subscription;
    let rate = rate_asked(subscription.rate_limit_per_second);
    let mut headers = vec![
        ("webhook-request-origin".to_owned(), origin.to_owned()),
        ("webhook-request-rate".to_owned(), rate.to_string()),
    ];
    headers.extend(own_headers(entry));
    Request { url: subscription.endpoint_url.clone(), headers, body: Bytes::new() }
}

/// What the subscriber's server takes us by.
fn own_headers(entry: &Entry) -> impl Iterator<Item = (String, String)> {
    entry.subscription.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text takes any text");
        text
    })
}

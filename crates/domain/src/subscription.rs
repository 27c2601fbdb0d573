//! Where one subscriber receives, and which events it wants.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auto_disable::AutoDisable;
use crate::event::PayloadFormat;
use crate::event_type::{EventPattern, EventType};
use crate::filter::Filter;
use crate::handle::Handle;
use crate::headers::CustomHeaders;
use crate::ids::SubscriptionId;
use crate::recipient::{FAILURE, Recipient};
use crate::retry::RetryPolicy;
use crate::signature::SigningProfile;
use crate::standing::Disablement;
use crate::time::Timestamp;
use crate::verification::{Method, Verification};

/// The most subscriptions that a handle may have (security 3.5).
pub const SUBSCRIPTIONS_PER_HANDLE_MAX: usize = 50;
/// The most event patterns that a subscription may name (security 3.5).
pub const PATTERNS_MAX: usize = 100;
/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 500;
/// The deadline of an attempt when the subscriber names none (contract 3.3).
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// The deadlines that a subscriber may name, in whole seconds.
pub const TIMEOUT_SECONDS: std::ops::RangeInclusive<u32> = 1..=30;
/// The rates that a subscriber may name, in attempts a second.
pub const RATE_PER_SECOND: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The concurrency limits that a subscriber may name.
pub const CONCURRENCY: std::ops::RangeInclusive<u32> = 1..=256;

/// A subscription as its owner set it. Secrets are kept apart, in [`crate::secret::SigningKeys`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Never changes.
    pub id: SubscriptionId,
    /// Never changes.
    pub handle: Handle,
    /// Where attempts go. Changes by the owner's patch.
    pub endpoint_url: EndpointUrl,
    /// What is wanted; not empty, without duplicates. Changes by the owner's patch.
    pub event_types: Vec<EventPattern>,
    /// Which payloads of those types are wanted; all, if there is none. Changes by the owner's patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// The owner's words.
    pub description: Option<String>,
    /// Which headers prove the origin.
    pub signing_profile: SigningProfile,
    /// The shape of the body.
    pub payload_format: PayloadFormat,
    /// When failed attempts are repeated.
    pub retry_policy: RetryPolicy,
    /// Sent with every attempt.
    pub headers: CustomHeaders,
    /// At most so many attempts a second.
    pub rate_limit_per_second: Option<u32>,
    /// At most so many attempts at a time.
    pub max_concurrency: Option<u32>,
    /// The deadline of one attempt, in seconds.
    pub timeout_seconds: u32,
    /// Whether an event waits until the ones before it are settled for good.
    pub ordered: bool,
    /// Changes by pause and resume only.
    pub status: Status,
    /// When to switch it off by itself. None, and so never, unless its owner asks (seed 002).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_disable: Option<AutoDisable>,
    /// That it was switched off. Changes by an attempt, and back by resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disablement>,
    /// When the receiver said that it is gone. Ends with a success, another address, or resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
    /// What is known of the receiver's consent. None where it is not asked for. Changes by a check,
    /// by the owner's patch, and with the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// Who reads its mails, and whether they want them. None where it sends no mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Box<Recipient>>,
    /// The last four characters of the newest secret.
    pub secret_hint: String,
    /// Where it pointed before, oldest first; at most [`PAST_ENDPOINTS_MAX`]. Grows by the owner's patch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_endpoints: Vec<PastEndpoint>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its owner last changed it.
    pub updated_at: Timestamp,
}

/// An address that a subscription had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastEndpoint {
    /// The address.
    pub url: EndpointUrl,
    /// When it was replaced.
    pub until: Timestamp,
}

/// How many past addresses are remembered, for replays to the original one.
pub const PAST_ENDPOINTS_MAX: usize = 20;

/// Whether its owner lets deliveries go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Deliveries are attempted.
    Active,
    /// Deliveries are held and drain in order on resume.
    Paused,
}

/// A kind of transport. An address says which by its scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// A signed request to somebody's server.
    Webhook,
    /// A mail to one address.
    Email,
    /// An item in the handle's inbox.
    Inbox,
}

/// Where a subscription's deliveries go: a URL that was normalised and accepted by the egress policy
/// of its time, a mailbox, or the handle's inbox.
///
/// The channel judges a URL again at every connection: names move.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointUrl(Arc<str>);

/// How the address of a mailbox begins.
const MAILBOX: &str = "mailto:";
/// The address of the handle's inbox.
const INBOX: &str = "inbox:";
/// What the types of events about an inbox begin with.
const INBOX_EVENTS: &str = "inbox.";

impl EndpointUrl {
    /// Takes a URL in the form that the egress policy gave back.
    pub fn vetted(normalised: &str) -> EndpointUrl {
        EndpointUrl(normalised.into())
    }

    /// The mailbox with this address, which whoever gives it has checked: one `local@domain`, in ASCII.
    pub fn mailbox(address: &str) -> EndpointUrl {
        EndpointUrl(format!("{MAILBOX}{address}").into())
    }

    /// The inbox of the subscription's handle.
    pub fn inbox() -> EndpointUrl {
        EndpointUrl(INBOX.into())
    }

    /// Which channel the address belongs to.
    pub fn channel(&self) -> ChannelKind {
        match &*self.0 {
            INBOX => ChannelKind::Inbox,
            address if address.starts_with(MAILBOX) => ChannelKind::Email,
            _ => ChannelKind::Webhook,
        }
    }

    /// The address of the mailbox, if it is one.
    pub fn mail_address(&self) -> Option<&str> {
        self.0.strip_prefix(MAILBOX)
    }

    /// The whole URL. Its query may hold the subscriber's credentials: never log it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, with brackets around an IPv6 address and without the port; of a mailbox its domain.
    pub fn host(&self) -> &str {
        if let Some(address) = self.mail_address() {
            return address.rsplit('@').next().unwrap_or(address);
        }
        let authority = self.authority();
        match authority.rfind(':') {
            Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
            _ => authority,
        }
    }

    /// The port, if it is not the scheme's own.
    pub fn port(&self) -> Option<u16> {
        if self.channel() != ChannelKind::Webhook {
            return None;
        }
        self.authority()[self.host().len()..].strip_prefix(':')?.parse().ok()
    }

    /// Host, port and path: what may be shown where the query may not. A mailbox has no query.
    pub fn without_query(&self) -> &str {
        if self.channel() != ChannelKind::Webhook {
            return &self.0;
        }
        self.0.split('?').next().unwrap_or(&self.0)
    }

    fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or(&*self.0, |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or(rest)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.without_query())
    }
}

impl Subscription {
    /// What kind of transport its deliveries go by. Never changes.
    pub fn channel(&self) -> ChannelKind {
        self.endpoint_url.channel()
    }

    /// Whether this subscription wants events of this type. [`crate::fan_out`] asks the filter too.
    pub fn wants(&self, event_type: &EventType) -> bool {
        self.event_types.iter().any(|pattern| pattern.matches(event_type))
            && !self.is_kept_from(event_type)
            && self.recipient.as_ref().is_none_or(|recipient| recipient.takes_events())
    }

    /// What never becomes an item of an inbox, whoever asks for it: what was read in it, because the item
    /// about that would be read too, and so on; and single failures, of which alerts tell in numbers.
    fn is_kept_from(&self, event_type: &EventType) -> bool {
        self.channel() == ChannelKind::Inbox
            && (event_type.as_str().starts_with(INBOX_EVENTS) || event_type.as_str() == FAILURE)
    }

    /// The address that the subscription had at a time, as far back as it is remembered.
    pub fn endpoint_at(&self, at: Timestamp) -> &EndpointUrl {
        self.past_endpoints.iter().find(|past| at < past.until).map_or(&self.endpoint_url, |past| &past.url)
    }

    /// Moves to another address at a time.
    pub fn point_to(&mut self, url: EndpointUrl, at: Timestamp) {
        if url == self.endpoint_url {
            return;
        }
        let past = PastEndpoint { url: std::mem::replace(&mut self.endpoint_url, url), until: at };
        self.past_endpoints.push(past);
        let excess = self.past_endpoints.len().saturating_sub(PAST_ENDPOINTS_MAX);
        self.past_endpoints.drain(..excess);
        // It was the old address that said so.
        self.gone_at = None;
        let method = self.verification.as_ref().map(|verification| verification.method);
        self.verification = method.map(Verification::due);
    }

    /// Asks the receiver for its consent in this way from now on, or no longer. Keeps what is known
    /// if it was asked in the same way before.
    pub fn verify_by(&mut self, method: Option<Method>) {
        if self.verification.as_ref().map(|verification| verification.method) != method {
            self.verification = method.map(Verification::due);
        }
    }

    /// The deadline of one attempt, from its start to the last byte of the answer.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
}

/// Removes duplicates, keeping the first of each.
pub fn without_duplicates(patterns: Vec<EventPattern>) -> Vec<EventPattern> {
    let mut kept: Vec<EventPattern> = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        if !kept.contains(&pattern) {
            kept.push(pattern);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_every_form_of_authority() {
        for (url, host) in [
            ("https://hooks.example.com/a?b=c", "hooks.example.com"),
            ("https://hooks.example.com:8443/a", "hooks.example.com"),
            ("http://127.0.0.1:9000/", "127.0.0.1"),
            ("https://[2606:4700::1]/", "[2606:4700::1]"),
            ("https://[2606:4700::1]:8443/", "[2606:4700::1]"),
        ] {
            assert_eq!(EndpointUrl::vetted(url).host(), host);
        }
    }

    #[test]
    fn an_address_says_by_its_scheme_which_channel_it_belongs_to() {
        let mailbox = EndpointUrl::mailbox("ann?x@example.com");
        let webhook = EndpointUrl::vetted("https://hooks.example.com/mailto:ann@example.com");
        assert_eq!(mailbox.channel(), ChannelKind::Email);
        assert_eq!((mailbox.host(), mailbox.port()), ("example.com", None));
        assert_eq!(mailbox.mail_address(), Some("ann?x@example.com"));
        assert_eq!(mailbox.without_query(), "mailto:ann?x@example.com");
        assert_eq!(EndpointUrl::inbox().channel(), ChannelKind::Inbox);
        assert_eq!((webhook.channel(), webhook.mail_address()), (ChannelKind::Webhook, None));
    }

    #[test]
    fn an_inbox_is_told_of_nothing_that_would_tell_of_itself() {
        let mut subscription: Subscription = serde_json::from_value(serde_json::json!({
            "id": "sub_01arz3ndektsv4rrffq69g5fav", "handle": "acme", "endpointUrl": "inbox:", "eventTypes": ["*"],
            "description": null, "signingProfile": "arjun", "payloadFormat": "native", "retryPolicy": "fast",
            "headers": {}, "rateLimitPerSecond": null, "maxConcurrency": null, "timeoutSeconds": 10, "ordered": false,
            "status": "active", "secretHint": "abcd", "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z",
        }))
        .expect("a subscription");
        let wants =
            |subscription: &Subscription, name: &str| subscription.wants(&name.parse().expect("a type"));
        assert!(wants(&subscription, "order.paid") && wants(&subscription, "webhook.subscription.gone"));
        let kept_from = ["inbox.item.read", "inbox.items.read", "webhook.delivery.terminal_failure"];
        assert!(kept_from.iter().all(|name| !wants(&subscription, name)));
        subscription.endpoint_url = EndpointUrl::vetted("https://hooks.example.com/");
        assert!(kept_from.iter().all(|name| wants(&subscription, name)));
    }

    #[test]
    fn a_query_is_not_shown() {
        let url = EndpointUrl::vetted("https://hooks.example.com/a?access_token=x");
        assert_eq!(format!("{url:?}"), "https://hooks.example.com/a");
    }

    #[test]
    fn duplicates_collapse_and_order_stays() {
        let patterns = |names: &[&str]| {
            names.iter().map(|n| n.parse().expect("a pattern")).collect::<Vec<EventPattern>>()
        };
        assert_eq!(
            without_duplicates(patterns(&["b", "a.*", "b", "*", "a.*"])),
            patterns(&["b", "a.*", "*"])
        );
    }
}

//! Who may do what: roles of people, scopes of tokens.

use serde::{Deserialize, Serialize};

use crate::handle::Handle;
use crate::ids::TokenId;
use crate::time::Timestamp;

/// What a person may do on a handle. Each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Reads.
    Creator,
    /// Changes subscriptions, publishes, replays.
    Operator,
    /// Changes who is told, and everything else.
    Owner,
}

/// What a token may do on its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Publish events.
    #[serde(rename = "events.write")]
    EventsWrite,
    /// Read events.
    #[serde(rename = "events.read")]
    EventsRead,
    /// Create, change and remove subscriptions.
    #[serde(rename = "webhooks.write")]
    WebhooksWrite,
    /// Read subscriptions.
    #[serde(rename = "webhooks.read")]
    WebhooksRead,
    /// Replay deliveries and discard dead letters.
    #[serde(rename = "deliveries.write")]
    DeliveriesWrite,
    /// Read the delivery log.
    #[serde(rename = "deliveries.read")]
    DeliveriesRead,
    /// Read the audit log.
    #[serde(rename = "audit.read")]
    AuditRead,
    /// Change the catalogue of event types.
    #[serde(rename = "event_types.write")]
    EventTypesWrite,
    /// Read the catalogue of event types.
    #[serde(rename = "event_types.read")]
    EventTypesRead,
    /// Read who is told of what.
    #[serde(rename = "notifications.read")]
    NotificationsRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: &[Scope] = &[
        Scope::EventsWrite,
        Scope::EventsRead,
        Scope::WebhooksWrite,
        Scope::WebhooksRead,
        Scope::DeliveriesWrite,
        Scope::DeliveriesRead,
        Scope::AuditRead,
        Scope::EventTypesWrite,
        Scope::EventTypesRead,
        Scope::NotificationsRead,
    ];

    /// The least role of a person who may give a token this scope: nobody gives what they do not have.
    pub fn given_by(self) -> Role {
        match self {
            Scope::EventsWrite
            | Scope::EventsRead
            | Scope::WebhooksWrite
            | Scope::WebhooksRead
            | Scope::DeliveriesWrite
            | Scope::DeliveriesRead
            | Scope::EventTypesWrite
            | Scope::EventTypesRead
            | Scope::NotificationsRead => Role::Operator,
            Scope::AuditRead => Role::Owner,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::EventsWrite => "events.write",
            Scope::EventsRead => "events.read",
            Scope::WebhooksWrite => "webhooks.write",
            Scope::WebhooksRead => "webhooks.read",
            Scope::DeliveriesWrite => "deliveries.write",
            Scope::DeliveriesRead => "deliveries.read",
            Scope::AuditRead => "audit.read",
            Scope::EventTypesWrite => "event_types.write",
            Scope::EventTypesRead => "event_types.read",
            Scope::NotificationsRead => "notifications.read",
        }
    }
}

impl Role {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Creator => "CREATOR",
            Role::Operator => "OPERATOR",
            Role::Owner => "OWNER",
        }
    }
}

/// A personal access token. Its secret is known to its holder alone; we keep a hash.
///
/// The secret is 256 random bits, so a fast hash is enough: there is nothing to guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The public half.
    pub id: TokenId,
    /// The only handle that it is good for.
    pub handle: Handle,
    /// Its maker's words.
    pub name: String,
    /// What it may do; not empty.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret half.
    pub secret_sha256: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops being good; none for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Timestamp>,
}

impl Token {
    /// Whether its time has passed.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

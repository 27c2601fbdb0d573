//! Who may do what: roles of people, scopes of tokens and keys.

use serde::{Deserialize, Serialize};

use crate::handle::Handle;
use crate::ids::{ApiKeyId, TokenId};
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

/// What a token or a key may do on its handle.
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
    /// Connect as an agent: the doors under `/v2/mcp` and `/mcp`. What it may do there, its other
    /// scopes say.
    #[serde(rename = "mcp.connect")]
    McpConnect,
    /// Make, sync, remove and search sources of the context store.
    #[serde(rename = "context_store.manage")]
    ContextStoreManage,
    /// Read and search the context store.
    #[serde(rename = "context_store.read")]
    ContextStoreRead,
    /// Put items into the inbox, and mark them in one's own name.
    #[serde(rename = "inbox.write")]
    InboxWrite,
    /// Read the inbox.
    #[serde(rename = "inbox.read")]
    InboxRead,
    /// Append signals to sessions.
    #[serde(rename = "chain.write")]
    ChainWrite,
    /// Read sessions, and have decisions made upon them.
    #[serde(rename = "chain.read")]
    ChainRead,
    /// Read and replace the rules of chains, and say which pages may ask.
    #[serde(rename = "chain.manage")]
    ChainManage,
    /// Upload voice notes, and remove them.
    #[serde(rename = "mobile.write")]
    MobileWrite,
    /// Read voice notes.
    #[serde(rename = "mobile.read")]
    MobileRead,
    /// Ask people for their consent to be told, and end that.
    #[serde(rename = "notifications.write")]
    NotificationsWrite,
    /// A key's: everything about webhooks and their deliveries.
    #[serde(rename = "webhooks:manage")]
    WebhooksManage,
    /// A key's: publish events.
    #[serde(rename = "events:manage")]
    EventsManage,
}

impl Scope {
    /// The scopes of personal access tokens.
    pub const OF_TOKENS: &[Scope] = &[
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
        Scope::McpConnect,
        Scope::ContextStoreManage,
        Scope::ContextStoreRead,
        Scope::InboxWrite,
        Scope::InboxRead,
        Scope::ChainWrite,
        Scope::ChainRead,
        Scope::ChainManage,
        Scope::MobileWrite,
        Scope::MobileRead,
        Scope::NotificationsWrite,
    ];
    /// The scopes of API keys.
    pub const OF_KEYS: &[Scope] = &[Scope::WebhooksManage, Scope::EventsManage];

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
            | Scope::NotificationsRead
            | Scope::McpConnect
            | Scope::ContextStoreManage
            | Scope::ContextStoreRead
            | Scope::InboxWrite
            | Scope::InboxRead
            | Scope::ChainWrite
            | Scope::ChainRead
            | Scope::ChainManage
            | Scope::MobileWrite
            | Scope::MobileRead
            | Scope::NotificationsWrite => Role::Operator,
            Scope::AuditRead | Scope::WebhooksManage | Scope::EventsManage => Role::Owner,
        }
    }

    /// Whether its holder may change anything by it.
    pub fn changes_something(self) -> bool {
        match self {
            Scope::EventsWrite
            | Scope::WebhooksWrite
            | Scope::DeliveriesWrite
            | Scope::EventTypesWrite
            | Scope::ContextStoreManage
            | Scope::InboxWrite
            | Scope::ChainWrite
            | Scope::ChainManage
            | Scope::MobileWrite
            | Scope::NotificationsWrite
            | Scope::WebhooksManage
            | Scope::EventsManage => true,
            Scope::EventsRead
            | Scope::WebhooksRead
            | Scope::DeliveriesRead
            | Scope::EventTypesRead
            | Scope::AuditRead
            | Scope::NotificationsRead
            | Scope::McpConnect
            | Scope::ContextStoreRead
            | Scope::InboxRead
            | Scope::ChainRead
            | Scope::MobileRead => false,
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
            Scope::McpConnect => "mcp.connect",
            Scope::ContextStoreManage => "context_store.manage",
            Scope::ContextStoreRead => "context_store.read",
            Scope::InboxWrite => "inbox.write",
            Scope::InboxRead => "inbox.read",
            Scope::ChainWrite => "chain.write",
            Scope::ChainRead => "chain.read",
            Scope::ChainManage => "chain.manage",
            Scope::MobileWrite => "mobile.write",
            Scope::MobileRead => "mobile.read",
            Scope::NotificationsWrite => "notifications.write",
            Scope::WebhooksManage => "webhooks:manage",
            Scope::EventsManage => "events:manage",
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

/// Whether what a caller publishes is really sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is.
    #[default]
    Live,
    /// It is recorded and matched, and goes nowhere.
    Test,
}

impl Mode {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Live => "live",
            Mode::Test => "test",
        }
    }
}

/// What a token is: which door it opens, and what its text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// A personal access token, for paths that name the handle.
    #[default]
    Personal,
    /// An API key, which says by itself which handle it is for.
    Key(Mode),
}

/// A personal access token or an API key. Its secret is known to its holder alone; we keep a hash.
///
/// The secret is 256 random bits, so a fast hash is enough: there is nothing to guess.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The public half.
    pub id: TokenId,
    /// The only handle that it is good for.
    pub handle: Handle,
    /// What it is. Tokens were the only kind once, and are stored without the word.
    #[serde(default)]
    pub kind: CredentialKind,
    /// Its maker's words.
    pub name: String,
    /// What it may do; not empty, and of its kind.
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

    /// Whether it opens what needs a scope. Whoever manages the context store also reads it: the
    /// recipe for syncing names no other scope, and asks for the status behind it (seed 002).
    pub fn may(&self, needed: Scope) -> bool {
        let managed = needed == Scope::ContextStoreRead && self.scopes.contains(&Scope::ContextStoreManage);
        managed || self.scopes.contains(&needed)
    }

    /// Its public half as people see it: `tok_…`, or `key_…` of an API key.
    pub fn public_id(&self) -> String {
        match self.kind {
            CredentialKind::Personal => self.id.to_string(),
            CredentialKind::Key(_) => self.key_id().to_string(),
        }
    }

    /// The public half of an API key.
    pub fn key_id(&self) -> ApiKeyId {
        self.id.of_kind()
    }
}

impl CredentialKind {
    /// Whether it is an API key.
    pub fn is_key(self) -> bool {
        match self {
            CredentialKind::Personal => false,
            CredentialKind::Key(_) => true,
        }
    }

    /// Whether what its holder publishes is really sent.
    pub fn mode(self) -> Mode {
        match self {
            CredentialKind::Personal => Mode::Live,
            CredentialKind::Key(mode) => mode,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_before_there_were_keys_are_personal() {
        let id = TokenId::from_bytes([7; 16]);
        let stored = serde_json::json!({
            "id": id, "handle": "acme", "name": "ci", "scopes": ["events.write"],
            "secretSha256": vec![0; 32], "createdAt": "2026-02-25T12:00:00Z", "expiresAt": null, "lastUsedAt": null,
        });
        let token: Token = serde_json::from_value(stored).expect("a token");
        assert_eq!((token.kind, token.secret_sha256), (CredentialKind::Personal, [0; 32]));
        assert_eq!(token.public_id(), id.to_string());
        let key = Token { kind: CredentialKind::Key(Mode::Test), ..token };
        assert_eq!(key.public_id(), format!("key_{}", id.digits()));
        let text = serde_json::to_string(&key).expect("JSON");
        assert_eq!(serde_json::from_str::<Token>(&text).expect("a token"), key);
    }

    #[test]
    fn whoever_manages_the_context_store_also_reads_it_and_nothing_else() {
        let token = |scopes: &[Scope]| Token {
            id: TokenId::from_bytes([7; 16]),
            handle: "acme".parse().expect("a handle"),
            kind: CredentialKind::Personal,
            name: String::new(),
            scopes: scopes.to_vec(),
            secret_sha256: [0; 32],
            created_at: Timestamp::from_seconds(0),
            expires_at: None,
            last_used_at: None,
        };
        for scope in Scope::OF_TOKENS {
            let opened = matches!(scope, Scope::ContextStoreManage | Scope::ContextStoreRead);
            assert_eq!(token(&[Scope::ContextStoreManage]).may(*scope), opened, "{}", scope.as_str());
        }
        assert!(!token(&[Scope::ContextStoreRead]).may(Scope::ContextStoreManage));
    }

    #[test]
    fn every_scope_is_of_one_kind_and_has_its_word() {
        for scope in Scope::OF_TOKENS.iter().chain(Scope::OF_KEYS) {
            assert_eq!(serde_json::to_value(scope).expect("JSON"), scope.as_str());
            assert_ne!(Scope::OF_TOKENS.contains(scope), Scope::OF_KEYS.contains(scope));
        }
    }
}

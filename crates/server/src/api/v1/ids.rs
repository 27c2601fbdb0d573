//! The names that this API has for things of ours.

use angarium_domain::ids::{Id, Kind};

/// Names a subscription: the same 26 characters as its `sub_…`.
pub(super) type WebhookId = Id<WebhookKind>;

/// The kind of ids that begin with `wh_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WebhookKind;

impl Kind for WebhookKind {
    const PREFIX: &'static str = "wh";
}

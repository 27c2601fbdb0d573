//! What the route of public keys says of itself.

use crate::api::v2::public_keys::PublicKeysView;
use crate::openapi::Operation;
use crate::openapi::words::SubscriptionId;

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listPublicKeys", "Show the public keys that verify deliveries")
        .about("A JWK set, newest first. It is empty where secrets are shared.")
        .of::<SubscriptionId>("subscriptionId")
        .answer::<PublicKeysView>(200, "The keys that sign now.")
}

//! What the routes of API keys say of themselves.

use angarium_domain::access::Scope;

use crate::api::v2::api_keys::ApiKeyView;
use crate::api::v2::credential_form::NAME_CHARS_MAX;
use crate::openapi::Operation;
use crate::openapi::schema::{list as list_of, object, text_of, word};
use crate::openapi::words::{ApiKeyId, KeyMode, KeyScope, Time};

pub(in crate::api::v2) fn create() -> Operation {
    let fields = object()
        .required("name", text_of(1..=NAME_CHARS_MAX).such_as("the shop"))
        .required("mode", word::<KeyMode>())
        .required("scopes", list_of(word::<KeyScope>(), 1..=Scope::OF_KEYS.len()))
        .optional("expiresAt", word::<Time>().about("In the future; never if left out."));
    Operation::new("createApiKey", "Make an API key for the v1 API")
        .body("NewApiKey", fields)
        .answer::<ApiKeyView>(201, "Made. `key` is shown this once.")
        .showing("key")
        .conflict("the handle has as many API keys as it may have")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listApiKeys", "List API keys").page_of::<ApiKeyView>("A page of them.")
}

pub(in crate::api::v2) fn revoke() -> Operation {
    Operation::new("revokeApiKey", "Revoke an API key")
        .of::<ApiKeyId>("keyId")
        .nothing("Revoked; it opens nothing from now on.")
}

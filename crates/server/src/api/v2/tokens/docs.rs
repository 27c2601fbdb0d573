//! What the routes of tokens say of themselves.

use angarium_domain::access::Scope as DomainScope;

use crate::api::v2::credential_form::NAME_CHARS_MAX;
use crate::api::v2::tokens::TokenView;
use crate::openapi::Operation;
use crate::openapi::schema::{list as list_of, object, text_of, word};
use crate::openapi::words::{Scope, Time, TokenId};

pub(in crate::api::v2) fn create() -> Operation {
    let scopes = list_of(word::<Scope>(), 1..=DomainScope::OF_TOKENS.len());
    let fields = object()
        .required("name", text_of(1..=NAME_CHARS_MAX).such_as("the shop"))
        .required("scopes", scopes)
        .optional("expiresAt", word::<Time>().about("In the future; never if left out."));
    Operation::new("createToken", "Make a personal access token")
        .body("NewToken", fields)
        .answer::<TokenView>(201, "Made. `token` is shown this once.")
        .showing("token")
        .conflict("the handle has as many tokens as it may have")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listTokens", "List personal access tokens").page_of::<TokenView>("A page of them.")
}

pub(in crate::api::v2) fn revoke() -> Operation {
    Operation::new("revokeToken", "Revoke a personal access token")
        .of::<TokenId>("tokenId")
        .nothing("Revoked; it opens nothing from now on.")
}

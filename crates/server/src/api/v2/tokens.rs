//! Personal access tokens: made, listed and revoked by people, never by tokens (contract 3).

pub(super) mod docs;

use angarium_domain::access::{CredentialKind, Role, Scope, Token};
use angarium_domain::ids::{TokenId, TokenKind};
use angarium_domain::time::Timestamp;
use angarium_engine::{TokenMade, Tokens};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, items, json, nothing};
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::credential_form::{new_token, page_of};
use crate::auth::insufficient_role;
use crate::openapi::words;
use crate::problem::Problem;
use crate::state::Sources;

/// A personal access token of the handle.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenView {
    #[schema(value_type = words::TokenId)]
    token_id: TokenId,
    #[schema(example = "the shop")]
    name: String,
    #[schema(value_type = Vec<words::Scope>)]
    scopes: Vec<Scope>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Time>)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    last_used_at: Option<Timestamp>,
    /// In the answer to creation, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "patv1_01kaj….…")]
    token: Option<String>,
}

pub(super) async fn create(
    State(tokens): State<Tokens>,
    State(sources): State<Sources>,
    write: Write,
) -> Result<Answered, Problem> {
    let new = new_token(write.form()?, CredentialKind::Personal, sources.clock.now())?;
    may_give(write.role, &new.scopes)?;
    let (caller, once) = write.into_parts(|made: &TokenMade| {
        let view = TokenView::of(&made.token);
        json(StatusCode::CREATED, &TokenView { token: Some(made.text.clone()), ..view })
    });
    carried_out(async move { tokens.create(caller, new, once).await }).await
}

pub(super) async fn list(
    State(tokens): State<Tokens>,
    read: Read,
) -> Result<Json<Items<TokenView>>, Problem> {
    let list = format!("{} tokens", read.handle);
    let request = read.query().page(&list)?;
    let page = page_of(tokens.list(&read.handle).await?, request);
    Ok(items(page, &list, |token| TokenView::of(&token)))
}

pub(super) async fn revoke(
    State(tokens): State<Tokens>,
    PathId(id): PathId<TokenKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { tokens.revoke(caller, id, once).await }).await
}

/// Nobody gives a token more than they may do themselves.
fn may_give(role: Option<Role>, scopes: &[Scope]) -> Result<(), Problem> {
    let needed = scopes.iter().map(|scope| scope.given_by()).max();
    match needed.filter(|needed| role.is_none_or(|role| role < *needed)) {
        Some(needed) => Err(insufficient_role(role, needed)),
        None => Ok(()),
    }
}

impl TokenView {
    fn of(token: &Token) -> TokenView {
        TokenView {
            token_id: token.id,
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            token: None,
        }
    }
}

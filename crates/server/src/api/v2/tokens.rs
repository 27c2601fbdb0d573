//! Personal access tokens: made, listed and revoked by people, never by tokens (contract 3).

pub(super) mod docs;

use angarium_domain::access::{Role, Scope, Token};
use angarium_domain::ids::{TokenId, TokenKind};
use angarium_domain::time::Timestamp;
use angarium_engine::{NewToken, TokenMade, Tokens};
use angarium_store::page::Page;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, items, json, nothing};
use crate::api::form::Form;
use crate::api::request::{PathId, Read, Write};
use crate::auth::insufficient_role;
use crate::openapi::words;
use crate::problem::Problem;
use crate::state::Sources;

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

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
    let new = new_token(write.form()?, sources.clock.now())?;
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
    let mut tokens = tokens.list(&read.handle).await?;
    tokens.sort_by_key(|token| std::cmp::Reverse(token.id));
    tokens.retain(|token| request.before.is_none_or(|before| *token.id.as_bytes() < before));
    let page = Page::cut(tokens, request.limit, |token| *token.id.as_bytes());
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

fn new_token(mut form: Form<'_>, now: Timestamp) -> Result<NewToken, Problem> {
    let name: Option<String> = form.required("name");
    if let Some(chars) =
        name.as_ref().map(|name| name.chars().count()).filter(|n| *n == 0 || *n > NAME_CHARS_MAX)
    {
        form.fault("name", format!("name is {chars} characters, the limits are 1 and {NAME_CHARS_MAX}"));
    }
    let scopes: Option<Vec<Scope>> = form.required("scopes");
    if scopes.as_ref().is_some_and(Vec::is_empty) {
        form.fault("scopes", "scopes must name at least one scope");
    }
    let expires_at: Option<Timestamp> = form.optional("expiresAt");
    if expires_at.is_some_and(|end| end <= now) {
        form.fault("expiresAt", "expiresAt must be in the future");
    }
    let (name, mut scopes) = form.finish(name.zip(scopes))?;
    scopes.sort_unstable();
    scopes.dedup();
    Ok(NewToken { name, scopes, expires_at })
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

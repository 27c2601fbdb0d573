//! API keys for the v1 API: made, listed and revoked by owners, never by keys (contract 4).

pub(super) mod docs;

use angarium_domain::access::{Mode, Scope, Token};
use angarium_domain::ids::{ApiKeyId, ApiKeyKind};
use angarium_domain::time::Timestamp;
use angarium_engine::{TokenMade, Tokens};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, items, json, nothing};
use crate::api::request::{PathId, Read, Write};
use crate::api::v2::credential_form::{new_key, page_of};
use crate::openapi::words;
use crate::problem::Problem;
use crate::state::Sources;

/// A key of the handle for the v1 API.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKeyView {
    #[schema(value_type = words::ApiKeyId)]
    key_id: ApiKeyId,
    #[schema(example = "the shop")]
    name: String,
    #[schema(value_type = words::KeyMode)]
    mode: Mode,
    #[schema(value_type = Vec<words::KeyScope>)]
    scopes: Vec<Scope>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Time>)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    last_used_at: Option<Timestamp>,
    /// In the answer to creation, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "pxk_live_01kaj…")]
    key: Option<String>,
}

pub(super) async fn create(
    State(tokens): State<Tokens>,
    State(sources): State<Sources>,
    write: Write,
) -> Result<Answered, Problem> {
    let new = new_key(write.form()?, sources.clock.now())?;
    let (caller, once) = write.into_parts(|made: &TokenMade| {
        let view = ApiKeyView::of(&made.token);
        json(StatusCode::CREATED, &ApiKeyView { key: Some(made.text.clone()), ..view })
    });
    carried_out(async move { tokens.create(caller, new, once).await }).await
}

pub(super) async fn list(
    State(tokens): State<Tokens>,
    read: Read,
) -> Result<Json<Items<ApiKeyView>>, Problem> {
    let list = format!("{} api keys", read.handle);
    let request = read.query().page(&list)?;
    let page = page_of(tokens.list_keys(&read.handle).await?, request);
    Ok(items(page, &list, |key| ApiKeyView::of(&key)))
}

pub(super) async fn revoke(
    State(tokens): State<Tokens>,
    PathId(id): PathId<ApiKeyKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { tokens.revoke_key(caller, id, once).await }).await
}

impl ApiKeyView {
    fn of(token: &Token) -> ApiKeyView {
        ApiKeyView {
            key_id: token.key_id(),
            name: token.name.clone(),
            mode: token.kind.mode(),
            scopes: token.scopes.clone(),
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            key: None,
        }
    }
}

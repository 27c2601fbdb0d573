//! The audit log of a handle: who did what, newest first.

pub(super) mod docs;

use std::net::IpAddr;

use angarium_domain::audit::{AuditRow, ChainHash};
use angarium_domain::time::Timestamp;
use angarium_engine::AuditTrail;
use angarium_store::audit::AuditFilter;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::answer::{Items, items};
use crate::api::query::Query;
use crate::api::request::Read;
use crate::openapi::words;
use crate::problem::Problem;

/// One act, in its place in the chain.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditRow)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditView {
    /// Its place in the chain over all handles, so there are gaps.
    number: u64,
    #[schema(value_type = words::Time)]
    at: Timestamp,
    #[schema(example = "jwt:alice")]
    actor: String,
    #[schema(example = "webhook.create")]
    action: String,
    #[schema(example = "sub_01kjbv0tkgfjet4etw267583v2")]
    object: String,
    #[schema(value_type = words::RequestId)]
    request_id: String,
    /// The address that the request came from, which may be a proxy's.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    ip: Option<IpAddr>,
    /// The fields that the act changed, without secrets.
    #[schema(value_type = Option<words::Fields>, example = json!(null))]
    before: Option<Box<RawValue>>,
    #[schema(value_type = Option<words::Fields>)]
    after: Option<Box<RawValue>>,
    #[schema(value_type = words::ChainHash)]
    previous_hash: ChainHash,
    #[schema(value_type = words::ChainHash)]
    hash: ChainHash,
}

pub(super) async fn list(
    State(trail): State<AuditTrail>,
    read: Read,
) -> Result<Json<Items<AuditView>>, Problem> {
    let mut query = read.query();
    let filter = filter_of(&mut query);
    let list = format!("{} audit {filter:?}", read.handle);
    let page = trail.list(&read.handle, filter, query.page(&list)?).await?;
    Ok(items(page, &list, AuditView::from))
}

fn filter_of(query: &mut Query<'_>) -> AuditFilter {
    AuditFilter {
        actor: query.optional("actor"),
        action: query.optional("action"),
        object: query.optional("object"),
        since: query.optional("since"),
        until: query.optional("until"),
    }
}

impl From<AuditRow> for AuditView {
    fn from(row: AuditRow) -> AuditView {
        let AuditRow { number, entry, previous, hash } = row;
        let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        AuditView {
            number,
            at: entry.at,
            actor: entry.actor,
            action: entry.action.into_owned(),
            object: entry.object,
            request_id: entry.request_id,
            ip: entry.ip,
            before: json(entry.difference.before),
            after: json(entry.difference.after),
            previous_hash: previous,
            hash,
        }
    }
}

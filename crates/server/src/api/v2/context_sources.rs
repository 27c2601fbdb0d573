//! Sources of the context store (contract 8).

pub(super) mod docs;
mod source_form;

use angarium_domain::context::source::{Content, Skipped, Source};
use angarium_domain::context::sync::SyncFailure;
use angarium_domain::context::{Reason, Status};
use angarium_domain::ids::{SourceId, SourceKind};
use angarium_domain::time::Timestamp;
use angarium_engine::ContextStore;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, Items, carried_out, found, items, json, nothing};
use crate::api::request::{PathId, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;
use source_form::{new_source, source_patch};

/// A source of documents, and how it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = ContextSource)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceView {
    #[schema(value_type = words::SourceId)]
    source_id: SourceId,
    #[schema(example = "Guides")]
    name: String,
    #[schema(value_type = words::SourceKind)]
    kind: &'static str,
    /// Where it is, without a query. Null for documents that came with the source.
    #[schema(example = "https://docs.example.com/guide.md")]
    location: Option<String>,
    #[schema(value_type = words::SourceStatus)]
    status: Status,
    /// Whether searches see any of it: always in `READY` and `PREVIEW`, in `SYNCING` if it was before.
    searchable: bool,
    content: ContentView,
    /// When a sync last succeeded.
    #[schema(value_type = Option<words::Time>)]
    synced_at: Option<Timestamp>,
    /// Why the last sync failed, or the last attempt of the one that runs. With `READY` or `PREVIEW`: the
    /// documents are those of the sync before it.
    failure: Option<FailureView>,
    /// When the sync that runs asks for the documents again.
    #[schema(value_type = Option<words::Time>)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
}

/// What searches see of a source.
#[derive(Serialize, ToSchema)]
#[schema(as = SourceContent)]
#[serde(rename_all = "camelCase")]
struct ContentView {
    #[schema(example = 1)]
    documents: u32,
    /// Pieces that the documents were cut into.
    #[schema(example = 12)]
    chunks: u32,
    /// Bytes of text.
    #[schema(example = 16_204)]
    bytes: u64,
    /// How many documents were left out.
    skipped: u32,
    /// The first twenty of those.
    skipped_documents: Vec<SkippedView>,
}

/// A document that was left out.
#[derive(Serialize, ToSchema)]
#[schema(as = SkippedDocument)]
#[serde(rename_all = "camelCase")]
struct SkippedView {
    #[schema(example = "notes/old.txt")]
    document: String,
    #[schema(value_type = words::SyncReason)]
    reason: Reason,
    #[schema(example = "byte 12 of the document is not UTF-8")]
    message: String,
}

/// Why there are no new documents.
#[derive(Serialize, ToSchema)]
#[schema(as = SyncFailure)]
#[serde(rename_all = "camelCase")]
struct FailureView {
    #[schema(value_type = words::Time)]
    at: Timestamp,
    #[schema(value_type = words::SyncReason)]
    reason: Reason,
    #[schema(example = "the address answered 404 Not Found")]
    message: String,
}

/// A sync that was asked for, or joined.
#[derive(Serialize, ToSchema)]
#[schema(as = SyncStarted)]
#[serde(rename_all = "camelCase")]
pub(super) struct SyncView {
    #[schema(value_type = words::SourceId)]
    source_id: SourceId,
    #[schema(value_type = words::SourceStatus)]
    status: Status,
    #[schema(value_type = words::RequestId)]
    request_id: String,
}

pub(super) async fn create(State(store): State<ContextStore>, write: Write) -> Result<Answered, Problem> {
    let new = new_source(write.form()?)?;
    let (caller, once) =
        write.into_parts(|source: &Source| json(StatusCode::CREATED, &SourceView::of(source)));
    carried_out(async move { store.create(caller, new, once).await }).await
}

pub(super) async fn list(
    State(store): State<ContextStore>,
    read: Read,
) -> Result<Json<Items<SourceView>>, Problem> {
    let list = format!("{} context-sources", read.handle);
    let page = read.query().page(&list)?;
    let page = store.list(&read.handle, page).await?;
    Ok(items(page, &list, |source| SourceView::of(&source)))
}

pub(super) async fn get(
    State(store): State<ContextStore>,
    PathId(id): PathId<SourceKind>,
    read: Read,
) -> Result<Json<SourceView>, Problem> {
    found(store.get(&read.handle, id).await?.as_ref().map(SourceView::of))
}

pub(super) async fn patch(
    State(store): State<ContextStore>,
    PathId(id): PathId<SourceKind>,
    write: Write,
) -> Result<Answered, Problem> {
    let patch = source_patch(write.form()?)?;
    let (caller, once) = write.into_parts(|source: &Source| json(StatusCode::OK, &SourceView::of(source)));
    carried_out(async move { store.change(caller, id, patch, once).await }).await
}

pub(super) async fn delete(
    State(store): State<ContextStore>,
    PathId(id): PathId<SourceKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.into_parts(|()| nothing());
    carried_out(async move { store.remove(caller, id, once).await }).await
}

pub(super) async fn sync(
    State(store): State<ContextStore>,
    PathId(id): PathId<SourceKind>,
    write: Write,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |source: &Source| {
        let (source_id, status) = (source.id, source.status());
        json(StatusCode::ACCEPTED, &SyncView { source_id, status, request_id: request_id.clone() })
    });
    carried_out(async move { store.sync(caller, id, once).await }).await
}

impl SourceView {
    pub(crate) fn of(source: &Source) -> SourceView {
        let run = source.run.as_ref();
        let failure = run.and_then(|run| run.trouble.as_ref()).or(source.failure.as_ref());
        SourceView {
            source_id: source.id,
            name: source.name.clone(),
            kind: source.kind.as_str(),
            location: source.location.clone(),
            status: source.status(),
            searchable: source.is_searchable(),
            content: ContentView::of(&source.content),
            synced_at: source.synced_at,
            failure: failure.map(FailureView::of),
            next_attempt_at: run.filter(|run| run.trouble.is_some()).map(|run| run.due_at),
            created_at: source.created_at,
        }
    }
}

impl ContentView {
    fn of(content: &Content) -> ContentView {
        let skipped_documents = content.skipped_named.iter().map(|skipped| {
            let Skipped { document, reason, message } = skipped.clone();
            SkippedView { document, reason, message }
        });
        ContentView {
            documents: content.documents,
            chunks: content.chunks,
            bytes: content.bytes,
            skipped: content.skipped,
            skipped_documents: skipped_documents.collect(),
        }
    }
}

impl FailureView {
    fn of(failure: &SyncFailure) -> FailureView {
        let SyncFailure { at, reason, message } = failure.clone();
        FailureView { at, reason, message }
    }
}

//! Searching the context store (contract 8).

pub(super) mod docs;

use angarium_domain::context::search::{Mark, QUERY_BYTES_MAX};
use angarium_domain::ids::SourceId;
use angarium_engine::{ContextStore, Hit};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Items, items};
use crate::api::request::Read;
use crate::openapi::words;
use crate::problem::{Detail, Problem};

/// A piece of a document that was found.
#[derive(Serialize, ToSchema)]
#[schema(as = SearchResult)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HitView {
    #[schema(value_type = words::SourceId)]
    source_id: SourceId,
    /// The document's name within its source: a URL, a path, or its author's word.
    #[schema(example = "guides/webhooks.md")]
    document: String,
    #[schema(example = "Webhooks")]
    title: String,
    /// Which piece of its document, from 0.
    #[schema(example = 3)]
    chunk: u32,
    /// What the piece says.
    #[schema(example = "Rotate the secret twice a year.")]
    text: String,
    snippet: SnippetView,
}

/// The part of a piece that holds the most of what was looked for.
#[derive(Serialize, ToSchema)]
#[schema(as = Snippet)]
#[serde(rename_all = "camelCase")]
struct SnippetView {
    /// Plain text, as it stands in the piece.
    #[schema(example = "Rotate the secret twice a year.")]
    text: String,
    /// Where words that were looked for stand in it.
    marks: Vec<MarkView>,
}

/// A place in a text, counted in characters (Unicode scalar values) from 0.
#[derive(Serialize, ToSchema)]
#[schema(as = Mark)]
#[serde(rename_all = "camelCase")]
struct MarkView {
    #[schema(example = 11)]
    start: usize,
    /// The character behind its last.
    #[schema(example = 17)]
    end: usize,
}

pub(super) async fn search(
    State(store): State<ContextStore>,
    read: Read,
) -> Result<Json<Items<HitView>>, Problem> {
    let mut query = read.query();
    let text: Option<String> = query.optional("q");
    let source: Option<SourceId> = query.optional("sourceId");
    let list = format!("{} context-store {source:?} {text:?}", read.handle);
    let page = query.page(&list)?;
    let text = question(text)?;
    let page = store.search(&read.handle, &text, source, page).await?;
    Ok(items(page, &list, HitView::of))
}

fn question(text: Option<String>) -> Result<String, Problem> {
    let text = text.ok_or_else(|| Problem::invalid(vec![Detail::new("q", "required", "q is required")]))?;
    if text.len() > QUERY_BYTES_MAX {
        let message = format!("q is {} bytes, the limit is {QUERY_BYTES_MAX}", text.len());
        return Err(Problem::invalid_field("q", message));
    }
    Ok(text)
}

impl HitView {
    pub(crate) fn of(hit: Hit) -> HitView {
        let marks = hit.snippet.marks.iter().map(|Mark { start, end }| MarkView { start: *start, end: *end });
        HitView {
            source_id: hit.source,
            document: hit.chunk.document,
            title: hit.chunk.title,
            chunk: hit.chunk.place,
            text: hit.chunk.text,
            snippet: SnippetView { marks: marks.collect(), text: hit.snippet.text },
        }
    }
}

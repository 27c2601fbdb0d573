//! The inbox of a handle, as its caller reads it (contract 6).

pub(super) mod docs;

use std::sync::Arc;

use angarium_domain::event_type::EventType;
use angarium_domain::ids::{ItemId, ItemKind};
use angarium_domain::inbox::{
    Act, ActionUrl, Counts, DATA_BYTES_MAX, InvalidText, Item, Mark, check_body, check_title,
};
use angarium_domain::payload::{InvalidPayload, Payload};
use angarium_domain::time::Timestamp;
use angarium_engine::{Inbox, MarkedItem, NewItem};
use angarium_store::inboxes::{ItemFilter, Marked};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, json, next_cursor};
use crate::api::form::Form;
use crate::api::query::Query;
use crate::api::request::{PathId, Read, Write};
use crate::openapi::words;
use crate::problem::Problem;
use crate::state::AppSchemes;

/// An item as its reader has it.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxItem)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemView {
    #[schema(value_type = words::ItemId)]
    item_id: ItemId,
    #[schema(value_type = words::EventType)]
    r#type: EventType,
    /// Plain text, whatever it looks like.
    #[schema(example = "Order 42 has shipped")]
    title: String,
    /// Plain text, whatever it looks like.
    #[schema(example = "It will be there on Friday.")]
    body: Option<String>,
    #[schema(value_type = Option<words::Payload>)]
    data: Option<Box<RawValue>>,
    /// `https`, or the scheme of an app that the operator has named.
    #[schema(example = "https://app.example.com/orders/42")]
    action_url: Option<String>,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Time>)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    seen_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    read_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>)]
    archived_at: Option<Timestamp>,
}

/// What the caller's badge shows. Absolute values: whoever has a newer `version` forgets the older.
#[derive(Serialize, ToSchema)]
#[schema(as = InboxCounts)]
#[serde(rename_all = "camelCase")]
pub(super) struct CountsView {
    /// Items that are neither read nor archived.
    unread_count: u64,
    /// Items that are neither seen, read nor archived.
    unseen_count: u64,
    /// Grows with every change of either.
    version: u64,
}

/// A page of the inbox, newest first, and the caller's counts at that moment.
#[derive(Serialize, ToSchema)]
#[schema(as = Inbox)]
#[serde(rename_all = "camelCase")]
pub(super) struct InboxView {
    items: Vec<ItemView>,
    #[serde(flatten)]
    counts: CountsView,
    #[schema(example = json!(null))]
    next_cursor: Option<String>,
}

/// An item after the caller did something with it, and the caller's counts from then on.
#[derive(Serialize, ToSchema)]
#[schema(as = MarkedInboxItem)]
struct MarkedView {
    item: ItemView,
    #[serde(flatten)]
    counts: CountsView,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum YesOrNo {
    True,
    False,
}

/// What of the archived ones is listed.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Archived {
    Exclude,
    Include,
    Only,
}

pub(super) async fn list(State(inbox): State<Inbox>, read: Read) -> Result<Json<InboxView>, Problem> {
    let mut query = read.query();
    let filter = filter_of(&mut query);
    let list = format!("{} inbox {filter:?}", read.handle);
    let page = query.page(&list)?;
    let (page, counts) = inbox.items(&read.handle, &read.reader(), filter, page).await?;
    let next_cursor = next_cursor(&page, &list);
    let items = page.items.iter().map(ItemView::of).collect();
    Ok(Json(InboxView { items, counts: counts.into(), next_cursor }))
}

pub(super) async fn post(
    State(inbox): State<Inbox>,
    State(schemes): State<AppSchemes>,
    write: Write,
) -> Result<Answered, Problem> {
    let new = new_item(write.form()?, &schemes)?;
    let (caller, once) = write
        .into_parts(|item: &Arc<Item>| json(StatusCode::CREATED, &ItemView::with(item, &Mark::default())));
    carried_out(async move { inbox.post(caller, new, once).await }).await
}

pub(super) async fn see(
    inbox: State<Inbox>,
    id: PathId<ItemKind>,
    write: Write,
) -> Result<Answered, Problem> {
    mark(inbox, id, write, Act::See).await
}

pub(super) async fn read(
    inbox: State<Inbox>,
    id: PathId<ItemKind>,
    write: Write,
) -> Result<Answered, Problem> {
    mark(inbox, id, write, Act::Read).await
}

pub(super) async fn unread(
    inbox: State<Inbox>,
    id: PathId<ItemKind>,
    write: Write,
) -> Result<Answered, Problem> {
    mark(inbox, id, write, Act::Unread).await
}

pub(super) async fn archive(
    inbox: State<Inbox>,
    id: PathId<ItemKind>,
    write: Write,
) -> Result<Answered, Problem> {
    mark(inbox, id, write, Act::Archive).await
}

pub(super) async fn unarchive(
    inbox: State<Inbox>,
    id: PathId<ItemKind>,
    write: Write,
) -> Result<Answered, Problem> {
    mark(inbox, id, write, Act::Unarchive).await
}

pub(super) async fn read_all(State(inbox): State<Inbox>, write: Write) -> Result<Answered, Problem> {
    let mut form = write.form()?;
    let up_to = form.required("upTo");
    let up_to = form.finish(up_to)?;
    let (caller, once) =
        write.own().into_parts(|counts: &Counts| json(StatusCode::OK, &CountsView::from(*counts)));
    carried_out(async move { inbox.read_all(caller, up_to, once).await }).await
}

async fn mark(
    State(inbox): State<Inbox>,
    PathId(id): PathId<ItemKind>,
    write: Write,
    act: Act,
) -> Result<Answered, Problem> {
    write.no_fields()?;
    let (caller, once) = write.own().into_parts(|made: &MarkedItem| {
        let (item, counts) = (ItemView::of(&made.marked), made.counts.into());
        json(StatusCode::OK, &MarkedView { item, counts })
    });
    carried_out(async move { inbox.mark(caller, id, act, once).await }).await
}

fn filter_of(query: &mut Query<'_>) -> ItemFilter {
    let unread = query.optional("unread").map(|wish| match wish {
        YesOrNo::True => true,
        YesOrNo::False => false,
    });
    let archived = match query.optional("archived").unwrap_or(Archived::Exclude) {
        Archived::Exclude => Some(false),
        Archived::Include => None,
        Archived::Only => Some(true),
    };
    ItemFilter { unread, archived, item_type: query.optional("type") }
}

fn new_item(mut form: Form<'_>, schemes: &AppSchemes) -> Result<NewItem, Problem> {
    let item_type: Option<EventType> = form.required("type");
    let title: Option<String> = form.required("title");
    refuse(&mut form, "title", title.as_deref().map(check_title));
    let body: Option<String> = form.optional("body");
    refuse(&mut form, "body", body.as_deref().map(check_body));
    let data = form.raw("data").and_then(|written| data_of(&mut form, written));
    let action_url: Option<String> = form.optional("actionUrl");
    let action_url = action_url.and_then(|text| {
        let parsed = ActionUrl::parse(&text, &schemes.0);
        parsed.map_err(|error| form.fault("actionUrl", format!("actionUrl {error}"))).ok()
    });
    let expires_at = form.optional("expiresAt");
    let new = item_type.zip(title);
    let new = new.map(|(item_type, title)| NewItem { item_type, title, body, data, action_url, expires_at });
    form.finish(new)
}

fn refuse(form: &mut Form<'_>, field: &'static str, judged: Option<Result<(), InvalidText>>) {
    if let Some(Err(error)) = judged {
        form.fault(field, format!("{field} {error}"));
    }
}

fn data_of(form: &mut Form<'_>, written: &RawValue) -> Option<Payload> {
    let parsed = Payload::from_json(written, DATA_BYTES_MAX);
    parsed.map_err(|error| form.fault("data", data_fault(&error))).ok()
}

fn data_fault(error: &InvalidPayload) -> String {
    // Its words are those of a payload.
    error.to_string().replacen("payload", "data", 1)
}

impl ItemView {
    fn of(marked: &Marked) -> ItemView {
        ItemView::with(&marked.item, &marked.mark)
    }

    fn with(item: &Item, mark: &Mark) -> ItemView {
        let data = |data: &Payload| {
            RawValue::from_string(data.as_str().to_owned()).expect("it was JSON when it was accepted")
        };
        ItemView {
            item_id: item.id,
            r#type: item.item_type.clone(),
            title: item.title.clone(),
            body: item.body.clone(),
            data: item.data.as_ref().map(data),
            action_url: item.action_url.as_ref().map(|url| url.as_str().to_owned()),
            created_at: item.created_at,
            expires_at: item.expires_at,
            seen_at: mark.seen_at,
            read_at: mark.read_at,
            archived_at: mark.archived_at,
        }
    }
}

impl From<Counts> for CountsView {
    fn from(counts: Counts) -> CountsView {
        let Counts { unread, unseen, version } = counts;
        CountsView { unread_count: unread, unseen_count: unseen, version }
    }
}

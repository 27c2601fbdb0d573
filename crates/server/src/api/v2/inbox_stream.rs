//! The inbox while things come: server-sent events (contract 6).

use std::time::Duration;

use angarium_domain::event_type::EventType;
use angarium_domain::handle::Handle;
use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{ActionUrl, Counts, Item};
use angarium_domain::time::Timestamp;
use angarium_engine::Inbox;
use angarium_engine::inbox_live::{After, InboxHeard, InboxListener};
use angarium_store::inboxes::{number_at, position};
use angarium_store::page::{cursor, parse_cursor};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::Event;
use http::HeaderMap;
use serde::Serialize;

use super::inbox::CountsView;
use super::telling::{Reason, Source, last_place, tell};
use crate::api::request::Read;
use crate::auth::Standing;
use crate::problem::Problem;
use crate::state::Sources;

/// How long a client shall wait before it connects again, and how much longer at most: after a restart
/// not all of them come at once.
const RETRY: Duration = Duration::from_secs(2);
const RETRY_SPREAD_MS: u64 = 4_000;

/// An item as it is announced: its body and data are in the inbox.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemHead<'a> {
    item_id: ItemId,
    r#type: &'a EventType,
    title: &'a str,
    action_url: Option<&'a str>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// What the stream of one reader tells.
struct Ear {
    listener: InboxListener,
    /// What places in the stream belong to.
    name: String,
}

pub(super) async fn stream(
    State(inbox): State<Inbox>,
    State(sources): State<Sources>,
    standing: Standing,
    headers: HeaderMap,
    read: Read,
) -> Result<impl IntoResponse, Problem> {
    read.query().finish()?;
    let name = name_of(&read.handle);
    let listener = inbox.listen(&read.handle, &read.reader(), after(&headers, &name)).await?;
    let random = u64::from(u16::from_be_bytes([sources.ids.key()[0], sources.ids.key()[1]]));
    let retry = RETRY + Duration::from_millis(random % RETRY_SPREAD_MS);
    Ok(tell(Ear { listener, name }, standing, retry))
}

/// Where an earlier stream of this inbox ended. A place in another one is no place here.
fn after(headers: &HeaderMap, name: &str) -> After {
    let Some(text) = last_place(headers) else { return After::Now };
    parse_cursor(text, name).map_or(After::Nowhere, |position| After::Number(number_at(Some(position))))
}

fn name_of(handle: &Handle) -> String {
    format!("{handle} inbox stream")
}

impl Source for Ear {
    type Heard = InboxHeard;

    fn place(&self) -> Option<String> {
        Some(self.text_of(self.listener.place()?))
    }

    async fn next(&mut self, patience: Duration) -> Option<InboxHeard> {
        self.listener.next(patience).await
    }

    fn event(&self, heard: &InboxHeard) -> Option<Result<Event, axum::Error>> {
        match heard {
            InboxHeard::Item(told, counts) => {
                let text = with_counts(told.text(head_of), *counts);
                Some(Ok(Event::default().event("item").id(self.text_of(told.number)).data(text)))
            }
            InboxHeard::Counts(number, counts) => {
                let event = Event::default().event("counts").id(self.text_of(*number));
                Some(event.json_data(CountsView::from(*counts)))
            }
            InboxHeard::Gap(number) => {
                let reason = "items were missed; the inbox has them";
                Some(Event::default().event("resync").id(self.text_of(*number)).json_data(Reason { reason }))
            }
            InboxHeard::Nothing(_) => None,
        }
    }
}

impl Ear {
    fn text_of(&self, number: u64) -> String {
        cursor(position(number), &self.name)
    }
}

fn head_of(item: &Item) -> String {
    let head = ItemHead {
        item_id: item.id,
        r#type: &item.item_type,
        title: &item.title,
        action_url: item.action_url.as_ref().map(ActionUrl::as_str),
        created_at: item.created_at,
        expires_at: item.expires_at,
    };
    serde_json::to_string(&head).expect("our answers are JSON")
}

/// The text of an item, which all listeners share, with the counts of one of them.
fn with_counts(item: &str, counts: Counts) -> String {
    let Counts { unread, unseen, version } = counts;
    format!(r#"{{"item":{item},"unreadCount":{unread},"unseenCount":{unseen},"version":{version}}}"#)
}

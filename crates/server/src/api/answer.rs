//! Successful answers.

use angarium_engine::tasks::run;
use angarium_engine::{Answer, Reply};
use angarium_store::page::{Page, cursor};
use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tracing::Instrument;

use crate::problem::Problem;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What came of a write: the answer of now, or the one that was given to the same write before.
pub(crate) struct Answered(Reply);

/// One page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Items<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// An answer with a body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("our answers are JSON");
    Answer { status: status.as_u16(), body: body.into() }
}

/// 204.
pub(crate) fn nothing() -> Answer {
    Answer { status: StatusCode::NO_CONTENT.as_u16(), body: Bytes::new() }
}

/// Has the engine carry out a write in a task of its own: a caller who hangs up changes nothing
/// half way.
pub(crate) async fn carried_out<E>(
    write: impl Future<Output = Result<Reply, E>> + Send + 'static,
) -> Result<Answered, Problem>
where
    E: Into<Problem> + Send + 'static,
{
    // The span goes along, so that the task's log lines carry the request's id.
    run(write.in_current_span()).await.map(Answered).map_err(Into::into)
}

/// A thing that may not be there.
pub(crate) fn found<T: Serialize>(thing: Option<T>) -> Result<Json<T>, Problem> {
    thing.map(Json).ok_or_else(Problem::not_found)
}

/// The text of the cursor that leads on from a page of `list`.
pub(crate) fn next_cursor<T>(page: &Page<T>, list: &str) -> Option<String> {
    page.next.map(|position| cursor(position, list))
}

/// A page of `list`, in the words of the wire.
pub(crate) fn items<T, U: Serialize>(page: Page<T>, list: &str, view: impl FnMut(T) -> U) -> Json<Items<U>> {
    let next_cursor = next_cursor(&page, list);
    Json(Items { items: page.items.into_iter().map(view).collect(), next_cursor })
}

/// A page of handles, which are listed by name.
pub(crate) fn items_by_name<T: Serialize>(items: Vec<T>, next_cursor: Option<String>) -> Json<Items<T>> {
    Json(Items { items, next_cursor })
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let Reply { answer, replayed } = self.0;
        let status = StatusCode::from_u16(answer.status).expect("statuses come from our own answers");
        let has_body = !answer.body.is_empty();
        let mut response = (status, answer.body).into_response();
        let headers = response.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        } else {
            headers.remove(CONTENT_TYPE);
        }
        if replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

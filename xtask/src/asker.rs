//! A caller that asks until it is answered: who is killed now and then says nothing now and then.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header::HeaderValue};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{api::Api, wire::Line};

/// How long one question may go unanswered, restarts included.
const PATIENCE: Duration = Duration::from_mins(1);
/// The wait before it is put again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Somebody with a connection of their own.
#[derive(Debug)]
pub(crate) struct Asker {
    api: Api,
    line: Line,
}

/// An answer, and how often the question was put until it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) asked: u32,
    /// The question, for whoever complains of the answer.
    about: String,
}

impl Asker {
    /// Asks with the rights of `api`.
    pub(crate) fn of(address: SocketAddr, api: &Api) -> Asker {
        Asker { api: api.clone(), line: Line::to(address) }
    }

    /// Asks for one thing on the handle, by one idempotency key however often it is asked for.
    pub(crate) async fn write(&mut self, path: &str, body: &Value, key: &str) -> Result<Answer> {
        self.with_key(Method::POST, path, body.to_string(), key).await
    }

    /// The same for whatever is removed.
    pub(crate) async fn remove(&mut self, path: &str, key: &str) -> Result<Answer> {
        self.with_key(Method::DELETE, path, String::new(), key).await
    }

    /// Reads something of the handle.
    pub(crate) async fn read(&mut self, path: &str) -> Result<Value> {
        let request = self.api.request(Method::GET, path, "");
        self.insist(&request).await?.expect(StatusCode::OK)
    }

    /// Every item of a list, page by page, beside the last page without them.
    pub(crate) async fn list(&mut self, path: &str) -> Result<(Vec<Value>, Value)> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut page = self.read(&format!("{path}{joint}limit=100{cursor}")).await?;
            let items = page["items"].take();
            all.extend(items.as_array().with_context(|| format!("{path} has no items"))?.iter().cloned());
            match page["nextCursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok((all, page)),
            }
        }
    }

    /// Sends a request until it is answered with something that is no promise that nothing was done.
    pub(crate) async fn insist(&mut self, request: &Request<Full<Bytes>>) -> Result<Answer> {
        let about = format!("{} {}", request.method(), request.uri());
        let deadline = Instant::now() + PATIENCE;
        for asked in 1.. {
            match self.line.send(request.clone()).await {
                Ok(answer) if !may_ask_again(answer.status(), answer.body()) => {
                    let status = answer.status();
                    return Ok(Answer { status, body: answer.into_body(), asked, about });
                }
                // No answer: it may have been done or not, and asking again is what keys are for.
                Ok(_) | Err(_) => {}
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(AGAIN_AFTER).await;
        }
        bail!("{about} was not answered within {PATIENCE:?}")
    }

    async fn with_key(&mut self, method: Method, path: &str, body: String, key: &str) -> Result<Answer> {
        let request = self.api.request(method, path, body);
        self.keyed(request, key).await
    }

    /// Sends a request of any kind under a key, until it is answered.
    pub(crate) async fn keyed(&mut self, mut request: Request<Full<Bytes>>, key: &str) -> Result<Answer> {
        request.headers_mut().insert("idempotency-key", HeaderValue::try_from(key)?);
        self.insist(&request).await
    }
}

/// The contract's answers that promise that nothing was done, or that the first request is still at it.
fn may_ask_again(status: StatusCode, body: &[u8]) -> bool {
    let running = || String::from_utf8_lossy(body).contains("running");
    match status {
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::CONFLICT => running(),
        _ => false,
    }
}

impl Answer {
    /// Its JSON, if the status is this one; null for none.
    pub(crate) fn expect(&self, status: StatusCode) -> Result<Value> {
        let Answer { about, body, asked, .. } = self;
        let text = String::from_utf8_lossy(body);
        ensure!(self.status == status, "{about}, asked {asked} times, was answered {}: {text}", self.status);
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).context(about.clone()) }
    }
}

/// The text of a field that an answer must have.
pub(crate) fn text_of(answer: &Value, field: &str) -> Result<String> {
    Ok(answer[field].as_str().with_context(|| format!("no {field} in {answer}"))?.to_owned())
}

/// A request for a whole path, by nobody in particular.
pub(crate) fn by_nobody(
    method: Method,
    path: &str,
    media_type: &str,
    body: impl Into<Bytes>,
) -> Result<Request<Full<Bytes>>> {
    let request = Request::builder().method(method).uri(path).header("host", "angarium");
    Ok(request.header("content-type", media_type).body(Full::new(body.into()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_promises_that_nothing_was_done_is_asked_again() {
        let first = br#"{"error":"conflict","message":"the first request with this idempotency key is still running"}"#;
        let other =
            br#"{"error":"conflict","message":"the file was uploaded already, and cannot be replaced"}"#;
        assert!(may_ask_again(StatusCode::CONFLICT, first) && !may_ask_again(StatusCode::CONFLICT, other));
        assert!(may_ask_again(StatusCode::SERVICE_UNAVAILABLE, b""));
        assert!(
            !may_ask_again(StatusCode::INTERNAL_SERVER_ERROR, b"") && !may_ask_again(StatusCode::OK, b"")
        );
    }
}

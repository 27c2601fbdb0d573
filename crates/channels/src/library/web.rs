//! One document at an address.

use std::sync::Arc;

use ::http::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use ::http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use angarium_domain::context::document::{DOCUMENT_BYTES_MAX, Document, MediaType};
use angarium_domain::context::source::Validators;
use angarium_domain::context::sync::{POLICY, Reason, Trouble};
use angarium_domain::outcome::{Class, Outcome};
use bytes::Bytes;
use http_body_util::Full;

use super::{DEADLINE, Reading, RefusedSource, Taken};
use crate::egress::{Denied, Guard};
use crate::http::{Client, InvalidRoots, Unread};
use crate::webhook;

/// The types that are asked for.
const TYPES: HeaderValue =
    HeaderValue::from_static("text/markdown, text/plain;q=0.9, application/json;q=0.8");
/// A longer validator is not kept.
const VALIDATOR_BYTES_MAX: usize = 1_024;

pub(super) struct Web {
    guard: Arc<Guard>,
    client: Client,
}

impl Web {
    pub(super) fn new(settings: webhook::Settings) -> Result<Web, InvalidRoots> {
        let webhook::Settings { policy, resolver, extra_roots, now, limits, .. } = settings;
        let guard = Arc::new(Guard::new(policy, resolver, limits.lookup));
        let client = Client::new(Arc::clone(&guard), extra_roots, now, &limits)?;
        Ok(Web { guard, client })
    }

    pub(super) async fn check(&self, url: &str) -> Result<String, RefusedSource> {
        let refused = |reason: String| RefusedSource { field: "url", reason };
        let endpoint = self.guard.read(url).map_err(|error| refused(error.reason))?;
        if endpoint.as_str().parse::<Uri>().is_err() {
            return Err(refused("the URL holds a character that must be percent-encoded".to_owned()));
        }
        match self.guard.addresses(&endpoint).await {
            Ok(_) | Err(Denied::Unresolved(_)) => Ok(endpoint.as_str().to_owned()),
            Err(Denied::Blocked(error)) => Err(refused(error.reason)),
        }
    }

    pub(super) async fn read(
        &self,
        url: &str,
        headers: &[(String, String)],
        last: &Validators,
        taken: Taken,
    ) -> Reading {
        // Judged at every connection, too; here also what could not become one.
        if let Err(refused) = self.guard.read(url) {
            return Reading::Failed(Trouble::lasting(Reason::BlockedAddress, refused.reason));
        }
        let Some(request) = request(url, headers, last) else {
            return Reading::Failed(Trouble::lasting(Reason::InternalError, "the address cannot be asked"));
        };
        match self.client.fetch(request, DEADLINE, DOCUMENT_BYTES_MAX).await {
            Ok(response) => self.judge(url, response, taken).await,
            Err(Unread::TooLarge) => {
                let message =
                    format!("the document is larger than {DOCUMENT_BYTES_MAX} bytes, which is the limit");
                Reading::Failed(Trouble::lasting(Reason::TooLarge, message))
            }
            Err(Unread::Failed { failure, detail }) => {
                let passing = Outcome::Failed { failure }.class(POLICY.retry_on()) == Class::Retry;
                let reason = failure.into();
                Reading::Failed(Trouble { reason, message: detail, passing, retry_after_seconds: None })
            }
        }
    }

    async fn judge(&self, url: &str, response: Response<Bytes>, taken: Taken) -> Reading {
        match response.status() {
            StatusCode::OK => document(url, response, taken).await,
            StatusCode::NOT_MODIFIED => Reading::Unchanged,
            status if status.is_redirection() => {
                let message = format!("the address answered {status}; name the one that it leads to");
                Reading::Failed(Trouble::lasting(Reason::RedirectNotFollowed, message))
            }
            status => {
                let retry_after_seconds = self.client.retry_after(response.headers());
                let outcome = Outcome::Answered { status: status.as_u16(), retry_after_seconds };
                let passing = outcome.class(POLICY.retry_on()) == Class::Retry;
                let message = format!("the address answered {status}");
                Reading::Failed(Trouble { reason: Reason::HttpStatus, message, passing, retry_after_seconds })
            }
        }
    }
}

fn request(url: &str, headers: &[(String, String)], last: &Validators) -> Option<Request<Full<Bytes>>> {
    let uri: Uri = url.parse().ok()?;
    let mut known = webhook::headers(headers.to_vec()).ok()?;
    known.insert(ACCEPT, TYPES);
    for (name, value) in [(IF_NONE_MATCH, &last.etag), (IF_MODIFIED_SINCE, &last.last_modified)] {
        if let Some(value) = value.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
            known.insert(name, value);
        }
    }
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    *request.headers_mut() = known;
    Some(request)
}

async fn document(url: &str, response: Response<Bytes>, mut taken: Taken) -> Reading {
    let headers = response.headers();
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(media_type) = MediaType::of_content_type(content_type) else {
        let named: String = content_type.chars().take(100).collect();
        let message = format!("the content type is {named:?}; text/plain, text/markdown and JSON are read");
        return Reading::Failed(Trouble::lasting(Reason::UnsupportedType, message));
    };
    let validators = Validators { etag: kept(headers, ETAG), last_modified: kept(headers, LAST_MODIFIED) };
    // A query may hold a credential, and names are shown.
    let name = url.split('?').next().unwrap_or_default().to_owned();
    // Megabytes take some hundredths of a second, in which this thread would serve nobody.
    let reading = tokio::task::spawn_blocking(move || {
        taken.add(&name, Document::read(&name, media_type, response.body()));
        taken.read.validators = validators;
        taken.reading()
    });
    reading.await.unwrap_or_else(|_| {
        Reading::Failed(Trouble::lasting(Reason::InternalError, "the document could not be read"))
    })
}

fn kept(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= VALIDATOR_BYTES_MAX).then(|| text.to_owned())
}

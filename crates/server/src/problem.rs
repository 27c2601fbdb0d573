//! What a caller is told when something is wrong (contract 9).
//!
//! A [`Problem`] travels as a response extension and becomes JSON in one place,
//! [`crate::request_id`], because only there the request's id is known.

use std::time::Duration;

use angarium_channels::RefusedAddress;
use angarium_channels::library::RefusedSource;
use angarium_channels::sns::Unverified;
use angarium_domain::account::Closed;
use angarium_domain::catalog::Mismatch;
use angarium_domain::chain::InvalidRulebook;
use angarium_domain::ids::EmailSubscriptionKind;
use angarium_domain::quota::Exhausted;
use angarium_engine::inbox_live::ListenError;
use angarium_engine::live::TooManyListeners;
use angarium_engine::{
    AcceptError, ChainError, DeliveryError, EmailError, EventTypeError, FileError, HandleError, InboxError,
    NoticeError, RepeatError, ReplayError, ReportError, SourceError, SubscriptionError, TokenError, TooFast,
    UploadError, VoiceNoteError,
};
use angarium_store::StoreError;
use angarium_store::blobs::BlobError;
use angarium_store::page::InvalidCursor;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::dialect::Dialect;

/// How long a caller is asked to wait when the store cannot be written.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long whoever sends a message of a provider that cannot be asked is asked to wait.
const PROVIDER_RETRY_AFTER: Duration = Duration::from_secs(30);

/// How long whoever uploads where somebody does already is asked to wait. One that is silent ends by itself.
const UPLOAD_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long whoever finds all places of a stream taken is asked to wait.
const LISTENER_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The most fields that are told to be at fault.
const DETAILS_MAX: usize = 100;

/// The longest message about one field.
const MESSAGE_CHARS_MAX: usize = 300;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The status line's code.
    pub status: StatusCode,
    /// The word that programs read.
    pub code: String,
    /// The sentence that people read.
    pub message: String,
    /// The fields at fault.
    pub details: Vec<Detail>,
    /// When asking again makes sense.
    pub retry_after: Option<Duration>,
    /// What programs may want to know besides.
    pub more: Box<Map<String, Value>>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Detail {
    /// Its path, such as `eventTypes[2]`.
    pub field: String,
    /// What kind of fault.
    pub code: &'static str,
    /// The sentence that people read.
    pub message: String,
}

#[derive(Serialize)]
struct Shape<'a> {
    error: &'a str,
    message: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[Detail]>::is_empty")]
    details: &'a [Detail],
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl Detail {
    /// A fault, in a message that does not repeat a whole body that it may quote.
    pub fn new(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Detail {
        Detail { field: field.into(), code, message: cut(message.into()) }
    }
}

impl Problem {
    /// 429: asking again makes sense when somebody else has left.
    pub fn too_many(message: impl Into<String>, retry_after: Duration) -> Problem {
        Problem {
            retry_after: Some(retry_after),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
        }
    }

    /// A problem with no details, in a message that does not repeat a whole body that it may quote.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Problem {
        let message = cut(message.into());
        let (details, more) = (Vec::new(), Box::default());
        Problem { status, code: code.into(), message, details, retry_after: None, more }
    }

    /// 400: the body is not JSON, or not an object.
    pub fn invalid_payload(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_payload", message)
    }

    /// 400: `invalid_<field>` for one field at fault, `validation_error` for several.
    pub fn invalid(mut details: Vec<Detail>) -> Problem {
        let (code, message) = match details.as_slice() {
            [only] if outermost(&only.field).is_empty() => {
                ("invalid_payload".to_owned(), only.message.clone())
            }
            [only] => (format!("invalid_{}", outermost(&only.field)), only.message.clone()),
            several => ("validation_error".to_owned(), format!("{} fields are not valid", several.len())),
        };
        details.truncate(DETAILS_MAX);
        Problem { details, ..Problem::new(StatusCode::BAD_REQUEST, code, message) }
    }

    /// 400 for one field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem::invalid(vec![Detail::new(field, "invalid", message)])
    }

    /// 401 with a code that says what is wrong with the credential.
    pub fn unauthorized(code: &'static str, message: &'static str) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 404. The same for what does not exist and for what belongs to another handle.
    pub fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
    }

    /// 404 for the handle itself.
    pub fn no_such_handle() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "handle_not_found", "there is no such handle")
    }

    /// 409 with what stands in the way.
    pub fn conflict(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 413 with the limit that was passed.
    pub fn too_large(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    /// 500. Says nothing: what happened is in the log, under the request's id.
    pub fn internal() -> Problem {
        let message = "something went wrong on our side; the request id finds it in the log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }

    /// 503: nothing was accepted, and asking again is safe.
    pub fn unavailable(retry_after: Duration) -> Problem {
        let message = "nothing was stored; try again later, with the same idempotency key";
        Problem {
            retry_after: Some(retry_after),
            ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", message)
        }
    }

    /// The JSON text, in the words of the v2 API.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let Problem { code: error, message, details, more, .. } = self;
        let shape = Shape { error, message, request_id, details, more };
        serde_json::to_vec(&shape).expect("text is always JSON")
    }

    /// Fills a response's head and body. Headers stay that say which methods are taken, and which pages may
    /// read the answer.
    pub(crate) fn render(&self, dialect: Dialect, request_id: &str, response: &Response) -> Response {
        let kept = response.headers().iter().filter(|(name, _)| is_kept(name));
        let kept: Vec<_> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut response = (self.status, dialect.body(self, request_id)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in kept {
            headers.append(name, value);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait).max(1)));
        }
        response
    }
}

/// Rounded up: a caller who comes back too early is refused again.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

fn is_kept(name: &HeaderName) -> bool {
    [ALLOW, CONTENT_RANGE, VARY].contains(name) || name.as_str().starts_with("access-control-")
}

fn cut(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(end);
    }
    message
}

/// The name of the field in the body that holds `path`, reduced to what fits in a code.
fn outermost(path: &str) -> String {
    let end = path.find(['.', '[', '/']).unwrap_or(path.len());
    let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    path[..end].chars().filter(word).take(64).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Unavailable { reason } => {
                tracing::error!(reason, "the store is unavailable");
                Problem::unavailable(STORE_RETRY_AFTER)
            }
            // The engine decides again after a conflict; one that comes this far lost every round.
            StoreError::Conflict => Problem::unavailable(STORE_RETRY_AFTER),
            StoreError::LeaseLost => {
                tracing::error!("a request met a lost lease, which only attempts have");
                Problem::internal()
            }
            StoreError::Exhausted(exhausted) => (*exhausted).into(),
            StoreError::Corrupt { reason } => {
                tracing::error!(reason, "the store is corrupt");
                Problem::internal()
            }
        }
    }
}

impl From<Exhausted> for Problem {
    fn from(exhausted: Exhausted) -> Problem {
        let Exhausted { draw, used } = &exhausted;
        let more = [
            ("plan", json!(draw.plan)),
            ("limits", json!({ "writesPerDay": draw.limit })),
            ("usage", json!({ "writesToday": used, "writesDay": draw.day.to_string() })),
        ];
        Problem {
            retry_after: Some(exhausted.wait()),
            more: Box::new(more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ..Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", exhausted.to_string())
        }
    }
}

impl From<Closed> for Problem {
    fn from(closed: Closed) -> Problem {
        match &closed {
            Closed::NotFound => Problem::no_such_handle(),
            Closed::Suspended { reason } => Problem {
                more: Box::new(Map::from_iter([("reason".to_owned(), json!(reason))])),
                ..Problem::new(StatusCode::FORBIDDEN, "handle_suspended", closed.to_string())
            },
        }
    }
}

impl From<HandleError> for Problem {
    fn from(error: HandleError) -> Problem {
        match error {
            HandleError::NotFound => Problem::no_such_handle(),
            HandleError::Exists | HandleError::Leaving => Problem::conflict(error.to_string()),
            HandleError::Repeat(error) => error.into(),
            HandleError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            HandleError::Store(error) => error.into(),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Problem {
        match error {
            ReportError::NotFound => Problem::not_found(),
            ReportError::Unknown { field } => Problem::invalid_field(field, error.to_string()),
            ReportError::Repeat(error) => error.into(),
            ReportError::Closed(closed) => closed.into(),
            ReportError::Store(error) => error.into(),
        }
    }
}

impl From<VoiceNoteError> for Problem {
    fn from(error: VoiceNoteError) -> Problem {
        match error {
            VoiceNoteError::NotFound => Problem::not_found(),
            VoiceNoteError::TooLarge { .. } => Problem::invalid_field("sizeBytes", error.to_string()),
            VoiceNoteError::Full(_) | VoiceNoteError::Late => Problem::conflict(error.to_string()),
            VoiceNoteError::UploadMissing => {
                Problem::new(StatusCode::CONFLICT, "upload_missing", error.to_string())
            }
            VoiceNoteError::Repeat(error) => error.into(),
            VoiceNoteError::Closed(closed) => closed.into(),
            VoiceNoteError::Blob(error) => error.into(),
            VoiceNoteError::Store(error) => error.into(),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Problem {
        let message = error.to_string();
        match error {
            UploadError::Link(refused) => refused.into(),
            UploadError::Removed => Problem::not_found(),
            UploadError::OtherType { .. } => {
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
            }
            UploadError::TooLarge { .. } => Problem::too_large(message),
            UploadError::TooSmall { .. } | UploadError::Broken => Problem::invalid_payload(message),
            UploadError::OtherHash { .. } => Problem::invalid_field("sha256", message),
            UploadError::TooMany => Problem::too_many(message, UPLOAD_RETRY_AFTER),
            UploadError::Finished => Problem::new(StatusCode::CONFLICT, "upload_finished", message),
            UploadError::Running => {
                let problem = Problem::new(StatusCode::CONFLICT, "upload_running", message);
                Problem { retry_after: Some(UPLOAD_RETRY_AFTER), ..problem }
            }
            UploadError::Closed(closed) => closed.into(),
            UploadError::Blob(error) => error.into(),
            UploadError::Store(error) => error.into(),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Problem {
        match error {
            FileError::Link(refused) => refused.into(),
            FileError::Removed => Problem::not_found(),
            FileError::Blob(error) => error.into(),
            FileError::Store(error) => error.into(),
        }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Problem {
        let reason = match &error {
            BlobError::Io(source) => source.to_string(),
            BlobError::Taken | BlobError::Busy => error.to_string(),
        };
        tracing::error!(reason, "the files of voice notes cannot be used");
        Problem::unavailable(STORE_RETRY_AFTER)
    }
}

impl From<RepeatError> for Problem {
    fn from(error: RepeatError) -> Problem {
        match error {
            RepeatError::StillRunning => {
                Problem::conflict("the first request with this idempotency key is still running")
            }
            RepeatError::Reused => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "this idempotency key was used with another body",
            ),
        }
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Problem {
        match error {
            AcceptError::Repeat(error) => error.into(),
            AcceptError::Mismatch(mismatch) => Problem::from(&mismatch),
            AcceptError::Closed(closed) => closed.into(),
            AcceptError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            AcceptError::Store(error) => error.into(),
        }
    }
}

impl From<SubscriptionError> for Problem {
    fn from(error: SubscriptionError) -> Problem {
        match error {
            SubscriptionError::NotFound => Problem::not_found(),
            SubscriptionError::RefusedAddress(RefusedAddress { reason }) => {
                Problem::invalid_field("endpointUrl", reason)
            }
            SubscriptionError::TooMany { limit } => {
                Problem::conflict(format!("the handle has {limit} webhooks, which is the limit"))
            }
            SubscriptionError::KeyKind => {
                Problem::conflict("this signing profile needs another kind of key; make a new webhook")
            }
            SubscriptionError::NothingToVerify => Problem::conflict(
                "this webhook asks for no verification; set the field verification to challenge or cloudevents",
            ),
            SubscriptionError::Repeat(error) => error.into(),
            SubscriptionError::Closed(closed) => closed.into(),
            SubscriptionError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            SubscriptionError::Store(error) => error.into(),
        }
    }
}

impl From<EmailError> for Problem {
    fn from(error: EmailError) -> Problem {
        let conflict = |code| Problem::new(StatusCode::CONFLICT, code, error.to_string());
        match error {
            EmailError::NotFound => Problem::not_found(),
            EmailError::NotConfigured => conflict("email_not_configured"),
            EmailError::TooMany { .. } => conflict("conflict"),
            EmailError::Subscribed(id) => {
                let id = id.of_kind::<EmailSubscriptionKind>();
                Problem::conflict(format!(
                    "the address is subscribed already, as {id}; remove that to change it"
                ))
            }
            EmailError::Suppressed => conflict("address_suppressed"),
            EmailError::StaleProviderReference => conflict("stale_provider_reference"),
            EmailError::NotConfirmed => conflict("subscription_not_confirmed"),
            EmailError::NoOwnerDefault => conflict("owner_default_email_unset"),
            EmailError::TooManyQuestions { retry_after }
            | EmailError::LeftAlone { retry_after }
            | EmailError::TooManyTests { retry_after }
            | EmailError::TooManyChanges { retry_after } => Problem::too_many(error.to_string(), retry_after),
            EmailError::NotSetHere { field, .. } => Problem::invalid_field(field, error.to_string()),
            EmailError::AlwaysQuiet(quiet) => Problem::invalid_field("quietHours", quiet.to_string()),
            EmailError::NothingToChange => {
                tracing::error!("the engine answered a request that there is nothing to change");
                Problem::internal()
            }
            EmailError::Repeat(error) => error.into(),
            EmailError::Closed(closed) => closed.into(),
            EmailError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            EmailError::Store(error) => error.into(),
        }
    }
}

impl From<&Mismatch> for Problem {
    fn from(mismatch: &Mismatch) -> Problem {
        let fault = |(pointer, words): &(String, String)| {
            // A key may be as long as a payload.
            let field = cut(format!("payload{pointer}"));
            Detail::new(field, "invalid", words.as_str())
        };
        let details = mismatch.faults.iter().map(fault).collect();
        let message = "the payload does not fit the schema of its event type";
        Problem { details, ..Problem::invalid_payload(message) }
    }
}

impl From<EventTypeError> for Problem {
    fn from(error: EventTypeError) -> Problem {
        match error {
            EventTypeError::NotFound => Problem::not_found(),
            EventTypeError::SchemasTooLarge { .. } => Problem::invalid_field("schema", error.to_string()),
            EventTypeError::BuiltIn { .. } | EventTypeError::TooMany => Problem::conflict(error.to_string()),
            EventTypeError::Repeat(error) => error.into(),
            EventTypeError::Closed(closed) => closed.into(),
            EventTypeError::Store(error) => error.into(),
        }
    }
}

impl From<ChainError> for Problem {
    fn from(error: ChainError) -> Problem {
        match error {
            ChainError::Full { full, retry_after } => Problem::too_many(full.to_string(), retry_after),
            ChainError::HandleFull { full, retry_after } => Problem::too_many(full.to_string(), retry_after),
            ChainError::TooFast(TooFast { message, retry_after }) => Problem::too_many(message, retry_after),
            ChainError::Invalid(faults) => Problem::invalid(faults.iter().map(detail).collect()),
            ChainError::Origin => Problem::new(
                StatusCode::FORBIDDEN,
                "origin_not_allowed",
                "the handle does not list the origin of this page",
            ),
            ChainError::Repeat(error) => error.into(),
            ChainError::Closed(closed) => closed.into(),
            ChainError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            ChainError::Store(error) => error.into(),
        }
    }
}

/// Where in a request something is wrong with its rules as a whole.
fn detail(fault: &InvalidRulebook) -> Detail {
    let field = match fault {
        InvalidRulebook::TooMany { .. } | InvalidRulebook::TooLarge { .. } => "rules".to_owned(),
        InvalidRulebook::Twice { at, .. } => format!("rules[{at}].ruleId"),
        InvalidRulebook::EmptyWhen { at } | InvalidRulebook::TooManyConditions { at, .. } => {
            format!("rules[{at}].when")
        }
    };
    Detail::new(field, "invalid", fault.to_string())
}

impl From<NoticeError> for Problem {
    fn from(error: NoticeError) -> Problem {
        let unverified = match error {
            NoticeError::Unverified(unverified) => unverified,
            NoticeError::Unconfirmed(_) => {
                tracing::warn!(%error, "a topic's messages could not be asked for");
                return Problem::unavailable(PROVIDER_RETRY_AFTER);
            }
            NoticeError::Overloaded => return Problem::unavailable(STORE_RETRY_AFTER),
            NoticeError::Store(error) => return error.into(),
        };
        let message = unverified.to_string();
        match unverified {
            Unverified::NoMessage(_) => Problem::invalid_payload(message),
            Unverified::Refused(refusal) => Problem::invalid_field(refusal.field(), message),
            Unverified::Signer(_) => Problem::invalid_field("SigningCertURL", message),
            Unverified::Signature => Problem::invalid_field("Signature", message),
            Unverified::NotNow(_) => {
                tracing::warn!(reason = message, "a message of SNS could not be verified");
                Problem::unavailable(PROVIDER_RETRY_AFTER)
            }
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Problem {
        match error {
            TokenError::NotFound => Problem::not_found(),
            TokenError::TooMany { limit } => {
                Problem::conflict(format!("the handle has {limit} of these, which is the limit"))
            }
            TokenError::Repeat(error) => error.into(),
            TokenError::Closed(closed) => closed.into(),
            TokenError::Store(error) => error.into(),
        }
    }
}

impl From<InboxError> for Problem {
    fn from(error: InboxError) -> Problem {
        match error {
            InboxError::NotFound => Problem::not_found(),
            InboxError::Ended { .. } => Problem::invalid_field("expiresAt", error.to_string()),
            InboxError::Repeat(error) => error.into(),
            InboxError::Closed(closed) => closed.into(),
            InboxError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            InboxError::Store(error) => error.into(),
        }
    }
}

impl From<DeliveryError> for Problem {
    fn from(error: DeliveryError) -> Problem {
        match error {
            DeliveryError::NotFound => Problem::not_found(),
            DeliveryError::NotReplayable(reason) => Problem::conflict(reason.to_string()),
            DeliveryError::SubscriptionGone => {
                Problem::conflict("its webhook was deleted, so there is nowhere to send it")
            }
            DeliveryError::TestMode => {
                let message = "a test key sends nothing, so it replays nothing; use a live one";
                Problem::new(StatusCode::FORBIDDEN, "live_key_required", message)
            }
            DeliveryError::Repeat(error) => error.into(),
            DeliveryError::Closed(closed) => closed.into(),
            DeliveryError::Overloaded { retry_after } => Problem::unavailable(retry_after),
            DeliveryError::Store(error) => error.into(),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Problem {
        match error {
            ReplayError::NotFound => Problem::not_found(),
            ReplayError::NoSuchSubscription => {
                Problem::invalid_field("filter.subscriptionId", "the handle has no such webhook")
            }
            ReplayError::Finished => Problem::conflict("the replay has ended"),
            ReplayError::TooMany { .. } => Problem::conflict(error.to_string()),
            ReplayError::Repeat(error) => error.into(),
            ReplayError::Store(error) => error.into(),
        }
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Problem {
        match error {
            SourceError::NotFound => Problem::not_found(),
            SourceError::TooMany => Problem::conflict(error.to_string()),
            SourceError::Refused(RefusedSource { field, reason }) => Problem::invalid_field(field, reason),
            SourceError::Repeat(error) => error.into(),
            SourceError::Closed(closed) => closed.into(),
            SourceError::Store(error) => error.into(),
        }
    }
}

impl From<TooManyListeners> for Problem {
    fn from(error: TooManyListeners) -> Problem {
        Problem::too_many(error.to_string(), LISTENER_RETRY_AFTER)
    }
}

impl From<ListenError> for Problem {
    fn from(error: ListenError) -> Problem {
        match error {
            ListenError::TooMany(error) => error.into(),
            ListenError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidCursor> for Problem {
    fn from(error: InvalidCursor) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_cursor", error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(field: &str) -> Detail {
        Detail::new(field, "invalid", format!("{field} is odd"))
    }

    #[test]
    fn a_message_does_not_send_a_long_value_back() {
        assert_eq!(bad(&"é".repeat(1000)).message.chars().count(), MESSAGE_CHARS_MAX);
        let whole_body = Problem::invalid_payload("é".repeat(1000));
        assert_eq!(whole_body.message.chars().count(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn one_bad_field_names_itself_in_the_code_and_several_do_not() {
        let one = Problem::invalid(vec![bad("eventTypes[2]")]);
        assert_eq!((one.code.as_str(), one.message.as_str()), ("invalid_eventTypes", "eventTypes[2] is odd"));
        let two = Problem::invalid(vec![bad("a"), bad("b")]);
        assert_eq!((two.code.as_str(), two.details.len()), ("validation_error", 2));
    }

    #[test]
    fn a_code_holds_no_more_of_a_strange_field_than_a_word() {
        let odd = Problem::invalid(vec![bad(&format!("x\r\n\"{}", "y".repeat(500)))]);
        assert_eq!(odd.code, format!("invalid_x{}", "y".repeat(63)));
    }

    #[test]
    fn the_text_has_the_published_shape() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here");
        assert_eq!(
            String::from_utf8(problem.body("req_1")).expect("text"),
            r#"{"error":"not_found","message":"there is nothing here","requestId":"req_1"}"#
        );
    }

    #[test]
    fn what_the_store_says_stays_in_the_log() {
        let reason = || "disk I/O error at /srv/data".to_owned();
        for (error, status, code) in [
            (StoreError::Unavailable { reason: reason() }, 503, "temporarily_unavailable"),
            (StoreError::Conflict, 503, "temporarily_unavailable"),
            (StoreError::Corrupt { reason: reason() }, 500, "internal_error"),
            (StoreError::LeaseLost, 500, "internal_error"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code.as_str()), (status, code));
            assert_eq!(problem.retry_after.is_some(), status == 503);
            assert!(!problem.message.contains("disk"), "{}", problem.message);
        }
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let problem = Problem::unavailable(Duration::from_millis(1200));
        let response = problem.render(Dialect::V2, "req_1", &Response::default());
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }
}

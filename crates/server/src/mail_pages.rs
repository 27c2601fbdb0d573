//! The pages that links in mails lead to: a reader without a credential gives consent, or ends it.
//!
//! A GET shows a page and changes nothing, because mail scanners follow every link (security, rows 77
//! and 78). What changes something is a POST: of the page's own form, or of a mailbox by RFC 8058.

use std::sync::LazyLock;

use angarium_domain::recipient::{Standing, consent_text};
use angarium_domain::subscription::Subscription;
use angarium_engine::tasks::run;
use angarium_engine::{Confirmed, Emails};
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, HEXLOWER};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, StatusCode};

use crate::api::table::Table;
use crate::limits::Limits;
use crate::openapi::Operation;
use crate::openapi::schema::text;
use crate::openapi::words::LinkToken;
use crate::peer::Peer;
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::state::App;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = include_str!("../templates/mail_page.css");
/// More than any form of ours, or a mailbox's own request, has.
const FORM_BYTES_MAX: usize = 4 * 1024;

/// The field that says that nobody looked at a page (RFC 8058), and what it holds.
const ONE_CLICK: (&str, &str) = ("List-Unsubscribe", "One-Click");
/// What the form that gives consent holds.
const YES: (&str, &str) = ("confirm", "yes");
/// The field by which it says what was read.
const READ: &str = "read";

#[derive(Template)]
#[template(path = "mail_page.html")]
struct Page {
    style: &'static str,
    heading: String,
    paragraphs: Vec<String>,
    button: Option<Button>,
}

/// The one thing that can be done on a page.
struct Button {
    words: &'static str,
    name: &'static str,
    value: &'static str,
    /// Which words stood above it, where it matters.
    read: Option<String>,
}

/// The routes, for anybody, as often as an address may ask.
pub(crate) fn table() -> Table {
    Table::default()
        .page(Method::GET, "/confirm/{token}", show_question, describe_question)
        .page(Method::POST, "/confirm/{token}", confirm, describe_confirm)
        .page(Method::GET, "/unsubscribe/{token}", show_unsubscribe, describe_unsubscribe)
        .page(Method::POST, "/unsubscribe/{token}", unsubscribe, describe_one_click)
}

fn describe(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary)
        .under("links in mails")
        .of::<LinkToken>("token")
        .answer_in(200, HTML, text(), "A page for people.")
        .problem(404, "not_found", "it is no link of this service, or its subscription was removed")
}

fn describe_question() -> Operation {
    describe("showConfirmation", "Show what a mail asks consent for").about("Changes nothing.")
}

fn describe_confirm() -> Operation {
    let (name, value) = YES;
    describe("confirmEmailSubscription", "Give the consent that a mail asks for")
        .form(name, value)
        .about(
            "Repeating it changes nothing. The form of the page sends this, and which words it showed, as `read`: if \
             they are others by now, the page is shown again.",
        )
        .problem(400, "invalid_payload", "the body is not the form of the page")
}

fn describe_unsubscribe() -> Operation {
    describe("showUnsubscribe", "Show what a link in a mail would end").about("Changes nothing.")
}

fn describe_one_click() -> Operation {
    let (name, value) = ONE_CLICK;
    describe("unsubscribe", "End the subscription that a mail belongs to")
        .about(
            "With the body `List-Unsubscribe=One-Click`, as RFC 8058 has it. Repeating it changes nothing.",
        )
        .form(name, value)
        .problem(400, "invalid_payload", "the body is not `List-Unsubscribe=One-Click`")
}

async fn show_question(State(emails): State<Emails>, Path(token): Path<String>) -> Result<Response, Problem> {
    let Some((subscription, now)) = emails.question_of(&token).await? else {
        return Err(Problem::not_found());
    };
    let recipient = subscription.recipient.as_ref().ok_or_else(Problem::not_found)?;
    let page = match recipient.standing() {
        Standing::PendingConfirmation if recipient.is_open(now) => question(&subscription),
        Standing::PendingConfirmation => expired(),
        _ => confirmed(&subscription),
    };
    Ok(page.into_response())
}

async fn confirm(
    State(app): State<App>,
    State(limits): State<Limits>,
    State(emails): State<Emails>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (request_id, ip) = asker(&app, &request);
    let Some((subscription, _)) = emails.question_of(&token).await? else { return Err(Problem::not_found()) };
    let form = form_of(limits, request).await?;
    let (name, value) = YES;
    if field(&form, name).as_deref() != Some(value) {
        return Err(Problem::invalid_payload("the body must be the form of the page, confirm=yes"));
    }
    let read = field(&form, READ);
    let is_read = move |words: &str| read.as_ref().is_none_or(|read| *read == digest_of(words));
    let (again, asking) = (emails.clone(), token.clone());
    let given = run(async move { emails.confirm(&token, is_read, &request_id, ip).await }).await?;
    match given {
        Some(Confirmed::Given) => Ok(confirmed(&subscription).into_response()),
        Some(Confirmed::Late) => Ok(expired().into_response()),
        Some(Confirmed::OtherWords) => {
            let (subscription, _) = again.question_of(&asking).await?.ok_or_else(Problem::not_found)?;
            Ok(question(&subscription).into_response())
        }
        None => Err(Problem::not_found()),
    }
}

async fn show_unsubscribe(
    State(emails): State<Emails>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let subscription = emails.subscription_of(&token).await?.ok_or_else(Problem::not_found)?;
    let recipient = subscription.recipient.as_ref();
    let ended = recipient.is_some_and(|recipient| recipient.standing() == Standing::Unsubscribed);
    Ok(if ended { unsubscribed(&subscription) } else { farewell(&subscription) }.into_response())
}

async fn unsubscribe(
    State(app): State<App>,
    State(limits): State<Limits>,
    State(emails): State<Emails>,
    Path(token): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (request_id, ip) = asker(&app, &request);
    let subscription = emails.subscription_of(&token).await?.ok_or_else(Problem::not_found)?;
    if !is_one_click(&form_of(limits, request).await?) {
        let message = "the body must be List-Unsubscribe=One-Click, as RFC 8058 has it";
        return Err(Problem::invalid_payload(message));
    }
    let ended = run(async move { emails.unsubscribe(&token, &request_id, ip).await }).await?;
    if ended { Ok(unsubscribed(&subscription).into_response()) } else { Err(Problem::not_found()) }
}

/// The request's id, and where it came from, for the audit log and the record of consent.
fn asker(app: &App, request: &Request) -> (String, Option<std::net::IpAddr>) {
    let id = request.extensions().get::<RequestId>().expect("observe runs before every handler");
    let peer = request.extensions().get::<Peer>();
    let ip = peer.and_then(|peer| app.callers().proxies.caller(*peer, request.headers()));
    (id.as_str().to_owned(), ip)
}

async fn form_of(limits: Limits, request: Request) -> Result<String, Problem> {
    let (parts, body) = request.into_parts();
    let limits = Limits { body_bytes_max: FORM_BYTES_MAX, ..limits };
    let body = limits.read_whole(&parts.headers, body).await?;
    String::from_utf8(body.to_vec()).map_err(|_| Problem::invalid_payload("the body is not UTF-8"))
}

/// Whether a form says what RFC 8058 wants, as `application/x-www-form-urlencoded` or as the one part of
/// `multipart/form-data`.
fn is_one_click(form: &str) -> bool {
    let (name, value) = ONE_CLICK;
    let urlencoded =
        url::form_urlencoded::parse(form.trim().as_bytes()).any(|(n, v)| n == name && v == value);
    let mut part = form.split_once(&format!("name=\"{name}\"")).map(|(_, rest)| rest.lines().map(str::trim));
    let multipart = part.as_mut().is_some_and(|lines| lines.find(|line| !line.is_empty()) == Some(value));
    urlencoded || multipart
}

fn address(subscription: &Subscription) -> &str {
    subscription.endpoint_url.mail_address().unwrap_or_default()
}

fn question(subscription: &Subscription) -> Page {
    let handle = &subscription.handle;
    let text = consent_text(handle, &subscription.event_types);
    let read = Some(digest_of(&text));
    Page::new(
        format!("E-mails from {handle}"),
        vec![format!("For {}:", address(subscription)), text],
        Some(Button { words: "Yes, I want that", name: YES.0, value: YES.1, read }),
    )
}

/// Names a text without repeating it.
fn digest_of(words: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, words.as_bytes()).as_ref())
}

/// What a field of a form holds, as browsers send forms.
fn field(form: &str, name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(form.trim().as_bytes());
    fields.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn confirmed(subscription: &Subscription) -> Page {
    let handle = &subscription.handle;
    let words = format!(
        "{} receives e-mails from {handle} from now on. Each has a link that ends them.",
        address(subscription)
    );
    Page::new("Confirmed".to_owned(), vec![words], None)
}

fn expired() -> Page {
    let words = "A link is good for 72 hours. Whoever entered your address can ask again.";
    Page::new("This link has expired".to_owned(), vec![words.to_owned()], None)
}

fn farewell(subscription: &Subscription) -> Page {
    let handle = &subscription.handle;
    let words = format!("{} will receive no more of these e-mails from {handle}.", address(subscription));
    let (name, value) = ONE_CLICK;
    let button = Button { words: "Send me no more", name, value, read: None };
    Page::new("No more e-mails?".to_owned(), vec![words], Some(button))
}

fn unsubscribed(subscription: &Subscription) -> Page {
    let handle = &subscription.handle;
    let words = format!("{} receives no more of these e-mails from {handle}.", address(subscription));
    Page::new("No more e-mails".to_owned(), vec![words], None)
}

impl Page {
    fn new(heading: String, paragraphs: Vec<String>, button: Option<Button>) -> Page {
        Page { style: STYLE, heading, paragraphs, button }
    }
}

/// What a browser may do with a page: show it in its own style, and send its own form back here.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = BASE64.encode(digest(&SHA256, STYLE.as_bytes()).as_ref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a policy is visible ASCII")
});

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let body = self.render().expect("the template writes to memory");
        let fixed = HeaderValue::from_static;
        let headers = [
            (CONTENT_TYPE, fixed(HTML)),
            (CONTENT_SECURITY_POLICY, POLICY.clone()),
            // The address of the page is what it takes to end a subscription.
            (REFERRER_POLICY, fixed("no-referrer")),
            (CACHE_CONTROL, fixed("no-store")),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        ];
        (StatusCode::OK, headers, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_click_is_said_in_both_forms_that_mailboxes_use() {
        for form in [
            "List-Unsubscribe=One-Click",
            "List-Unsubscribe=One-Click\r\n",
            "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n",
        ] {
            assert!(is_one_click(form), "{form:?}");
        }
        for form in
            ["", "List-Unsubscribe", "List-Unsubscribe=Two-Clicks", "unsubscribe=One-Click", "One-Click"]
        {
            assert!(!is_one_click(form), "{form:?}");
        }
    }

    #[test]
    fn what_strangers_named_is_escaped_on_a_page() {
        let page = Page::new("<script>".to_owned(), vec!["<img src=x>".to_owned()], None);
        let html = page.render().expect("a page");
        assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
    }
}

//! The owner's default address: who is told of what nobody else is told of (contract 5).

pub(super) mod docs;

use angarium_domain::mail_address::MailAddress;
use angarium_domain::recipient::{STALE_REMEDY, Standing};
use angarium_engine::{Emails, OwnerDefault};
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::answer::{Answered, carried_out, json};
use crate::api::form::Form;
use crate::api::request::Write;
use crate::api::v2::email_subscriptions::tested;
use crate::openapi::words;
use crate::problem::Problem;

/// What a handle without such an address risks.
const UNSET: &str =
    "no owner default email is set: critical alerts that nobody subscribed to reach nobody by mail; set one";

/// The address that is told when nobody else is.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnerDefaultEmail)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerDefaultEmailView {
    #[schema(value_type = Option<words::Email>)]
    email: Option<String>,
    #[schema(value_type = words::OwnerEmailStatus)]
    status: &'static str,
    /// What is missing; null where nothing is.
    #[schema(example = json!(null))]
    warning: Option<&'static str>,
}

pub(super) async fn put(State(emails): State<Emails>, write: Write) -> Result<Answered, Problem> {
    let address = address_of(write.form()?)?;
    let (caller, once) =
        write.into_parts(|made: &OwnerDefault| json(StatusCode::OK, &OwnerDefaultEmailView::of(made)));
    carried_out(async move { emails.set_owner_default(caller, address, once).await }).await
}

pub(super) async fn test(State(emails): State<Emails>, write: Write) -> Result<Answered, Problem> {
    write.no_fields()?;
    let request_id = write.request_id();
    let (caller, once) = write.into_parts(move |made| tested(made, &request_id));
    carried_out(async move { emails.test_owner_default(caller, once).await }).await
}

/// The address; none if it is null, which must be said.
fn address_of(mut form: Form<'_>) -> Result<Option<MailAddress>, Problem> {
    let text: Option<Option<String>> = form.nullable("email");
    let address = match text {
        None if form.is_at_fault("email") => None,
        None => form.missing("email"),
        Some(None) => Some(None),
        Some(Some(text)) => text
            .parse()
            .map_err(|error: angarium_domain::mail_address::InvalidAddress| {
                form.fault("email", error.to_string());
            })
            .map(Some)
            .ok(),
    };
    form.finish(address)
}

impl OwnerDefaultEmailView {
    pub(super) fn of(owner: &OwnerDefault) -> OwnerDefaultEmailView {
        OwnerDefaultEmailView {
            email: owner.email.as_ref().map(ToString::to_string),
            status: owner.standing.map_or("unset", Standing::as_str),
            warning: warning_of(owner),
        }
    }
}

/// What is missing for alerts to reach somebody.
fn warning_of(owner: &OwnerDefault) -> Option<&'static str> {
    match owner.standing {
        None => Some(UNSET),
        Some(Standing::Active) => None,
        Some(Standing::Degraded) if owner.is_stale => Some(STALE_REMEDY),
        Some(Standing::Degraded) => Some(
            "the last mail to the owner default email was refused: its delivery shows the mail server's words",
        ),
        Some(Standing::Suppressed) => Some(
            "the owner default email does not receive, and alerts reach nobody by mail: name another, or the same \
             one again once it receives",
        ),
        Some(Standing::Unsubscribed) => Some(
            "whoever reads the owner default email wants no more mails, and alerts reach nobody by mail: name \
             another, or the same one again, and they are asked",
        ),
        Some(Standing::PendingConfirmation) => Some(
            "whoever reads the owner default email was asked and has not confirmed: until then alerts reach nobody \
             by mail",
        ),
    }
}

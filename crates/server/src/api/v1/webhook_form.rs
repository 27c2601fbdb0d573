//! Reading what a subscriber sets, in the words of this API.

use std::borrow::Cow;

use angarium_domain::event::PayloadFormat;
use angarium_domain::headers::CustomHeaders;
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::OwnSecret;
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{DESCRIPTION_CHARS_MAX, TIMEOUT_DEFAULT};
use angarium_engine::{NewSubscription, Patch};

use crate::api::form::Form;
use crate::api::patterns::patterns;
use crate::problem::Problem;

/// The body of `POST /webhooks`. What this API has no words for is as it has always been there.
pub(super) fn new_subscription(mut form: Form<'_>) -> Result<NewSubscription, Problem> {
    let name = name(&mut form).or_else(|| form.missing("name"));
    let url: Option<String> = form.required("url");
    let events = form.raw("events").or_else(|| form.missing("events"));
    let events = events.and_then(|list| patterns(&mut form, "events", list));
    let secret = own_secret(&mut form);
    let (url, (name, event_types)) = form.finish(url.zip(name.zip(events)))?;
    Ok(NewSubscription {
        endpoint_url: url,
        event_types,
        description: Some(name),
        signing_profile: SigningProfile::Platformxe,
        payload_format: PayloadFormat::Platformxe,
        retry_policy: RetryPolicy::Patient,
        headers: CustomHeaders::default(),
        rate_limit_per_second: None,
        max_concurrency: None,
        timeout_seconds: TIMEOUT_DEFAULT.as_secs() as u32,
        ordered: false,
        auto_disable: None,
        verification: None,
        filter: None,
        secret,
    })
}

/// The body of `PATCH /webhooks/{id}`.
pub(super) fn patch_of(mut form: Form<'_>) -> Result<Patch, Problem> {
    let events = form.raw("events");
    let patch = Patch {
        description: name(&mut form).map(Some),
        endpoint_url: form.optional("url"),
        event_types: events.and_then(|list| patterns(&mut form, "events", list)),
        paused: active(&mut form).map(|active| !active),
        ..Patch::default()
    };
    form.finish(Some(patch))
}

/// `enabled` is another word for `active`. Both are fine while they agree.
fn active(form: &mut Form<'_>) -> Option<bool> {
    let active: Option<bool> = form.optional("active");
    let enabled: Option<bool> = form.optional("enabled");
    if active.zip(enabled).is_some_and(|(active, enabled)| active != enabled) {
        form.fault("enabled", "enabled is another word for active, and says something else here");
    }
    active.or(enabled)
}

fn name(form: &mut Form<'_>) -> Option<String> {
    let name: Cow<'_, str> = form.optional("name")?;
    let chars = name.chars().count();
    if !(1..=DESCRIPTION_CHARS_MAX).contains(&chars) {
        form.fault(
            "name",
            format!("name is {chars} characters, the limits are 1 and {DESCRIPTION_CHARS_MAX}"),
        );
    }
    Some(name.into_owned())
}

/// The refusal does not repeat what was given: it may be a secret with a slip in it.
fn own_secret(form: &mut Form<'_>) -> Option<OwnSecret> {
    let value = form.raw("secret")?;
    let Ok(text) = serde_json::from_str::<Cow<'_, str>>(value.get()) else {
        form.fault("secret", "secret must be a text");
        return None;
    };
    OwnSecret::parse(&text).map_err(|error| form.fault("secret", error.to_string())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(read: Result<impl Sized, Problem>) -> Vec<String> {
        let problem = read.err().expect("refused");
        problem.details.into_iter().map(|detail| detail.field).collect()
    }

    fn form(body: &str) -> Form<'_> {
        Form::of_text(body).expect("an object")
    }

    #[test]
    fn three_fields_make_a_subscription_as_this_api_has_always_made_them() {
        let body = r#"{"name":"orders","url":"https://example.com/","events":["order.*","order.*"]}"#;
        let new = new_subscription(form(body)).expect("a subscription");
        assert_eq!((new.description.as_deref(), new.event_types.len()), (Some("orders"), 1));
        assert_eq!(new.signing_profile, SigningProfile::Platformxe);
        assert_eq!(new.payload_format, PayloadFormat::Platformxe);
        assert_eq!((new.retry_policy, new.timeout_seconds), (RetryPolicy::Patient, 10));
        assert!(new.secret.is_none());
    }

    #[test]
    fn every_field_at_fault_is_named_in_the_words_of_this_api() {
        assert_eq!(refused(new_subscription(form("{}"))), ["name", "url", "events"]);
        let body = r#"{"name":"","url":3,"events":["ok","not ok"],"secret":"short","endpointUrl":"x"}"#;
        assert_eq!(
            refused(new_subscription(form(body))),
            ["name", "url", "events[1]", "secret", "endpointUrl"]
        );
        assert_eq!(refused(patch_of(form(r#"{"active":true,"enabled":false}"#))), ["enabled"]);
        assert_eq!(refused(patch_of(form(r#"{"secret":"a-secret-of-twenty-four-characters"}"#))), ["secret"]);
    }

    #[test]
    fn a_refused_secret_is_not_repeated() {
        for given in [r#""whsec_almost""#, r#"["a-secret-in-a-list-of-one"]"#] {
            let body =
                format!(r#"{{"name":"x","url":"https://example.com/","events":["*"],"secret":{given}}}"#);
            let problem = new_subscription(form(&body)).err().expect("refused");
            assert!(
                !problem.message.contains("almost") && !problem.message.contains("in-a-list"),
                "{problem:?}"
            );
        }
    }

    #[test]
    fn active_and_enabled_are_the_same_word() {
        for (body, paused) in [
            (r#"{"active":false}"#, Some(true)),
            (r#"{"enabled":true}"#, Some(false)),
            (r#"{"active":true,"enabled":true}"#, Some(false)),
            ("{}", None),
        ] {
            assert_eq!(patch_of(form(body)).expect("a patch").paused, paused, "{body}");
        }
    }
}

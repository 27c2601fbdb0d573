//! Reading what a subscriber sets: the body of creation and of change.

#![expect(clippy::option_option, reason = "in a change, absent, null and a value are three different wishes")]

use std::borrow::Cow;

use angarium_domain::auto_disable::{AFTER_HOURS, AFTER_HOURS_DEFAULT, AutoDisable};
use angarium_domain::filter::Filter;
use angarium_domain::subscription::{
    CONCURRENCY, DESCRIPTION_CHARS_MAX, RATE_PER_SECOND, TIMEOUT_DEFAULT, TIMEOUT_SECONDS,
};
use angarium_domain::verification::Method;
use angarium_engine::{NewSubscription, Patch};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::form::Form;
use crate::api::patterns::patterns;
use crate::problem::Problem;

/// The body of `POST …/webhooks`.
pub(super) fn new_subscription(mut form: Form<'_>) -> Result<NewSubscription, Problem> {
    let endpoint_url: Option<String> = form.required("endpointUrl");
    let event_types = form.raw("eventTypes").or_else(|| form.missing("eventTypes"));
    let event_types = event_types.and_then(|list| patterns(&mut form, "eventTypes", list));
    let filter = form.raw("filter");
    let new = NewSubscription {
        endpoint_url: endpoint_url.clone().unwrap_or_default(),
        event_types: event_types.clone().unwrap_or_default(),
        filter: filter.and_then(|written| filter_of(&mut form, written)),
        description: form.optional("description").map(|text| description(&mut form, text)),
        signing_profile: form.optional("signingProfile").unwrap_or_default(),
        payload_format: form.optional("payloadFormat").unwrap_or_default(),
        retry_policy: form.optional("retryPolicy").unwrap_or_default(),
        headers: form.optional("headers").unwrap_or_default(),
        rate_limit_per_second: rate_limit(&mut form).flatten(),
        max_concurrency: concurrency(&mut form).flatten(),
        timeout_seconds: timeout(&mut form).unwrap_or(TIMEOUT_DEFAULT.as_secs() as u32),
        ordered: form.optional("ordered").unwrap_or_default(),
        auto_disable: auto_disable(&mut form).flatten(),
        verification: verification(&mut form).flatten(),
        secret: None,
    };
    form.finish(endpoint_url.and(event_types).map(|_| new))
}

/// The body of `PATCH …/webhooks/{id}`. `null` clears what can be without a value.
pub(super) fn patch_of(mut form: Form<'_>) -> Result<Patch, Problem> {
    let event_types = form.raw("eventTypes");
    let filter: Option<Option<&RawValue>> = form.nullable("filter");
    let patch = Patch {
        endpoint_url: form.optional("endpointUrl"),
        event_types: event_types.and_then(|list| patterns(&mut form, "eventTypes", list)),
        filter: filter.and_then(|wish| match wish {
            Some(written) => filter_of(&mut form, written).map(Some),
            None => Some(None),
        }),
        description: form
            .nullable("description")
            .map(|text: Option<Cow<'_, str>>| text.map(|text| description(&mut form, text))),
        signing_profile: form.optional("signingProfile"),
        payload_format: form.optional("payloadFormat"),
        retry_policy: form.optional("retryPolicy"),
        headers: form.optional("headers"),
        rate_limit_per_second: rate_limit(&mut form),
        max_concurrency: concurrency(&mut form),
        timeout_seconds: timeout(&mut form),
        auto_disable: auto_disable(&mut form),
        verification: verification(&mut form),
        paused: None,
    };
    form.finish(Some(patch))
}

/// A filter, with the place of its fault if it is not one.
pub(super) fn filter_of(form: &mut Form<'_>, written: &RawValue) -> Option<Filter> {
    Filter::from_json(written).map_err(|error| form.fault(error.at, error.fault.to_string())).ok()
}

fn description(form: &mut Form<'_>, text: Cow<'_, str>) -> String {
    let chars = text.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        form.fault(
            "description",
            format!("description is {chars} characters, the limit is {DESCRIPTION_CHARS_MAX}"),
        );
    }
    text.into_owned()
}

fn rate_limit(form: &mut Form<'_>) -> Option<Option<u32>> {
    bounded(form, "rateLimitPerSecond", RATE_PER_SECOND)
}

fn concurrency(form: &mut Form<'_>) -> Option<Option<u32>> {
    bounded(form, "maxConcurrency", CONCURRENCY)
}

fn timeout(form: &mut Form<'_>) -> Option<u32> {
    let seconds = form.optional("timeoutSeconds");
    form.within("timeoutSeconds", TIMEOUT_SECONDS, seconds)
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asking {
    None,
    Challenge,
    CloudEvents,
}

/// `none` and `null` are the same wish.
fn verification(form: &mut Form<'_>) -> Option<Option<Method>> {
    let asking: Option<Asking> = form.nullable("verification")?;
    Some(match asking {
        None | Some(Asking::None) => None,
        Some(Asking::Challenge) => Some(Method::Challenge),
        Some(Asking::CloudEvents) => Some(Method::CloudEvents),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Hours {
    after_hours: u32,
}

/// `true`, `false`, or after how many hours.
fn auto_disable(form: &mut Form<'_>) -> Option<Option<AutoDisable>> {
    let Some(wish) = form.nullable::<&RawValue>("autoDisable")? else { return Some(None) };
    let after_hours = match wish.get() {
        "true" => AFTER_HOURS_DEFAULT,
        "false" => return Some(None),
        text if text.starts_with('{') => {
            let Hours { after_hours } = form.read("autoDisable", wish)?;
            form.within("autoDisable.afterHours", AFTER_HOURS, Some(after_hours))?
        }
        _ => {
            let (least, most) = (AFTER_HOURS.start(), AFTER_HOURS.end());
            let message = format!("autoDisable is true, false or {{\"afterHours\": {least} to {most}}}");
            form.fault("autoDisable", message);
            return None;
        }
    };
    Some(Some(AutoDisable { after_hours }))
}

fn bounded(
    form: &mut Form<'_>,
    field: &'static str,
    range: std::ops::RangeInclusive<u32>,
) -> Option<Option<u32>> {
    let value = form.nullable(field)?;
    Some(form.within(field, range, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields_at_fault(body: &str) -> Vec<String> {
        let problem =
            new_subscription(Form::parse(body.as_bytes()).expect("an object")).err().expect("refused");
        problem.details.into_iter().map(|detail| detail.field).collect()
    }

    #[test]
    fn two_fields_make_a_subscription_and_the_rest_has_defaults() {
        let body = br#"{"endpointUrl":"https://example.com/","eventTypes":["a","a","b.*"]}"#;
        let new = new_subscription(Form::parse(body).expect("an object")).expect("a subscription");
        assert_eq!(new.event_types.len(), 2);
        assert_eq!((new.timeout_seconds, new.ordered, new.max_concurrency), (10, false, None));
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let body = r#"{"eventTypes":["ok","not ok",3],"timeoutSeconds":31,"maxConcurrency":0,"rateLimitPerSecond":"x",
            "signingProfile":"none","payloadFormat":1,"retryPolicy":"slow","headers":{"Host":"x"},"ordered":"yes",
            "filter":{"all":[{"total":{"gte":"x"}},{"total":{"gte":null}}]}}"#;
        let mut fields = fields_at_fault(body);
        fields.sort();
        assert_eq!(
            fields,
            [
                "endpointUrl",
                "eventTypes[1]",
                "eventTypes[2]",
                "filter.all[1].total.gte",
                "headers",
                "maxConcurrency",
                "ordered",
                "payloadFormat",
                "rateLimitPerSecond",
                "retryPolicy",
                "signingProfile",
                "timeoutSeconds",
            ]
        );
    }

    #[test]
    fn an_empty_list_wants_nothing_and_is_refused() {
        assert_eq!(
            fields_at_fault(r#"{"endpointUrl":"https://example.com/","eventTypes":[]}"#),
            ["eventTypes"]
        );
    }

    #[test]
    fn switching_off_is_asked_for_in_three_ways_and_within_limits() {
        let wish = |value: &str| {
            let body = format!(r#"{{"autoDisable":{value}}}"#);
            patch_of(Form::parse(body.as_bytes()).expect("an object")).map(|patch| patch.auto_disable)
        };
        let hours = |after_hours| Some(Some(AutoDisable { after_hours }));
        for (value, expected) in [
            ("true", hours(120)),
            ("false", Some(None)),
            ("null", Some(None)),
            (r#"{"afterHours":1}"#, hours(1)),
            (r#"{"afterHours":720}"#, hours(720)),
        ] {
            assert_eq!(wish(value).ok(), Some(expected), "{value}");
        }
        for value in [
            "1",
            "\"true\"",
            "[]",
            "{}",
            r#"{"afterHours":0}"#,
            r#"{"afterHours":721}"#,
            r#"{"afterHours":2,"x":1}"#,
        ] {
            let problem = wish(value).expect_err(value);
            assert!(problem.details[0].field.starts_with("autoDisable"), "{value}");
        }
    }

    #[test]
    fn a_patch_tells_clearing_from_leaving_alone() {
        let patch_of =
            |body: &str| patch_of(Form::parse(body.as_bytes()).expect("an object")).expect("a patch");
        let patch = patch_of(r#"{"description":null,"maxConcurrency":3}"#);
        assert_eq!(
            (patch.description, patch.max_concurrency, patch.rate_limit_per_second),
            (Some(None), Some(Some(3)), None)
        );
        assert_eq!(patch.filter, None);
        assert_eq!(patch_of(r#"{"filter":null}"#).filter, Some(None));
        assert!(patch_of(r#"{"filter":{"a":1}}"#).filter.flatten().is_some());
    }
}

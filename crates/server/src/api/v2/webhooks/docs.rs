//! What the routes of webhooks say of themselves.

use angarium_domain::event::PayloadFormat;
use angarium_domain::retry::RetryPolicy;
use angarium_domain::secret::{OVERLAP_DEFAULT, OVERLAP_MAX};
use angarium_domain::signature::SigningProfile;
use angarium_domain::subscription::{
    CONCURRENCY, DESCRIPTION_CHARS_MAX, PATTERNS_MAX, RATE_PER_SECOND, TIMEOUT_DEFAULT, TIMEOUT_SECONDS,
};

use crate::api::v2::webhooks::{CheckedView, TestedView, WebhookView, WebhooksView};
use crate::openapi::Operation;
use crate::openapi::schema::{
    Object, Schema, choice, either, flag, list as list_of, object, text, text_of, whole, word,
};
use crate::openapi::words::{AutoDisable, CustomHeaders, EventPattern, Filter, SubscriptionId};
use crate::openapi::words::{PayloadFormat as Format, RetryPolicy as Policy, SigningProfile as Profile};

const KEY_KIND: &str = "the signing profile needs another kind of key than the webhook has";

pub(in crate::api::v2) fn create() -> Operation {
    let fields = object()
        .required("endpointUrl", endpoint_url())
        .required("eventTypes", event_types())
        .optional("signingProfile", word::<Profile>().or(SigningProfile::default()))
        .optional("payloadFormat", word::<Format>().or(PayloadFormat::default()))
        .optional("retryPolicy", word::<Policy>().or(RetryPolicy::default()))
        .optional("timeoutSeconds", whole(TIMEOUT_SECONDS).or(TIMEOUT_DEFAULT.as_secs()))
        .optional(
            "ordered",
            flag().or(false).about("Whether an event waits for those before it. Cannot be changed."),
        );
    Operation::new("createWebhook", "Make a webhook")
        .body("NewWebhook", with_settings(fields))
        .answer::<WebhookView>(201, "Made. `secret` is shown now and after a rotation, and never again.")
        .showing("secret")
        .conflict("the handle has as many webhooks as it may have")
}

pub(in crate::api::v2) fn list() -> Operation {
    Operation::new("listWebhooks", "List webhooks").paged().answer::<WebhooksView>(200, "A page of them.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getWebhook", "Show a webhook")
        .about("Header values and the query of the address are masked for those who may not change them.")
        .of::<SubscriptionId>("subscriptionId")
        .answer::<WebhookView>(200, "The webhook.")
}

pub(in crate::api::v2) fn patch() -> Operation {
    let fields = object()
        .optional("endpointUrl", endpoint_url())
        .optional("eventTypes", event_types())
        .optional("signingProfile", word::<Profile>())
        .optional("payloadFormat", word::<Format>())
        .optional("retryPolicy", word::<Policy>())
        .optional("timeoutSeconds", whole(TIMEOUT_SECONDS));
    Operation::new("changeWebhook", "Change a webhook")
        .about("Fields that are left out stay as they are; `null` clears what can be without a value.")
        .of::<SubscriptionId>("subscriptionId")
        .body("WebhookChange", with_settings(fields))
        .answer::<WebhookView>(200, "The webhook as it is now.")
        .conflict(KEY_KIND)
}

pub(in crate::api::v2) fn delete() -> Operation {
    Operation::new("deleteWebhook", "Delete a webhook")
        .about("Queued deliveries become `cancelled`; after the answer no new attempt starts.")
        .of::<SubscriptionId>("subscriptionId")
        .nothing("Deleted.")
}

pub(in crate::api::v2) fn test() -> Operation {
    Operation::new("testWebhook", "Send a test event")
        .about("Queues a `webhook.test` event for this webhook alone, whatever it subscribes to.")
        .of::<SubscriptionId>("subscriptionId")
        .answer::<TestedView>(202, "Accepted for dispatch; nothing was attempted yet.")
}

pub(in crate::api::v2) fn verify() -> Operation {
    Operation::new("verifyWebhook", "Ask the receiver for its consent")
        .about("Answers when the receiver has, or the deadline of an attempt has passed.")
        .of::<SubscriptionId>("subscriptionId")
        .answer::<CheckedView>(
            200,
            "What the check found. Null of `method` and `at`: the webhook changed meanwhile.",
        )
        .showing("method")
        .showing("at")
        .conflict("the webhook asks for no verification")
}

pub(in crate::api::v2) fn rotate() -> Operation {
    Operation::new("rotateWebhookSecret", "Replace the signing secret")
        .of::<SubscriptionId>("subscriptionId")
        .optional_body("SecretRotation", rotation())
        .answer::<WebhookView>(200, "The webhook with its new `secret`, which is shown this once.")
        .showing("secret")
}

pub(in crate::api::v2) fn pause() -> Operation {
    Operation::new("pauseWebhook", "Pause a webhook")
        .about("Its deliveries are held until it is resumed.")
        .of::<SubscriptionId>("subscriptionId")
        .answer::<WebhookView>(200, "The webhook as it is now.")
        .showing_as("status", "paused")
}

pub(in crate::api::v2) fn resume() -> Operation {
    Operation::new("resumeWebhook", "Resume a webhook")
        .about("What was held goes out, oldest first.")
        .of::<SubscriptionId>("subscriptionId")
        .answer::<WebhookView>(200, "The webhook as it is now.")
}

/// What creation and change have in common, `null` included.
fn with_settings(fields: Object) -> Object {
    let description = text_of(0..=DESCRIPTION_CHARS_MAX).about("The owner's words.");
    fields
        .optional("description", description)
        .optional("headers", word::<CustomHeaders>())
        .optional("rateLimitPerSecond", whole(RATE_PER_SECOND).about("At most so many attempts a second."))
        .optional("maxConcurrency", whole(CONCURRENCY).about("At most so many attempts at a time."))
        .optional("autoDisable", auto_disable())
        .optional("verification", verification())
        .optional("filter", word::<Filter>().about("Which payloads are wanted; all if left out."))
}

/// The body of a rotation, which every API takes alike.
pub(in crate::api) fn rotation() -> Object {
    let most = OVERLAP_MAX.as_secs() as u32;
    let overlap = whole(0..=most).or(OVERLAP_DEFAULT.as_secs());
    let overlap = overlap.about("How long the old secret signs beside the new one, in seconds.");
    object().optional("overlapSeconds", overlap)
}

pub(in crate::api) fn endpoint_url() -> Schema {
    let about = "Where attempts go. `https` and public addresses only, unless the operator allows others.";
    text().in_format("uri").about(about).such_as("https://hooks.example.com/orders")
}

fn auto_disable() -> Schema {
    either([flag(), word::<AutoDisable>()])
        .about("Whether the webhook is switched off after long failing.")
        .or(false)
}

fn verification() -> Schema {
    choice(&["none", "challenge", "cloudevents"])
        .about("How the receiver's consent is asked for. Until it is given, deliveries are held.")
        .or("none")
}

fn event_types() -> Schema {
    list_of(word::<EventPattern>(), 1..=PATTERNS_MAX).about("Which events are wanted; duplicates collapse.")
}

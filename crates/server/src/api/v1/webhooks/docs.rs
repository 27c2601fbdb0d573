//! What the routes of webhooks say of themselves.

use angarium_domain::subscription::{DESCRIPTION_CHARS_MAX, PATTERNS_MAX};

use crate::api::v1::envelope::around;
use crate::api::v1::webhooks::{DeletedView, TestedView, WebhookView, WebhooksView};
use crate::api::v2::webhooks::docs::{endpoint_url, rotation};
use crate::openapi::Operation;
use crate::openapi::schema::{Schema, flag, list as list_of, object, text_of, word};
use crate::openapi::words::{EventPattern, OwnSecret, WebhookId};

pub(in crate::api::v1) fn create() -> Operation {
    let fields = object()
        .required("name", name())
        .required("url", endpoint_url())
        .required("events", events())
        .optional("secret", word::<OwnSecret>());
    Operation::new("createWebhook", "Make a webhook")
        .about("Its deliveries are signed, retried and shaped as this API has always done it.")
        .body("NewWebhook", fields)
        .answer_around::<WebhookView>(
            around,
            201,
            "Made. `secret` is shown now and after a rotation, and never again.",
        )
        .showing("secret")
        .conflict("the handle has as many webhooks as it may have")
}

pub(in crate::api::v1) fn list() -> Operation {
    Operation::new("listWebhooks", "List webhooks")
        .about("Newest first, all in one page unless `limit` says less.")
        .paged()
        .answer_around::<WebhooksView>(around, 200, "The webhooks.")
}

pub(in crate::api::v1) fn get() -> Operation {
    Operation::new("getWebhook", "Show a webhook").of::<WebhookId>("webhookId").answer_around::<WebhookView>(
        around,
        200,
        "The webhook, without its secret.",
    )
}

pub(in crate::api::v1) fn patch() -> Operation {
    let fields = object()
        .optional("name", name())
        .optional("url", endpoint_url())
        .optional("events", events())
        .optional("active", flag().about("A webhook that is not active holds its deliveries until it is."))
        .optional("enabled", flag().about("Another word for `active`."));
    Operation::new("changeWebhook", "Change a webhook")
        .about("Fields that are left out stay as they are.")
        .of::<WebhookId>("webhookId")
        .body("WebhookChange", fields)
        .answer_around::<WebhookView>(around, 200, "The webhook as it is now, without its secret.")
}

pub(in crate::api::v1) fn delete() -> Operation {
    Operation::new("deleteWebhook", "Delete a webhook")
        .about("Queued deliveries become `cancelled`; after the answer no new attempt starts.")
        .of::<WebhookId>("webhookId")
        .answer_around::<DeletedView>(around, 200, "Deleted.")
}

pub(in crate::api::v1) fn test() -> Operation {
    Operation::new("testWebhook", "Send a test event")
        .about("Queues a `webhook.test` event for this webhook alone, whatever it subscribes to.")
        .of::<WebhookId>("webhookId")
        .answer_around::<TestedView>(around, 202, "Accepted for dispatch; nothing was attempted yet.")
}

pub(in crate::api::v1) fn rotate() -> Operation {
    Operation::new("rotateWebhookSecret", "Replace the signing secret")
        .of::<WebhookId>("webhookId")
        .optional_body("SecretRotation", rotation())
        .answer_around::<WebhookView>(
            around,
            200,
            "The webhook with its new `secret`, which is shown this once.",
        )
        .showing("secret")
}

fn name() -> Schema {
    text_of(1..=DESCRIPTION_CHARS_MAX).about("The owner's word for it.").such_as("The warehouse")
}

fn events() -> Schema {
    list_of(word::<EventPattern>(), 1..=PATTERNS_MAX).about("Which events are wanted; duplicates collapse.")
}

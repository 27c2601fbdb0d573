//! What the delivery log of a webhook says of itself.

use crate::api::v1::deliveries::DeliveriesView;
use crate::api::v1::envelope::around;
use crate::openapi::Operation;
use crate::openapi::schema::word;
use crate::openapi::words::{DeliveryStatus, WebhookId};

pub(in crate::api::v1) fn list() -> Operation {
    Operation::new("listWebhookDeliveries", "List the deliveries of a webhook")
        .of::<WebhookId>("webhookId")
        .filter("status", word::<DeliveryStatus>(), "Deliveries in this state.")
        .paged()
        .answer_around::<DeliveriesView>(around, 200, "A page of them, newest first.")
        .showing("finishedAt")
}

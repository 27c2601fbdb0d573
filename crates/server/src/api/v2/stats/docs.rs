//! What the routes of statistics say of themselves.

use angarium_domain::statistics::Window;

use crate::api::v2::stats::StatsView;
use crate::openapi::Operation;
use crate::openapi::schema::word;
use crate::openapi::words::{StatsWindow, SubscriptionId};

const ABOUT: &str = "Counts of attempts and deliveries, percentiles that are off by 3 % at most, the state of its lane, \
                     and what waits. A window begins with a whole span, so up to one span earlier than its name says.";

pub(in crate::api::v2) fn get() -> Operation {
    windowed(Operation::new("getWebhookStats", "Show a webhook in figures"))
        .about(ABOUT)
        .of::<SubscriptionId>("subscriptionId")
        .answer::<StatsView>(200, "The webhook in figures.")
}

pub(in crate::api::v2) fn list() -> Operation {
    windowed(Operation::new("listWebhookStats", "List all webhooks in figures"))
        .about(ABOUT)
        .page_of::<StatsView>("A page of them.")
}

fn windowed(operation: Operation) -> Operation {
    operation.filter("window", word::<StatsWindow>().or(Window::default()), "How far back to look.")
}

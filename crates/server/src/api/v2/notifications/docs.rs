//! What the route of notifications says of itself.

use crate::api::v2::notifications::NotificationsView;
use crate::openapi::Operation;

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getNotifications", "See who is told of what")
        .about("The webhooks of the handle, those who are told by mail and how each of them stands, the address that is told when nobody else is, and the catalogue of event types.")
        .answer::<NotificationsView>(200, "All of it.")
}

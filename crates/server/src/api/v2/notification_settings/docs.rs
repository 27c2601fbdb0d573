//! What the routes of an owner's word on mails say of themselves.

use angarium_domain::notices::{ALERT_INTERVAL_SECONDS, ALERT_INTERVAL_SECONDS_DEFAULT, QUIET_HOURS_MAX};
use angarium_domain::subscription::PATTERNS_MAX;

use crate::api::v2::notification_settings::NotificationSettingsView;
use crate::openapi::Operation;
use crate::openapi::schema::{list, object, text, whole, word};
use crate::openapi::words::{Email, EventPattern, QuietHours, SenderRecord, SenderStatus, Time, TimeZone};

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getNotificationSettings", "See what is said of mails and the inbox")
        .answer::<NotificationSettingsView>(200, "What is said of mails.")
}

pub(in crate::api::v2) fn put() -> Operation {
    let fields = object()
        .optional("senderDomain", text().about("As it is: whoever runs the service sets it."))
        .optional("senderDomainStatus", word::<SenderStatus>().about("Was looked up; not compared."))
        .optional("senderDomainCheckedAt", word::<Time>().about("Was looked up; not compared."))
        .optional(
            "senderDomainRecords",
            list(word::<SenderRecord>(), 0..=64).about("Were looked up; not compared."),
        )
        .optional("notificationEmail", word::<Email>().about("As it is: it has a route of its own."))
        .optional("criticalEventTypes", list(word::<EventPattern>(), 0..=PATTERNS_MAX))
        .optional("inboxEventTypes", list(word::<EventPattern>(), 0..=PATTERNS_MAX))
        .optional("alertIntervalSeconds", whole(ALERT_INTERVAL_SECONDS).or(ALERT_INTERVAL_SECONDS_DEFAULT))
        .optional("timeZone", word::<TimeZone>())
        .optional("quietHours", list(word::<QuietHours>(), 0..=QUIET_HOURS_MAX));
    Operation::new("putNotificationSettings", "Replace what is said of mails and the inbox")
        .about(
            "All of it: what is left out is as if it had never been set. In quiet hours mails wait that are not \
             critical; their deliveries show until when. What the answer of `GET` holds and others say may be sent \
             back as it is.",
        )
        .body("NotificationSettingsChange", fields)
        .answer::<NotificationSettingsView>(200, "As it is now.")
}

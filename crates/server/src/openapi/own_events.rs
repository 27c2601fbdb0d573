//! The events that Angarium publishes at a handle by itself, as receivers of webhooks get them.

use angarium_domain::chain::SIGNALS_PER_SESSION_MAX;
use serde_json::json;

use crate::openapi::schema::{Object, Schema, flag, list, object, plain, text, whole, word};
use crate::openapi::words::{
    AudioType, ChainName, DeathCause, DecisionId, DeliveryId, DisableCause, EventId, EventType, Handle,
    ItemId, Payload, ReportId, ReportKind, RuleDecision, SessionId, Sha256, SignalMetadata, SignalValue,
    SourceId, SourceStatus, SubscriptionId, SyncReason, Time, VoiceNoteId,
};

/// One type of them.
pub(super) struct OwnEvent {
    /// Its name.
    pub(super) event_type: &'static str,
    /// What has happened, in a line.
    pub(super) summary: &'static str,
    /// When it is published.
    pub(super) about: &'static str,
    /// What it says.
    pub(super) payload: Schema,
}

/// Every one of them. Those that are mails alone are not sent to webhooks.
pub(super) fn own_events() -> Vec<OwnEvent> {
    [of_webhooks(), of_standings(), of_chains(), of_documents(), of_inboxes(), of_voice_notes(), of_reports()]
        .into_iter()
        .flatten()
        .collect()
}

fn of_webhooks() -> Vec<OwnEvent> {
    let failure = object()
        .required("subscriptionId", word::<SubscriptionId>())
        .required("deliveryId", word::<DeliveryId>())
        .required("eventId", word::<EventId>())
        .required("eventType", word::<EventType>())
        .required("endpointHost", text().such_as("hooks.example.com"))
        .required("attempts", whole(0..=u32::MAX))
        .required("lastStatus", whole(100..=599).or_null())
        .required("reason", word::<DeathCause>())
        .required("failedAt", word::<Time>());
    vec![
        OwnEvent {
            event_type: "webhook.test",
            summary: "A test, asked for with `POST …/webhooks/{subscriptionId}/test`",
            about: "Sent to that one webhook, whatever it subscribes to.",
            payload: word::<Payload>(),
        },
        OwnEvent {
            event_type: "webhook.delivery.terminal_failure",
            summary: "A delivery was given up",
            about: "Published on the handle for each delivery that died, except for deliveries of this very type.",
            payload: failure.schema(),
        },
    ]
}

fn of_standings() -> Vec<OwnEvent> {
    // What every event about a webhook itself says.
    let notice = || {
        object()
            .required("subscriptionId", word::<SubscriptionId>())
            .required("endpointHost", text().such_as("hooks.example.com"))
            .required("deliveryId", word::<DeliveryId>())
            .required("eventId", word::<EventId>())
            .required("at", word::<Time>())
    };
    let failing = notice()
        .required("failingSince", word::<Time>())
        .required("disablesAt", word::<Time>().about("When it is switched off if nothing changes."))
        .required("lastStatus", whole(100..=599).or_null())
        .required("lastOutcome", text());
    let disabled = notice()
        .required("reason", word::<DisableCause>())
        .required("failingSince", word::<Time>().or_null());
    vec![
        OwnEvent {
            event_type: "webhook.subscription.gone",
            summary: "A receiver says that it is gone",
            about: "Published when a webhook's receiver answers 410, once until it accepts something again.",
            payload: notice().schema(),
        },
        OwnEvent {
            event_type: "webhook.subscription.failing",
            summary: "A webhook will be switched off",
            about: "Published at half of the time that `autoDisable` allows for nothing but failures.",
            payload: failing.schema(),
        },
        OwnEvent {
            event_type: "webhook.subscription.disabled",
            summary: "A webhook was switched off",
            about: "Published when `autoDisable` switches a webhook off.",
            payload: disabled.schema(),
        },
    ]
}

fn of_chains() -> Vec<OwnEvent> {
    let signal = object()
        .required("sessionId", word::<SessionId>())
        .required("sequence", whole(1..=u32::MAX).about("Its number in the session."))
        .required("signalKey", word::<ChainName>())
        .required("signalValue", word::<SignalValue>().or_null())
        .required("confidence", plain(json!({ "type": "number", "minimum": 0, "maximum": 1 })))
        .required("source", text().or_null())
        .required("metadata", word::<SignalMetadata>().or_null())
        .required("receivedAt", word::<Time>());
    let matched =
        object().required("sequence", whole(1..=u32::MAX)).required("signalKey", word::<ChainName>());
    let decision = object()
        .required("decisionId", word::<DecisionId>())
        .required("sessionId", word::<SessionId>())
        .required("trigger", word::<ChainName>().such_as("checkout"))
        .required("ruleId", word::<ChainName>().such_as("welcome"))
        .required("decision", word::<RuleDecision>())
        .required("matchedSignals", list(matched.schema(), 0..=SIGNALS_PER_SESSION_MAX as usize))
        .required("resolvedAt", word::<Time>());
    vec![
        OwnEvent {
            event_type: "chain.signal.received",
            summary: "A signal was appended to a session",
            about: "Published for each signal, where the handle's rules say `publish.signals`. The session is its \
                    ordering key.",
            payload: signal.schema(),
        },
        OwnEvent {
            event_type: "chain.decision.resolved",
            summary: "A rule decided about a session",
            about: "Published for each decision of a rule, where the handle's rules say `publish.decisions`. The \
                    session is its ordering key.",
            payload: decision.schema(),
        },
    ]
}

fn of_documents() -> Vec<OwnEvent> {
    let source = || {
        object()
            .required("sourceId", word::<SourceId>())
            .required("name", text())
            .required("status", word::<SourceStatus>())
    };
    let synced = source()
        .required("changed", flag().about("Whether searches see something else than before."))
        .required("documents", whole(0..=u32::MAX))
        .required("chunks", whole(0..=u32::MAX))
        .required("skipped", whole(0..=u32::MAX).about("Documents that were left out."))
        .required("syncedAt", word::<Time>());
    let failed = source()
        .required("reason", word::<SyncReason>())
        .required("message", text())
        .required("failedAt", word::<Time>());
    vec![
        OwnEvent {
            event_type: "context_store.synced",
            summary: "A sync of a source of the context store succeeded",
            about: "Published together with the source's new state.",
            payload: synced.schema(),
        },
        OwnEvent {
            event_type: "context_store.failed",
            summary: "A sync of a source of the context store was given up",
            about: "What was searchable before stays so, which `status` says.",
            payload: failed.schema(),
        },
    ]
}

fn of_inboxes() -> Vec<OwnEvent> {
    let reader = || text().about("A JWT's subject, or a token's id.").such_as("jwt:alice");
    let one = object()
        .required("itemId", word::<ItemId>())
        .required("type", word::<EventType>())
        .required("reader", reader())
        .required("readAt", word::<Time>());
    let all = object()
        .required("items", whole(1..=u32::MAX).about("How many were unread."))
        .required("upTo", word::<Time>())
        .required("reader", reader())
        .required("readAt", word::<Time>());
    vec![
        OwnEvent {
            event_type: "inbox.item.read",
            summary: "Somebody has read an item of the inbox",
            about: "Published when a reader reads an item for the first time.",
            payload: one.schema(),
        },
        OwnEvent {
            event_type: "inbox.items.read",
            summary: "Somebody has read everything in the inbox",
            about: "Published once for all items that were read at once.",
            payload: all.schema(),
        },
    ]
}

fn of_voice_notes() -> Vec<OwnEvent> {
    let note = || {
        object()
            .required("voiceNoteId", word::<VoiceNoteId>())
            .required("contentType", word::<AudioType>())
            .required("sizeBytes", whole(0..=u32::MAX))
            .required("fileName", text().or_null())
            .required("createdBy", text().such_as("jwt:alice"))
            .required("createdAt", word::<Time>())
            .required("at", word::<Time>())
    };
    let ready = note().required("durationMs", whole(0..=u32::MAX)).required("sha256", word::<Sha256>());
    let failed = note().required("reason", text().such_as("type_mismatch"));
    vec![
        OwnEvent {
            event_type: "voice_note.ready",
            summary: "A voice note can be read",
            about: "Published together with the note's new state.",
            payload: ready.schema(),
        },
        OwnEvent {
            event_type: "voice_note.failed",
            summary: "The file of a voice note was refused",
            about: "Published together with the note's new state.",
            payload: failed.schema(),
        },
    ]
}

fn of_reports() -> Vec<OwnEvent> {
    vec![OwnEvent {
        event_type: "support.report.received",
        summary: "Reports came",
        about: "Published at the one handle that `support.handle` names.",
        payload: reports().schema(),
    }]
}

fn reports() -> Object {
    let latest = object()
        .required("reportId", word::<ReportId>())
        .required("handle", word::<Handle>().or_null())
        .required("summary", text())
        .required("createdAt", word::<Time>());
    object()
        .required("kind", word::<ReportKind>())
        .required("ofStrangers", flag().about("Whether they were made without a credential."))
        .required("count", whole(1..=u32::MAX))
        .required("since", word::<Time>())
        .required("latest", latest.schema().or_null().about("Null if it was removed meanwhile."))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use angarium_domain::catalog::BUILT_IN;

    use super::own_events;

    #[test]
    fn what_is_built_in_and_no_mail_is_described() {
        let described: BTreeSet<_> = own_events().iter().map(|event| event.event_type).collect();
        let built_in = BUILT_IN.iter().map(|known| known.event_type);
        let sent: BTreeSet<_> = built_in.filter(|name| !name.starts_with("email.")).collect();
        assert_eq!(described, sent);
    }
}

//! What the routes of chains say of themselves.

use angarium_domain::chain::{
    ORIGINS_MAX, RULES_MAX, SIGNALS_PER_REQUEST_MAX, SOURCE_CHARS_MAX, TRIGGERS_MAX,
};

use super::rules::{OriginsView, RulesView};
use super::{AcceptedView, DecisionView, DecisionsView, SessionView};
use crate::openapi::Operation;
use crate::openapi::schema::{Object, flag, list, object, plain, text_of, word};
use crate::openapi::words::{
    ChainName, ChainPublish, ContextOrigin, Handle, NewChainRule, SessionId, SignalMetadata, SignalValue,
};
use serde_json::json;

const APPEND: &str = "A signal has a `signalKey`, or a `type`, which says the same. All signals of a request are taken, \
                      or none. A session holds 200 signals and takes 60 a minute.";
const RESOLVE: &str = "The first rule of the trigger that holds decides. That no rule holds is no problem: `decision` is \
                       null then. `explain` tells of every rule that was tried.";
const PREFETCH: &str = "Nothing comes of it: no rule rests because of it, and nothing is published.";
const SUSPENDED: &str = "whoever runs the service has suspended the handle";
const REFUSED: &str = "the request comes from a page whose origin the handle does not list";
const NOT_THERE: &str = "there is nothing under this handle, or it is closed to whoever has no credential";
const PUBLIC: &str =
    "Whether anybody may send signals and ask without a credential; if not, they find no such handle.";

pub(in crate::api::v2) fn append() -> Operation {
    Operation::new("appendChainSignals", "Append signals to a session")
        .about(APPEND)
        .body("ChainSignals", signals(object().optional("handle", word::<Handle>())))
        .answer::<AcceptedView>(202, "They are on stable storage.")
}

pub(in crate::api::v2) fn append_by_anybody() -> Operation {
    by_anybody(Operation::new(
        "appendChainSignalsByAnybody",
        "Append signals to a session, without a credential",
    ))
    .problem(403, "handle_suspended", SUSPENDED)
    .about(APPEND)
    .body("PublicChainSignals", signals(object().required("handle", word::<Handle>())))
    .answer::<AcceptedView>(202, "They are on stable storage.")
}

pub(in crate::api::v2) fn resolve() -> Operation {
    Operation::new("resolveChainDecision", "Decide upon a session")
        .about(RESOLVE)
        .body("ChainQuestion", question(object().optional("handle", word::<Handle>())))
        .answer::<DecisionView>(200, "What was decided.")
}

pub(in crate::api::v2) fn resolve_by_anybody() -> Operation {
    by_anybody(Operation::new("resolveChainDecisionByAnybody", "Decide upon a session, without a credential"))
        .problem(403, "handle_suspended", SUSPENDED)
        .about(RESOLVE)
        .body("PublicChainQuestion", question(object().required("handle", word::<Handle>())))
        .answer::<DecisionView>(200, "What was decided.")
}

pub(in crate::api::v2) fn prefetch() -> Operation {
    Operation::new("prefetchChainDecisions", "Say what would be decided upon several triggers")
        .about(PREFETCH)
        .only_asking()
        .body("ChainQuestions", questions(object().optional("handle", word::<Handle>())))
        .answer::<DecisionsView>(200, "What would be decided, in the order of the triggers.")
}

pub(in crate::api::v2) fn prefetch_by_anybody() -> Operation {
    let summary = "Say what would be decided upon several triggers, without a credential";
    by_anybody(Operation::new("prefetchChainDecisionsByAnybody", summary))
        .about(PREFETCH)
        .only_asking()
        .body("PublicChainQuestions", questions(object().required("handle", word::<Handle>())))
        .answer::<DecisionsView>(200, "What would be decided, in the order of the triggers.")
}

pub(in crate::api::v2) fn get() -> Operation {
    Operation::new("getChainSession", "Show a session")
        .about("Its signals in their order, and the rules that rest in it.")
        .of::<SessionId>("sessionId")
        .answer::<SessionView>(200, "The session.")
}

pub(in crate::api::v2) fn get_rules() -> Operation {
    Operation::new("getChainRules", "Show the rules").answer::<RulesView>(200, "All of them.")
}

pub(in crate::api::v2) fn put_rules() -> Operation {
    let fields = object()
        .required("rules", list(word::<NewChainRule>(), 0..=RULES_MAX))
        .optional("publish", word::<ChainPublish>().about("Nothing, if it is left out."))
        .optional("public", flag().or(true).about(PUBLIC));
    Operation::new("putChainRules", "Replace all rules")
        .about("What is decided from then on is decided by these. They are taken as a whole, or not at all.")
        .body("NewChainRules", fields)
        .answer::<RulesView>(200, "The rules in the order in which they are tried.")
}

pub(in crate::api::v2) fn get_origins() -> Operation {
    Operation::new("getContextOrigins", "Show from which pages may be asked")
        .answer::<OriginsView>(200, "All of them.")
}

pub(in crate::api::v2) fn put_origins() -> Operation {
    let fields = object().required(
        "origins",
        list(word::<ContextOrigin>(), 0..=ORIGINS_MAX).about("`*` alone means every origin."),
    );
    Operation::new("putContextOrigins", "Replace the origins from which pages may ask")
        .about(
            "Browsers name the origin of a page that asks, and the public routes of chains refuse those that are not \
             listed: none is, at first. Whoever names no origin is not refused for it.",
        )
        .body("NewContextOrigins", fields)
        .answer::<OriginsView>(200, "All of them.")
}

fn by_anybody(operation: Operation) -> Operation {
    operation.problem(403, "origin_not_allowed", REFUSED).problem(404, "handle_not_found", NOT_THERE)
}

fn signals(whose: Object) -> Object {
    let signal = object()
        .optional("type", word::<ChainName>())
        .optional("signalKey", word::<ChainName>())
        .optional("signalValue", word::<SignalValue>())
        .optional("confidence", plain(json!({ "type": "number", "minimum": 0, "maximum": 1 })).or(1))
        .optional("source", text_of(1..=SOURCE_CHARS_MAX).about("Who says so."))
        .optional("metadata", word::<SignalMetadata>())
        .schema()
        .such_as(json!({ "signalKey": "view", "signalValue": "/pricing" }));
    whose
        .required("sessionId", word::<SessionId>())
        .required("signals", list(signal, 1..=SIGNALS_PER_REQUEST_MAX))
}

fn question(whose: Object) -> Object {
    whose.required("sessionId", word::<SessionId>()).required("trigger", word::<ChainName>())
}

fn questions(whose: Object) -> Object {
    whose
        .required("sessionId", word::<SessionId>())
        .required("triggers", list(word::<ChainName>(), 1..=TRIGGERS_MAX).each_once())
}

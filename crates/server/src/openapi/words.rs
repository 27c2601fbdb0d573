//! The words of the domain as callers see them: ids, times, states, and their limits.
//!
//! The domain does not know of OpenAPI, so its types are described here, with its own constants
//! and its own words. A view names them with `#[schema(value_type = words::Time)]`.

use std::borrow::Cow;

use angarium_channels::egress::ADDRESSES_MAX;
use angarium_domain::access::{Mode as DomainMode, Scope as DomainScope};
use angarium_domain::auto_disable::{AFTER_HOURS, AFTER_HOURS_DEFAULT};
use angarium_domain::chain::{CONDITIONS_MAX, NAME_CHARS_MAX, PRIORITIES, SECONDS, SIGNALS_PER_SESSION_MAX};
use angarium_domain::context::source::Kind as DomainSourceKind;
use angarium_domain::context::{Reason, Status as DomainSourceStatus};
use angarium_domain::delivery::{DeathCause as DomainDeathCause, Status};
use angarium_domain::dispatch::Condition;
use angarium_domain::event::{Origin as DomainOrigin, PayloadFormat as DomainPayloadFormat};
use angarium_domain::event_type::EVENT_TYPE_BYTES_MAX;
use angarium_domain::headers::{HEADERS_MAX, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use angarium_domain::ids::{
    ApiKeyKind, DecisionKind, DeliveryKind, EmailSubscriptionKind, EventKind, Id, ItemKind, Kind, ReplayKind,
    ReportKind as ReportIdKind, SourceKind as SourceIdKind, SubscriptionKind, TokenKind, VoiceNoteKind,
};
use angarium_domain::mail_address::ADDRESS_BYTES_MAX;
use angarium_domain::outcome::{Class, Failure as DomainFailure, RetryOn as DomainRetryOn};
use angarium_domain::quota::Plan as DomainPlan;
use angarium_domain::recipient::Standing as EmailStanding;
use angarium_domain::replay::{JobStatus, Target};
use angarium_domain::report::{DELIVERIES_MAX, Kind as DomainReportKind, Status as DomainReportStatus};
use angarium_domain::retry::{ATTEMPTS_MAX, SPAN_MAX};
use angarium_domain::signature::SigningProfile as DomainSigningProfile;
use angarium_domain::standing::{DisableCause as DomainDisableCause, Standing};
use angarium_domain::statistics::Window;
use angarium_domain::verification::{Method, Status as VerificationStatus};
use angarium_domain::voice_note::{
    AudioType as DomainAudioType, BAR_MAX, BARS, Failure as NoteFailure, Status as VoiceNoteState,
};
use serde_json::json;
use utoipa::openapi::schema::Schema as UtoipaSchema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::api::v1::ids::WebhookKind;
use crate::openapi::schema::{Schema, choice, either, flag, list, object, plain, text, whole, word};

/// Lists the words of an enum of the domain. A variant that is missing here does not compile.
macro_rules! choices {
    ($type:ident: $($variant:ident),* $(,)?) => {{
        let complete = |word: $type| match word { $($type::$variant => word),* };
        choice(&[$(complete($type::$variant)),*])
    }};
}

macro_rules! words {
    ($($(#[doc = $doc:literal])* $word:ident = $schema:expr;)*) => {
        $(
            $(#[doc = $doc])*
            pub(crate) enum $word {}

            impl PartialSchema for $word {
                fn schema() -> RefOr<UtoipaSchema> {
                    Ref::from_schema_name(stringify!($word)).into()
                }
            }

            impl ToSchema for $word {
                fn name() -> Cow<'static, str> {
                    stringify!($word).into()
                }
            }
        )*

        /// Every word with its schema. Those that nothing refers to are left out of a document.
        pub(super) fn all() -> Vec<(&'static str, Schema)> {
            vec![$((stringify!($word), $schema.about(concat!($($doc),*).trim()))),*]
        }
    };
}

words! {
    /// Names an event; the same on every attempt and replay.
    EventId = id::<EventKind>();
    /// Names a webhook.
    SubscriptionId = id::<SubscriptionKind>();
    /// Names an e-mail subscription: the same 26 characters as in its deliveries, where it begins with `sub_`.
    EmailSubscriptionId = id::<EmailSubscriptionKind>();
    /// Names a delivery: one event on its way to one webhook.
    DeliveryId = id::<DeliveryKind>();
    /// Names a decision about a session.
    DecisionId = id::<DecisionKind>();
    /// Names a replay job.
    ReplayId = id::<ReplayKind>();
    /// Names a source of the context store.
    SourceId = id::<SourceIdKind>();
    /// What kind of source it is: an address, documents that came with it, or a folder of the operator's.
    SourceKind = choices!(DomainSourceKind: Http, Inline, Folder);
    /// How a source stands. It is searched in `READY` and `PREVIEW`; in `PREVIEW` some documents were left out.
    SourceStatus = choices!(DomainSourceStatus: Pending, Syncing, Ready, Preview, Failed).such_as("READY");
    /// Why a sync failed, or a document was left out.
    SyncReason = choices!(Reason: Timeout, DnsError, ConnectError, TlsError, ProtocolError, BlockedAddress,
        HttpStatus, RedirectNotFollowed, UnsupportedType, TooLarge, InvalidText, Empty, FolderMissing, Unreadable,
        InternalError).such_as("http_status");
    /// Names an item of an inbox; the 26 characters of its delivery, if it was made of an event.
    ItemId = id::<ItemKind>();
    /// Names a personal access token; the public half of `patv1_<id>.<secret>`.
    TokenId = id::<TokenKind>();
    /// Names an API key; the public half of `pxk_live_…` or `pxk_test_…`.
    ApiKeyId = id::<ApiKeyKind>();
    /// Names a report.
    ReportId = id::<ReportIdKind>();
    /// Who reports what: a user to support, a platform admin to others, anybody about content.
    ReportKind = choices!(DomainReportKind: Support, Escalation, Content);
    /// What a report is about. Where its reporter showed a credential for the handle, the webhook and the event are theirs.
    ReportAbout = object()
        .required("handle", text().or_null())
        .required("sessionId", text().or_null())
        .required("subscriptionId", text().or_null())
        .required("eventId", text().or_null())
        .required("requestId", text().or_null())
        .required("reproArtifact", text().or_null())
        .required("url", text().or_null())
        .required("contact", text().or_null())
        .required("reportId", word::<ReportId>().or_null())
        .schema();
    /// Whether something is left to be done about a report.
    ReportStatus = choices!(DomainReportStatus: Open, Closed);
    /// That nothing is left to be done about a report.
    ReportClosing = object()
        .required("at", word::<Time>())
        .required("by", text().such_as("jwt:alice"))
        .required("note", text().or_null().about("What came of it."))
        .schema();
    /// What the log said when the report came.
    ReportEvidence = object()
        .required("subscription", word::<SubscriptionEvidence>().or_null())
        .required("event", word::<EventEvidence>().or_null())
        .required("deliveries", list(word::<DeliveryEvidence>(), 0..=DELIVERIES_MAX as usize))
        .schema();
    /// How a webhook stood.
    SubscriptionEvidence = object()
        .required("subscriptionId", word::<SubscriptionId>())
        .required("endpoint", text().about("Host and path, never the query.").such_as("https://hooks.example.com/in"))
        .required("status", either([word::<WebhookStatus>(), choice(&["removed"])]))
        .schema();
    /// What an event was.
    EventEvidence = object()
        .required("eventId", word::<EventId>())
        .required("type", word::<EventType>())
        .required("origin", word::<Origin>())
        .required("acceptedAt", word::<Time>())
        .schema();
    /// What became of a delivery.
    DeliveryEvidence = object()
        .required("deliveryId", word::<DeliveryId>())
        .required("eventId", word::<EventId>())
        .required("subscriptionId", word::<SubscriptionId>())
        .required("origin", word::<Origin>())
        .required("status", word::<DeliveryStatus>())
        .required("attempts", list(word::<AttemptEvidence>(), 0..=2 * ATTEMPTS_MAX))
        .schema();
    /// What came of an attempt.
    AttemptEvidence = object()
        .required("number", whole(1..=1000))
        .required("at", word::<Time>())
        .required("endpoint", text().such_as("https://hooks.example.com/in"))
        .required("status", whole(100..=999).or_null())
        .required("outcome", text().such_as("HTTP 404"))
        .schema();
    /// Names a voice note.
    VoiceNoteId = id::<VoiceNoteKind>();
    /// The secret part of an address: whoever has it may do what the address is for.
    AddressToken = text().matching("^[A-Za-z0-9_-]{1,256}$").such_as("AQAAAZyXsGpwAZyXsGpwfJ2iO1wRjlQPYmFjbWU");
    /// What a voice note may be. Also taken under other names in use, such as `audio/x-m4a`, and with parameters such as `;codecs=opus`.
    AudioType = text().matching("^[aA][uU][dD][iI][oO]/.+$").such_as(DomainAudioType::Mp4);
    /// Where a voice note stands.
    VoiceNoteStatus = choices!(VoiceNoteState: PendingUpload, Processing, Ready, Failed, Expired).such_as("ready");
    /// A SHA-256 in hex.
    Sha256 = text()
        .matching("^[0-9a-fA-F]{64}$")
        .such_as("b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c");
    /// How loud a sound is along its length: 64 bars from 0 to 100.
    Waveform = list(whole(0..=u32::from(BAR_MAX)), BARS..=BARS).such_as((0..BARS).map(|n| n * 7 % 60).collect::<Vec<_>>());
    /// Why a file was refused, for programs and for people.
    VoiceNoteFailure = object()
        .required("reason", choices!(
            NoteFailure: SizeMismatch, Sha256Mismatch, TypeMismatch, Disguised, NotOnlySound, Undecodable, TooLong,
            TooSlow, Lost, Unreadable
        ))
        .required("message", text())
        .schema();
    /// Where a file is read, by anybody who has the address, and until when.
    ReadAddress = object()
        .required("url", address().such_as("https://events.example.com/v2/media/AgAAAZyXsGpw"))
        .required("expiresAt", word::<Time>())
        .schema();
    /// Where a file goes, how, and until when.
    UploadAddress = object()
        .required("method", choice(&["PUT"]))
        .required("url", address().such_as("https://events.example.com/v2/uploads/AQAAAZyXsGpw"))
        .required("headers", plain(json!({ "type": "object", "additionalProperties": { "type": "string" } }))
            .about("To be sent with the upload.").such_as(json!({ "content-type": "audio/mp4" })))
        .required("expiresAt", word::<Time>())
        .schema();
    /// Names this request; also in the header `x-request-id` and on the service's log line.
    RequestId = text().matching("^[!-~]{1,128}$").such_as("req_01kaj3n1rqe5x8fwk6kz3v8q2m");
    /// A handle: a tenant.
    Handle = text().matching("^[a-z0-9][a-z0-9_-]{0,63}$").such_as("acme");
    /// Names a webhook in the v1 API: the same 26 characters as in v2, where it begins with `sub_`.
    WebhookId = id::<WebhookKind>();
    /// One address, in ASCII, without a name.
    Email = text().with_length_max(ADDRESS_BYTES_MAX).such_as("anna@example.com");
    /// How an e-mail subscription stands. Mails are sent where it is `active` or `degraded`.
    EmailStatus = choices!(EmailStanding: PendingConfirmation, Active, Degraded, Suppressed, Unsubscribed);
    /// How the owner's default address stands. Mails are sent where it is `active` or `degraded`; whoever reads it
    /// may have ended them.
    OwnerEmailStatus =
        choice(&["unset", "pending_confirmation", "active", "degraded", "suppressed", "unsubscribed"]);
    /// What the DNS says of the domain that mails come from: `pending` if a record is not there (or nobody looked
    /// yet), `failed` if one is wrong, `temporarily_failed` if its name servers do not answer, `unset` if no mails
    /// are sent.
    SenderStatus = choice(&["unset", "pending", "verified", "failed", "temporarily_failed"]);
    /// A DNS record of the domain that mails come from.
    SenderRecord = object()
        .required("name", text().about("Whose record.").such_as("_dmarc.example.com"))
        .required("type", choice(&["TXT", "CNAME", "MX"]))
        .required("expected", text().about("What to set.").such_as("v=DMARC1; p=none"))
        .required("found", list(text(), 0..=ADDRESSES_MAX).about("What is there for this purpose."))
        .required("state", choice(&["pending", "verified", "failed", "temporarily_failed"]))
        .schema();
    /// Hours of some days of the week, in the time zone of the settings. They end on the next day if `to` is not
    /// after `from`.
    QuietHours = object()
        .required("days", list(choice(&["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]), 1..=7).about("On which they begin."))
        .required("from", text().matching("^([01][0-9]|2[0-3]):[0-5][0-9]$").such_as("22:00"))
        .required("to", text().matching("^([01][0-9]|2[0-3]):[0-5][0-9]$").such_as("07:00"))
        .schema();
    /// The token of a link in a mail.
    LinkToken = text().matching("^[A-Za-z0-9_-]+$").such_as("AQGcgRxx0h1LrKJXTqVrUwE");
    /// An instant, RFC 3339 in UTC, with milliseconds.
    TimeInMillis = text().in_format("date-time").such_as("2026-02-25T12:00:00.000Z");
    /// How many writes a day a handle may make.
    Plan = choices!(DomainPlan: Free, Pro, Enterprise, Unlimited);
    /// A time zone by its name in the IANA database.
    TimeZone = text().such_as("Europe/Berlin");
    /// A day on the calendar of a handle.
    Day = text().matching("^[0-9]{8}$").such_as("20260225");
    /// An instant, RFC 3339 in UTC.
    Time = text().in_format("date-time").such_as("2026-02-25T12:00:00Z");
    /// The dotted name of an event's kind.
    EventType = text()
        .matching(r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$")
        .with_length_max(EVENT_TYPE_BYTES_MAX)
        .such_as("order.fulfilled");
    /// An event type, a pattern such as `order.*`, or `*` for all.
    EventPattern = text()
        .matching(r"^(\*|[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*(\.\*)?)$")
        .with_length_max(EVENT_TYPE_BYTES_MAX + 2)
        .such_as("order.*");
    /// Where an event came from: published, made by the test route, made by Angarium about
    /// itself, or published with a test key and never sent.
    Origin = choices!(DomainOrigin: Live, Test, System, Sandbox);
    /// How a webhook stands. `gone` is attempted although its receiver said that it is gone; the last three
    /// hold their deliveries.
    WebhookStatus = choices!(Standing: Active, Gone, PendingVerification, Paused, Disabled);
    /// How a receiver's consent is asked for.
    VerificationMethod = choices!(Method: Challenge, CloudEvents);
    /// What a receiver consented to.
    Consent = object()
        .required("host", text().about("Who was asked.").such_as("hooks.example.com"))
        .required("allowedOrigin", text().about("Whom it lets in; null if the method does not say.").or_null())
        .required("allowedRatePerMinute", plain(json!({ "type": ["integer", "null"], "minimum": 0 })))
        .schema();
    /// The verification of a webhook's present address.
    Verification = object()
        .required("method", word::<VerificationMethod>())
        .required("status", choices!(VerificationStatus: Pending, Verified, Failed))
        .required("checkedAt", word::<Time>().about("When the last check ended.").or_null())
        .required("verifiedAt", word::<Time>().about("When consent was given.").or_null())
        .required("consent", word::<Consent>().or_null())
        .required("reason", text().about("Why the last check did not pass.").or_null())
        .schema();
    /// Why a webhook was switched off.
    DisableCause = choices!(DomainDisableCause: Gone, Failing);
    /// Switch the webhook off after so many hours of nothing but failures, or when the receiver says that it is gone.
    AutoDisable = object().required("afterHours", whole(AFTER_HOURS).such_as(AFTER_HOURS_DEFAULT)).schema();
    /// Which headers prove a delivery's origin.
    SigningProfile = choices!(DomainSigningProfile: Arjun, Platformxe, Standard, StandardV1a);
    /// The shape of a delivery's body.
    PayloadFormat = choices!(DomainPayloadFormat: Native, Standard, CloudEvents, CloudEventsBinary, Platformxe);
    /// Where a delivery stands. `held` waits because its webhook is paused.
    DeliveryStatus = choices!(Status: Pending, InFlight, Retrying, Delivered, Dead, Cancelled, Held)
        .such_as("delivered");
    /// Why a delivery was given up.
    DeathCause = choices!(
        DomainDeathCause: TerminalStatus, RedirectNotFollowed, BlockedAddress, AttemptsExhausted, Expired,
        Unreadable, Suppressed
    );
    /// Where an attempt without an answer went wrong.
    Failure = choices!(
        DomainFailure: Timeout, DnsError, ConnectError, TlsError, ProtocolError, ConnectionLost,
        BlockedAddress, InternalError, Interrupted, OutcomeUnknown, RelayRefused, StaleProviderReference,
        NotConfigured, Suppressed
    );
    /// What an attempt means for its delivery.
    AttemptClass = choices!(Class: Delivered, Retry, Terminal);
    /// Which answers are tried again: `transient` is no answer, 5xx, 408, 409, 425 and 429.
    RetryOn = choices!(DomainRetryOn: Transient, AnyFailure, AnyFailureButGone);
    /// A named policy, or waits of one's own: at most 20 attempts and 7 days.
    RetryPolicy = either([
        choice(&["fast", "patient", "standard", "email"]),
        object()
            .required("delaysSeconds", list(whole_seconds(), 0..=ATTEMPTS_MAX - 1))
            .sometimes("retryOn", word::<RetryOn>().or("transient"))
            .schema(),
    ])
    .such_as("fast");
    /// Headers of the subscriber's own, sent with every attempt. Their values are shown to those who may change them.
    CustomHeaders = plain(json!({
        "type": "object",
        "maxProperties": HEADERS_MAX,
        "propertyNames": { "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "maxLength": NAME_BYTES_MAX },
        "additionalProperties": { "type": "string", "pattern": "^([!-~]([ -~]*[!-~])?)?$", "maxLength": VALUE_BYTES_MAX },
    }))
    .such_as(json!({ "x-receiver-key": "k1" }));
    /// A JSON Schema that payloads must fit, without references to other documents.
    PayloadSchema = plain(json!({ "type": ["object", "boolean"] }))
        .such_as(json!({ "type": "object", "required": ["orderId"] }));
    /// A secret of the subscriber's own: `whsec_` and base64 of 24 to 64 bytes, or visible ASCII.
    OwnSecret = text().matching("^(whsec_[A-Za-z0-9+/]{32,86}={0,2}|[!-~]{24,64})$").such_as("a-secret-of-twenty-four-characters");
    /// The publisher's object, delivered byte for byte.
    Payload = plain(json!({ "type": "object" })).such_as(json!({ "orderId": 42 }));
    /// Which payloads are wanted: dotted paths with conditions, and the groups `all`, `any` and `none`.
    /// `docs/filters.md` is the manual.
    Filter = plain(json!({ "type": "object" })).such_as(json!({ "total": { "gte": 100 } }));
    /// Some fields of an object, as they were.
    Fields = plain(json!({ "type": "object" })).such_as(json!({ "description": "The warehouse" }));
    /// The SHA-256 of a row of the audit log, in hex.
    ChainHash = text()
        .matching("^[0-9a-f]{64}$")
        .such_as("b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c");
    /// What a token may do.
    Scope = choice(DomainScope::OF_TOKENS);
    /// What an API key may do.
    KeyScope = choice(DomainScope::OF_KEYS);
    /// Whether what a key publishes is sent, or only recorded and matched.
    KeyMode = choices!(DomainMode: Live, Test);
    /// Where a replay job stands.
    ReplayStatus = choices!(JobStatus: Running, Completed, Cancelled).such_as("completed");
    /// Which address a replay goes to: the webhook's of now, or the one of the original delivery.
    ReplayTarget = choices!(Target: Current, Original);
    /// What a replay takes.
    FinishedStatus = choice(&[Status::Dead, Status::Delivered]).such_as("dead");
    /// Names a signal, a trigger or a rule.
    ChainName = text().matching(&format!("^[A-Za-z0-9_.:-]{{1,{NAME_CHARS_MAX}}}$")).such_as("view");
    /// Names a session. `rules`, `signals`, `resolve`, `prefetch`, `.` and `..` name none.
    SessionId = text().matching(&format!("^[A-Za-z0-9_.:-]{{1,{NAME_CHARS_MAX}}}$")).such_as("sess-1");
    /// What a signal is worth: a text, a number, a flag, or an object of a kilobyte at most, which no rule compares.
    SignalValue = plain(json!({ "type": ["string", "number", "boolean", "object"] })).such_as("/pricing");
    /// An object of two kilobytes at most, which no rule looks at.
    SignalMetadata = plain(json!({ "type": "object" })).such_as(json!({ "campaign": "spring" }));
    /// What came of trying a rule.
    RuleOutcome = choice(&["matched", "failed", "cooling_down"]).such_as("matched");
    /// A group of conditions.
    ConditionGroup = choice(&["all", "any", "none"]).such_as("all");
    /// An object of four kilobytes at most, in its owner's words.
    RuleDecision = plain(json!({ "type": "object" })).such_as(json!({ "offer": "ten-percent" }));
    /// Enough signals of a kind.
    ChainCondition = object()
        .required("signalKey", word::<ChainName>())
        .sometimes("value", plain(json!({ "type": ["string", "number", "boolean"] })).about("Worth exactly this."))
        .sometimes("minCount", whole(1..=SIGNALS_PER_SESSION_MAX).or(1))
        .sometimes("minConfidence", plain(json!({ "type": "number", "minimum": 0, "maximum": 1 })))
        .sometimes("withinSeconds", whole(SECONDS).about("Older ones do not count."))
        .schema()
        .such_as(json!({ "signalKey": "view", "minCount": 2, "withinSeconds": 3600 }));
    /// Groups of conditions that must all hold: each of `all`, one of `any`, none of `none`. At most 20 conditions together, and one at least.
    ChainWhen = object()
        .sometimes("all", list(word::<ChainCondition>(), 0..=CONDITIONS_MAX))
        .sometimes("any", list(word::<ChainCondition>(), 0..=CONDITIONS_MAX))
        .sometimes("none", list(word::<ChainCondition>(), 0..=CONDITIONS_MAX))
        .schema()
        .such_as(json!({ "all": [{ "signalKey": "view", "minCount": 2 }] }));
    /// A rule: upon which trigger it decides what, and when.
    NewChainRule = object()
        .required("ruleId", word::<ChainName>().about("No other rule of the handle has it.").such_as("welcome"))
        .required("trigger", word::<ChainName>().such_as("checkout"))
        .optional("priority", priority().or(0))
        .required("when", word::<ChainWhen>())
        .required("decision", word::<RuleDecision>())
        .optional("cooldownSeconds", whole(SECONDS).about("How long it rests in a session after it has decided there."))
        .schema();
    /// A rule as it is tried: those of a higher priority first, those of the same by name.
    ChainRule = object()
        .required("ruleId", word::<ChainName>().such_as("welcome"))
        .required("trigger", word::<ChainName>().such_as("checkout"))
        .required("priority", priority())
        .required("when", word::<ChainWhen>())
        .required("decision", word::<RuleDecision>())
        .required("cooldownSeconds", whole(SECONDS).about("How long it rests in a session after it has decided there.").or_null())
        .schema();
    /// What is published as events: `chain.signal.received` for each signal, `chain.decision.resolved` for each decision of a rule.
    ChainPublish = object()
        .sometimes("signals", flag().or(false))
        .sometimes("decisions", flag().or(false))
        .schema()
        .such_as(json!({ "signals": false, "decisions": true }));
    /// `https://host` or `https://host:port` as browsers write it, plain `http` for this machine alone, or `*`.
    ContextOrigin = text().such_as("https://shop.example.com");
    /// How far back statistics look.
    StatsWindow = choices!(Window: Hour, Day, Week).such_as("24h");
    /// What a webhook's lane does: `open` is one whose receiver is out, so that only probes go.
    LaneState = choices!(Condition: Active, Idle, Open, Paused).such_as("active");
    /// Whether attempts go out freely, none goes, or one finds out.
    BreakerState = choice(&["closed", "open", "probing"]).such_as("closed");
    /// How many attempts came to each.
    AnswerCounts = plain(json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 } }))
        .such_as(json!({ "2xx": 190, "timeout": 10 }));
    /// The wait after an attempt, with what went into it.
    Delay = object()
        .required("scheduledMs", milliseconds().about("The policy's wait.").such_as(5000))
        .sometimes("askedMs", milliseconds().about("What the receiver asked for, after the cap."))
        .required("capped", flag().about("Whether the receiver asked for more than the policy allows."))
        .required("jitterMs", milliseconds().about("What was added to spread attempts out.").such_as(211))
        .schema();
}

fn id<K: Kind>() -> Schema {
    let example = Id::<K>::from_bytes([
        1, 0x9c, 0x97, 0xb0, 0x6a, 0x70, 0x7c, 0x9d, 0xa2, 0x3b, 0x5c, 0x11, 0x8e, 0x54, 0x0f, 0x62,
    ]);
    text().matching(&format!("^{}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$", K::PREFIX)).such_as(example)
}

fn priority() -> Schema {
    plain(json!({ "type": "integer", "minimum": PRIORITIES.start(), "maximum": PRIORITIES.end() }))
}

/// Whole, or from the root of the address that was asked, as the service is set up.
fn address() -> Schema {
    text().in_format("uri-reference")
}

fn milliseconds() -> Schema {
    plain(json!({ "type": "integer", "minimum": 0 }))
}

fn whole_seconds() -> Schema {
    plain(json!({ "type": "integer", "minimum": 0, "maximum": SPAN_MAX.as_secs() }))
}

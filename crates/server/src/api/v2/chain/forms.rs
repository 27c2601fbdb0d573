//! What is asked of chains, field by field.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use angarium_domain::chain::{
    Confidence, InvalidName, Metadata, Name, SIGNALS_PER_REQUEST_MAX, SessionId, Signal, Source,
    TRIGGERS_MAX, Value,
};
use angarium_domain::handle::Handle;

use crate::api::form::Form;
use crate::problem::Problem;

/// Where the handle stands.
#[derive(Clone, Copy)]
pub(super) enum Whose<'a> {
    /// In the path. The body may name it too, and no other.
    InPath(&'a Handle),
    /// In the body.
    InBody,
}

/// Signals for a session.
pub(super) struct Appended {
    pub(super) handle: Handle,
    pub(super) session_id: SessionId,
    pub(super) signals: Vec<Signal>,
}

/// A trigger in a session.
pub(super) struct Question {
    pub(super) handle: Handle,
    pub(super) session_id: SessionId,
    pub(super) trigger: Name,
}

/// Several triggers in a session.
pub(super) struct Questions {
    pub(super) handle: Handle,
    pub(super) session_id: SessionId,
    pub(super) triggers: Vec<Name>,
}

pub(super) fn signals(mut form: Form<'_>, whose: Whose<'_>) -> Result<Appended, Problem> {
    let handle = handle(&mut form, whose);
    let session_id = named(&mut form, "sessionId");
    let items = form.objects("signals", 1..=SIGNALS_PER_REQUEST_MAX);
    let mut signals = Vec::new();
    for (at, mut inner) in items.into_iter().flatten().enumerate() {
        signals.extend(signal(&mut inner));
        form.close(&format!("signals[{at}]"), inner);
    }
    let (handle, session_id) = form.finish(handle.zip(session_id))?;
    Ok(Appended { handle: handle.known()?, session_id, signals })
}

pub(super) fn question(mut form: Form<'_>, whose: Whose<'_>) -> Result<Question, Problem> {
    let handle = handle(&mut form, whose);
    let session_id = named(&mut form, "sessionId");
    let trigger = named(&mut form, "trigger");
    let ((handle, session_id), trigger) = form.finish(handle.zip(session_id).zip(trigger))?;
    Ok(Question { handle: handle.known()?, session_id, trigger })
}

pub(super) fn questions(mut form: Form<'_>, whose: Whose<'_>) -> Result<Questions, Problem> {
    let handle = handle(&mut form, whose);
    let session_id = named(&mut form, "sessionId");
    let texts: Option<Vec<Cow<'_, str>>> = form.required("triggers");
    let count = texts.as_ref().map_or(1, Vec::len);
    if !(1..=TRIGGERS_MAX).contains(&count) {
        form.fault("triggers", format!("there are {count} triggers, the limits are 1 and {TRIGGERS_MAX}"));
    }
    let mut triggers: Vec<Name> = Vec::new();
    let texts = texts.filter(|texts| texts.len() <= TRIGGERS_MAX);
    for (at, text) in texts.into_iter().flatten().enumerate() {
        match text.parse() {
            Ok(trigger) if triggers.contains(&trigger) => {
                form.fault(format!("triggers[{at}]"), format!("triggers holds {trigger} twice"));
            }
            Ok(trigger) => triggers.push(trigger),
            Err(error) => form.fault(format!("triggers[{at}]"), InvalidName::to_string(&error)),
        }
    }
    let (handle, session_id) = form.finish(handle.zip(session_id))?;
    Ok(Questions { handle: handle.known()?, session_id, triggers })
}

/// A handle as it was written: what cannot be one is not there, like one that nobody knows.
enum Written {
    Handle(Handle),
    Impossible,
}

impl Written {
    fn known(self) -> Result<Handle, Problem> {
        match self {
            Written::Handle(handle) => Ok(handle),
            Written::Impossible => Err(Problem::no_such_handle()),
        }
    }
}

fn handle(form: &mut Form<'_>, whose: Whose<'_>) -> Option<Written> {
    let text: Option<Cow<'_, str>> = form.optional("handle");
    match (whose, text) {
        (Whose::InPath(handle), Some(text)) if text != handle.as_str() => {
            form.fault("handle", format!("handle is another one than {handle}, which the path names"));
            None
        }
        (Whose::InPath(handle), _) => Some(Written::Handle(handle.clone())),
        (Whose::InBody, Some(text)) => Some(text.parse().map_or(Written::Impossible, Written::Handle)),
        (Whose::InBody, None) if form.is_at_fault("handle") => None,
        (Whose::InBody, None) => form.missing("handle"),
    }
}

/// A field that must be there and holds a name.
pub(super) fn named<T>(form: &mut Form<'_>, field: &'static str) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    match form.parsed(field) {
        None if !form.is_at_fault(field) => form.missing(field),
        read => read,
    }
}

fn signal(form: &mut Form<'_>) -> Option<Signal> {
    let (short, long) = (form.parsed::<Name>("type"), form.parsed::<Name>("signalKey"));
    let key = match (short, long) {
        (Some(_), Some(_)) => {
            form.fault("type", "type and signalKey say the same; send one of them");
            None
        }
        (None, None) if !form.is_at_fault("type") && !form.is_at_fault("signalKey") => {
            form.missing("signalKey")
        }
        (short, long) => short.or(long),
    };
    let value = form.raw("signalValue").map(Value::from_json);
    let value = checked(form, "signalValue", value);
    let confidence = form.optional::<f64>("confidence").map(Confidence::try_from);
    let confidence = checked(form, "confidence", confidence);
    let source = form.optional::<String>("source").map(Source::try_from);
    let source = checked(form, "source", source);
    let metadata = form.raw("metadata").map(Metadata::from_json);
    let metadata = checked(form, "metadata", metadata);
    Some(Signal { key: key?, value, confidence: confidence.unwrap_or(Confidence::CERTAIN), source, metadata })
}

/// Notes what is wrong with a value.
pub(super) fn checked<T, E: Display>(
    form: &mut Form<'_>,
    field: &str,
    read: Option<Result<T, E>>,
) -> Option<T> {
    read?.map_err(|error| form.fault(field, format!("{field}: {error}"))).ok()
}

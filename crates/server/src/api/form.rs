//! A JSON body, read field by field, so that one answer names every field at fault.
//!
//! Values stay borrowed from the body: a payload is copied once, when it becomes
//! an event's.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::problem::{Detail, Problem};

/// More fields than any request of ours has; it keeps the reading of a hostile body cheap.
const FIELDS_MAX: usize = 64;

/// The fields of a body that nobody has asked for yet, and the faults found so far.
pub(crate) struct Form<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
    faults: Vec<Detail>,
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Form<'a> {
    /// Reads a body that must be a JSON object.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Form<'a>, Problem> {
        let text =
            std::str::from_utf8(body).map_err(|_| Problem::invalid_payload("the body is not UTF-8"))?;
        Form::of_text(text)
    }

    /// Reads a body that may be missing.
    pub(crate) fn parse_or_empty(body: &'a [u8]) -> Result<Form<'a>, Problem> {
        if body.is_empty() { Form::of_text("{}") } else { Form::parse(body) }
    }

    /// Reads the text of a JSON object.
    pub(crate) fn of_text(text: &'a str) -> Result<Form<'a>, Problem> {
        let fields: Fields<'a> = serde_json::from_str(text)
            .map_err(|error| Problem::invalid_payload(format!("the body is not valid: {error}")))?;
        Ok(Form { fields: fields.0, faults: Vec::new() })
    }

    /// The text of a field; the last one, if there are several. `null` is not there.
    pub(crate) fn raw(&mut self, field: &str) -> Option<&'a RawValue> {
        self.raw_or_null(field).filter(|value| value.get() != "null")
    }

    /// A field that may be left out.
    pub(crate) fn optional<T: Deserialize<'a>>(&mut self, field: &'static str) -> Option<T> {
        let value = self.raw(field)?;
        self.read(field, value)
    }

    /// A field that must be there.
    pub(crate) fn required<T: Deserialize<'a>>(&mut self, field: &'static str) -> Option<T> {
        match self.raw(field) {
            Some(value) => self.read(field, value),
            None => self.missing(field),
        }
    }

    /// A field that `null` clears.
    #[expect(clippy::option_option, reason = "absent, null and a value are three different wishes")]
    pub(crate) fn nullable<T: Deserialize<'a>>(&mut self, field: &'static str) -> Option<Option<T>> {
        let value = self.raw_or_null(field)?;
        self.read(field, value)
    }

    /// An object in a field that must be there: a form of its own, to be given to [`Form::close`].
    pub(crate) fn object(&mut self, field: &'static str) -> Option<Form<'a>> {
        let Some(value) = self.raw(field) else { return self.missing(field) };
        let fields: Fields<'a> = self.read(field, value)?;
        Some(Form { fields: fields.0, faults: Vec::new() })
    }

    /// An object in a field that may be left out: a form of its own, to be given to [`Form::close`].
    pub(crate) fn optional_object(&mut self, field: &'static str) -> Option<Form<'a>> {
        let value = self.raw(field)?;
        let fields: Fields<'a> = self.read(field, value)?;
        Some(Form { fields: fields.0, faults: Vec::new() })
    }

    /// The objects of a list that must be there and hold so many: each a form of its own, to be given to
    /// [`Form::close`] under its place.
    pub(crate) fn objects(
        &mut self,
        field: &'static str,
        count: std::ops::RangeInclusive<usize>,
    ) -> Option<Vec<Form<'a>>> {
        let Some(value) = self.raw(field) else { return self.missing(field) };
        let items: Vec<&'a RawValue> = self.read(field, value)?;
        if !count.contains(&items.len()) {
            let (found, least, most) = (items.len(), count.start(), count.end());
            self.fault(field, format!("{field} has {found} items, the limits are {least} and {most}"));
            return None;
        }
        Some(self.each(field, items))
    }

    /// The objects of a list that may be left out.
    pub(crate) fn optional_objects(&mut self, field: &'static str) -> Option<Vec<Form<'a>>> {
        let value = self.raw(field)?;
        let items = self.read(field, value)?;
        Some(self.each(field, items))
    }

    fn each(&mut self, field: &str, items: Vec<&'a RawValue>) -> Vec<Form<'a>> {
        let mut forms = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            let fields = self.read::<Fields<'a>>(&format!("{field}[{at}]"), item);
            // One that is no object is at fault as such; the places of those behind it stay what they are.
            let fields = fields.map_or_else(Vec::new, |fields| fields.0);
            forms.push(Form { fields, faults: Vec::new() });
        }
        forms
    }

    /// Ends the reading of the object in a field: its faults are this form's, under their whole path.
    pub(crate) fn close(&mut self, field: &str, mut inner: Form<'a>) {
        inner.refuse_the_rest();
        let faults = inner.faults.into_iter();
        self.faults.extend(faults.map(|fault| Detail { field: format!("{field}.{}", fault.field), ..fault }));
    }

    /// A field whose text has a grammar of its own.
    pub(crate) fn parsed<T>(&mut self, field: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text: Cow<'a, str> = self.optional(field)?;
        text.parse().map_err(|error: T::Err| self.fault(field, error.to_string())).ok()
    }

    /// Notes that a required field is not there.
    pub(crate) fn missing<T>(&mut self, field: &str) -> Option<T> {
        let message = format!("{field} is required");
        self.faults.push(Detail::new(field, "required", message));
        None
    }

    /// Whether something is wrong with a field.
    pub(crate) fn is_at_fault(&self, field: &str) -> bool {
        self.faults.iter().any(|fault| fault.field == field)
    }

    /// Notes that a field is not valid.
    pub(crate) fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Detail::new(field, "invalid", message));
    }

    /// Keeps a number that is within its range, and notes one that is not.
    pub(crate) fn within(
        &mut self,
        field: &str,
        range: std::ops::RangeInclusive<u32>,
        value: Option<u32>,
    ) -> Option<u32> {
        if let Some(number) = value.filter(|number| !range.contains(number)) {
            let (least, most) = (range.start(), range.end());
            self.fault(field, format!("{field} is {number}, the limits are {least} and {most}"));
        }
        value
    }

    /// Reads one value with the field's name for its faults.
    pub(crate) fn read<T: Deserialize<'a>>(&mut self, field: &str, value: &'a RawValue) -> Option<T> {
        serde_json::from_str(value.get()).map_err(|error| self.fault(field, without_position(&error))).ok()
    }

    /// Ends the reading: fields that nobody asked for are faults too.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problem> {
        self.refuse_the_rest();
        match value {
            Some(value) if self.faults.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.faults)),
        }
    }

    fn refuse_the_rest(&mut self) {
        for (field, _) in std::mem::take(&mut self.fields) {
            let field: String = field.chars().take(64).collect();
            let message = format!("{field:?} is not a field of this request");
            self.faults.push(Detail::new(field, "unknown", message));
        }
    }

    fn raw_or_null(&mut self, field: &str) -> Option<&'a RawValue> {
        #[cfg(test)]
        asked::note(field);
        let found = self.fields.iter().rev().find(|(name, _)| name == field).map(|(_, value)| *value);
        if found.is_some() {
            self.fields.retain(|(name, _)| name != field);
        }
        found
    }
}

/// The parser's words without its line and column, which count from the field and not the body.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'a>, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    if fields.len() == FIELDS_MAX {
                        let message = format!("more than {FIELDS_MAX} fields, which is the limit");
                        return Err(serde::de::Error::custom(message));
                    }
                    fields.push((name, value));
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Reader).map(Fields)
    }
}

/// Which fields a form was asked for, for the test that compares them with its description.
#[cfg(test)]
pub(crate) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static ASKED: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// Forgets what was asked for before.
    pub(crate) fn begin() {
        ASKED.with_borrow_mut(BTreeSet::clear);
    }

    /// What was asked for on this thread since then.
    pub(crate) fn end() -> BTreeSet<String> {
        ASKED.take()
    }

    pub(super) fn note(field: &str) {
        ASKED.with_borrow_mut(|asked| asked.insert(field.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn code_of(body: &str) -> String {
        Form::parse(body.as_bytes()).err().expect("refused").code
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for body in ["", "nonsense", "[]", "3", "\"x\"", "null", "{", "{}{}", "{\"a\":}", "{'a':1}"] {
            assert_eq!(code_of(body), "invalid_payload", "{body}");
        }
        assert_eq!(Form::parse(b"{\"a\":\"\xff\"}").err().expect("refused").code, "invalid_payload");
    }

    #[test]
    fn all_faults_come_in_one_answer() {
        let mut form = Form::parse(br#"{"a":"x","b":2,"odd":1}"#).expect("an object");
        let values = (form.required::<u32>("a"), form.optional::<u32>("b"), form.required::<u32>("c"));
        assert_eq!(values, (None, Some(2), None));
        let problem = form.finish(Some(())).expect_err("three faults");
        let faults: Vec<_> = problem.details.iter().map(|d| (d.field.as_str(), d.code)).collect();
        assert_eq!(faults, [("a", "invalid"), ("c", "required"), ("odd", "unknown")]);
        assert_eq!(problem.code, "validation_error");
        assert!(!problem.details[0].message.contains("line"), "{}", problem.details[0].message);
    }

    #[test]
    fn faults_of_an_object_inside_carry_its_path() {
        let mut form = Form::parse(br#"{"filter":{"a":"x","odd":1},"b":3}"#).expect("an object");
        let mut filter = form.object("filter").expect("an object inside");
        assert_eq!(filter.optional::<u32>("a"), None);
        form.close("filter", filter);
        assert!(form.object("b").is_none() && form.object("c").is_none());
        let problem = form.finish(Some(())).expect_err("four faults");
        let faults: Vec<_> = problem.details.iter().map(|d| (d.field.as_str(), d.code)).collect();
        let expected =
            [("filter.a", "invalid"), ("filter.odd", "unknown"), ("b", "invalid"), ("c", "required")];
        assert_eq!(faults, expected);
    }

    #[test]
    fn null_is_absence_except_where_it_clears() {
        let mut form = Form::parse(br#"{"a":null,"b":null}"#).expect("an object");
        assert_eq!(form.optional::<u32>("a"), None);
        assert_eq!(form.nullable::<u32>("b"), Some(None));
        assert_eq!(form.nullable::<u32>("c"), None);
        assert!(form.finish(Some(())).is_ok());
    }

    #[test]
    fn of_duplicate_fields_the_last_counts() {
        let mut form = Form::parse(br#"{"a":1,"a":2}"#).expect("an object");
        assert_eq!(form.required::<u32>("a"), Some(2));
        assert!(form.finish(Some(())).is_ok());
    }

    #[test]
    fn a_body_of_countless_fields_is_refused_at_once() {
        let fields: Vec<String> = (0..100).map(|n| format!("\"f{n}\":1")).collect();
        assert_eq!(code_of(&format!("{{{}}}", fields.join(","))), "invalid_payload");
    }
}

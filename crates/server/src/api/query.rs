//! The part of an address after the question mark: filters, and which page.

use std::borrow::Cow;

use angarium_domain::handle::Handle;
use angarium_store::page::{InvalidCursor, LIMIT_DEFAULT, LIMIT_MAX, PageRequest, parse_cursor};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{CowStrDeserializer, Error};

use crate::problem::{Detail, Problem};

/// How many unknown parameters are named in an answer.
const NAMED_MAX: usize = 10;

/// The parameters that nobody has asked for yet, and the faults found so far.
pub(crate) struct Query<'a> {
    parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    faults: Vec<Detail>,
}

impl<'a> Query<'a> {
    /// Takes an address's query apart.
    pub(crate) fn parse(query: Option<&'a str>) -> Query<'a> {
        let parameters = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
        Query { parameters, faults: Vec::new() }
    }

    /// A parameter that may be left out.
    pub(crate) fn optional<T: Deserialize<'a>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        let deserializer: CowStrDeserializer<'a, Error> = text.into_deserializer();
        T::deserialize(deserializer).map_err(|error| self.fault(name, error.to_string())).ok()
    }

    /// Ends the reading of a list's address: filters are done, the page is left.
    ///
    /// `list` names tenant, route and filters; a cursor is good for that list only.
    pub(crate) fn page(mut self, list: &str) -> Result<PageRequest, Problem> {
        let limit = self.limit();
        let cursor = self.text("cursor");
        self.finish()?;
        let before = cursor.map(|text| parse_cursor(&text, list)).transpose()?;
        Ok(PageRequest { before, limit })
    }

    /// The same for a list of handles by name: those after which one, and how many.
    pub(crate) fn page_of_handles(mut self) -> Result<(Option<Handle>, u32), Problem> {
        let limit = self.limit();
        let cursor = self.text("cursor");
        self.finish()?;
        Ok((cursor.map(|text| handle_behind(&text)).transpose()?, limit))
    }

    fn limit(&mut self) -> u32 {
        let Some(text) = self.text("limit") else { return LIMIT_DEFAULT };
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.unwrap_or_else(|| {
            self.fault("limit", format!("limit must be a whole number from 1 to {LIMIT_MAX}"));
            LIMIT_DEFAULT
        })
    }

    /// A filter that we do not know would silently list too much.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.parameters).into_iter().take(NAMED_MAX) {
            let field: String = name.chars().take(64).collect();
            let message = format!("{field:?} is not a parameter of this list, or stands there twice");
            self.faults.push(Detail::new(field, "unknown", message));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }

    fn text(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.parameters.iter().position(|(known, _)| known == name)?;
        Some(self.parameters.remove(at).1)
    }

    fn fault(&mut self, field: &'static str, message: String) {
        self.faults.push(Detail::new(field, "invalid", message));
    }
}

/// The cursor that leads on from a handle in a list by name.
pub(crate) fn cursor_after(handle: &Handle) -> String {
    BASE64URL_NOPAD.encode(handle.as_str().as_bytes())
}

fn handle_behind(cursor: &str) -> Result<Handle, InvalidCursor> {
    let bytes = BASE64URL_NOPAD.decode(cursor.as_bytes()).map_err(|_| InvalidCursor)?;
    std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).ok_or(InvalidCursor)
}

#[cfg(test)]
mod tests {
    use angarium_store::page::cursor;

    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<PageRequest, &str>) {
        let page = Query::parse(Some(query)).page("acme events");
        assert_eq!(page.map_err(|problem| problem.code), expected.map_err(str::to_owned));
    }

    #[test]
    fn pages_have_fifty_items_unless_asked_and_a_hundred_at_most() {
        check("", Ok(PageRequest { before: None, limit: 50 }));
        check("limit=1", Ok(PageRequest { before: None, limit: 1 }));
        check("limit=100", Ok(PageRequest { before: None, limit: 100 }));
        for wrong in ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=1&limit=2"] {
            check(wrong, Err("invalid_limit"));
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        check(
            &format!("cursor={}", cursor([7; 16], "acme events")),
            Ok(PageRequest { before: Some([7; 16]), limit: 50 }),
        );
        check(&format!("cursor={}", cursor([7; 16], "beta events")), Err("invalid_cursor"));
        check("cursor=x", Err("invalid_cursor"));
    }

    #[test]
    fn a_cursor_among_handles_leads_on_from_one() {
        let page = |query: &str| Query::parse(Some(query)).page_of_handles().map_err(|problem| problem.code);
        let acme: Handle = "acme".parse().expect("a handle");
        assert_eq!(page("limit=2"), Ok((None, 2)));
        assert_eq!(page(&format!("cursor={}", cursor_after(&acme))), Ok((Some(acme), 50)));
        for broken in ["", "x", "QUNNRQ", "===="] {
            assert_eq!(page(&format!("cursor={broken}")), Err("invalid_cursor".to_owned()), "{broken}");
        }
    }

    #[test]
    fn a_mistyped_filter_is_refused_by_name() {
        check("statuss=dead", Err("invalid_statuss"));
    }
}

//! Which trace a request belongs to, in the words of W3C Trace Context.
//!
//! It is kept with an event, so that attempts, which may come days later, can name the request that
//! they follow from. It is never sent to a receiver.

use std::fmt;

/// The members that a `tracestate` may have.
const STATE_MEMBERS_MAX: usize = 32;
/// The longest `tracestate` that is kept: the least that the specification asks for.
const STATE_BYTES_MAX: usize = 512;
/// The one flag that has a meaning to us: the caller records this trace.
const SAMPLED: u8 = 1;

/// A span of somebody's, as others name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; not all zero.
    pub trace_id: [u8; 16],
    /// The span in it; not all zero.
    pub span_id: [u8; 8],
    /// Whether whoever made the span records it.
    pub sampled: bool,
    /// What vendors say to each other: at most 32 members and 512 bytes.
    pub state: Option<Box<str>>,
}

impl TraceContext {
    /// Reads the two headers of a request. None if the first is not valid: the specification has such
    /// a trace begin anew. A second one that is not valid, or longer than we keep, is left out.
    pub fn of_headers(traceparent: &str, tracestate: Option<&str>) -> Option<TraceContext> {
        let (version, rest) = traceparent.split_once('-')?;
        let [version] = hex(version)?;
        let mut fields = rest.split('-');
        let trace_id = hex(fields.next()?)?;
        let span_id = hex(fields.next()?)?;
        let [flags]: [u8; 1] = hex(fields.next()?)?;
        // A version that we do not know may have more fields, and must not have fewer.
        let is_whole = match version {
            0 => fields.next().is_none(),
            0xFF => false,
            _ => true,
        };
        let state = tracestate.map(str::trim).filter(|state| is_state(state)).map(Into::into);
        let context = TraceContext { trace_id, span_id, sampled: flags & SAMPLED != 0, state };
        (is_whole && context.names_a_span()).then_some(context)
    }

    /// What the store keeps: 25 bytes and the state.
    pub fn to_bytes(&self) -> Vec<u8> {
        let state = self.state.as_deref().unwrap_or_default().as_bytes();
        [&self.trace_id[..], &self.span_id, &[u8::from(self.sampled)], state].concat()
    }

    /// Takes back what [`TraceContext::to_bytes`] gave to the store. None if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<TraceContext> {
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let (span_id, rest) = rest.split_first_chunk()?;
        let (flags, state) = rest.split_first()?;
        let state = std::str::from_utf8(state).ok()?;
        Some(TraceContext {
            trace_id: *trace_id,
            span_id: *span_id,
            sampled: flags & SAMPLED != 0,
            state: (!state.is_empty()).then(|| state.into()),
        })
    }

    fn names_a_span(&self) -> bool {
        self.trace_id != [0; 16] && self.span_id != [0; 8]
    }
}

impl fmt::Display for TraceContext {
    /// The trace's id, as everybody writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trace_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Exactly so many bytes in lower-case hex.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = data_encoding::HEXLOWER.decode_len(text.len()).ok().filter(|length| *length == N)?;
    data_encoding::HEXLOWER.decode_mut(text.as_bytes(), &mut bytes[..decoded]).ok()?;
    Some(bytes)
}

fn is_state(state: &str) -> bool {
    let is_member = |member: &str| {
        let member = member.trim();
        // The list may have empty places.
        member.is_empty()
            || member.split_once('=').is_some_and(|(key, value)| {
                let of_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
                !key.is_empty() && key.bytes().all(of_key) && !value.is_empty()
            })
    };
    !state.is_empty()
        && state.len() <= STATE_BYTES_MAX
        && state.bytes().all(|b| (b' '..=b'~').contains(&b))
        && state.split(',').count() <= STATE_MEMBERS_MAX
        && state.split(',').all(is_member)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(parent: &str) -> Option<TraceContext> {
        TraceContext::of_headers(parent, None)
    }

    #[test]
    fn a_valid_parent_names_a_trace_and_a_span_in_it() {
        let context = read(PARENT).expect("it is valid");
        assert_eq!(context.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert!(context.sampled);
        assert!(!read(&PARENT.replace("-01", "-00")).expect("it is valid").sampled);
    }

    #[test]
    fn flags_that_nobody_knows_do_not_matter() {
        assert!(read(&PARENT.replace("-01", "-ff")).expect("it is valid").sampled);
        assert!(!read(&PARENT.replace("-01", "-fe")).expect("it is valid").sampled);
    }

    #[test]
    fn a_later_version_may_say_more_and_ours_may_not() {
        let later = format!("cc{}", &PARENT[2..]);
        assert_eq!(read(&later), read(PARENT));
        assert_eq!(read(&format!("{later}-what-the-future-brings")), read(PARENT));
        assert_eq!(read(&format!("{PARENT}-more")), None);
        assert_eq!(read(&format!("ff{}", &PARENT[2..])), None);
    }

    #[test]
    fn what_does_not_name_a_span_begins_a_new_trace() {
        for parent in [
            "",
            "00",
            "00-ab-cd-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cé-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(parent), None, "{parent}");
        }
    }

    #[test]
    fn a_state_that_is_not_valid_or_too_long_is_left_out() {
        let kept = |state: &str| {
            TraceContext::of_headers(PARENT, Some(state))
                .expect("the parent is valid")
                .state
                .map(String::from)
        };
        for state in ["vendor=a b", "a=1,tenant@vendor=2", "a=1, ,b=2"] {
            assert_eq!(kept(state).as_deref(), Some(state));
        }
        let (full, long) = (vec!["a=1"; 32].join(","), format!("a={}", "x".repeat(511)));
        assert_eq!(kept(&full), Some(full.clone()));
        for state in ["", "a", "=1", "A=1", "a=", "a=\u{7}", "a=é", &format!("{full},b=2"), &long] {
            assert_eq!(kept(state), None, "{state}");
        }
    }

    #[test]
    fn what_was_stored_is_read_back() {
        for state in [None, Some("a=1,b=2")] {
            let context = TraceContext::of_headers(PARENT, state).expect("it is valid");
            assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        }
        assert_eq!(TraceContext::from_bytes(&[1; 24]), None);
    }

    proptest! {
        #[test]
        fn whatever_a_caller_sends_what_is_kept_names_a_span_and_is_stored_as_it_was_read(
            version in prop_oneof![8 => "00", 1 => "[0-9a-f]{2}", 1 => "[0-9a-zA-Z+]{0,3}"],
            trace in prop_oneof![8 => "[0-9a-f]{32}", 1 => "0{32}", 1 => "\\PC{0,34}"],
            span in prop_oneof![8 => "[0-9a-f]{16}", 1 => "0{16}", 1 => "\\PC{0,18}"],
            flags in prop_oneof![8 => "[0-9a-f]{2}", 1 => "\\PC{0,3}"],
            more in prop_oneof![8 => "", 1 => "-\\PC{0,4}"],
            state in "([a-z@]{1,3}=[ -~]{1,5},){0,40}|\\PC{0,600}",
        ) {
            let parent = format!("{version}-{trace}-{span}-{flags}{more}");
            if let Some(context) = TraceContext::of_headers(&parent, Some(&state)) {
                prop_assert!(context.names_a_span() && parent.contains(&context.to_string()));
                let kept = context.state.as_deref().unwrap_or_default();
                prop_assert!(kept.len() <= STATE_BYTES_MAX && kept.split(',').count() <= STATE_MEMBERS_MAX);
                prop_assert!(state.contains(kept) && kept.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
                prop_assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context.clone()));
                // What vendors say to each other changes nothing in what the parent says.
                let alone = TraceContext { state: None, ..context };
                prop_assert_eq!(TraceContext::of_headers(&parent, None), Some(alone));
            }
        }
    }
}

//! Headers of a subscriber's own that are sent with every attempt.
//!
//! They carry the subscriber's credentials, so their values have no `Debug`. They may not speak for
//! us, frame the request, or unlock a metadata service (security 3.7, rows 59 and 60).

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most headers of a subscription.
pub const HEADERS_MAX: usize = 20;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 1024;
/// The most bytes of all names and values together.
pub const TOTAL_BYTES_MAX: usize = 8 * 1024;

/// Names that are ours to set, or that change how the request is framed or routed.
const RESERVED: [&str; 25] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-google-metadata-request",
    "x-real-ip",
];

/// Beginnings of names that are reserved however they go on.
const RESERVED_PREFIXES: [&str; 10] = [
    "ce-",
    "proxy-",
    "signature",
    "webhook-",
    "x-aliyun-ecs-metadata-token",
    "x-angarium-",
    "x-arjun-",
    "x-aws-ec2-metadata-token",
    "x-event-",
    "x-forwarded-",
];

/// Checked headers in the order given, names in lower case as they are sent.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CustomHeaders(Vec<(String, String)>);

/// Why headers were refused. Values are never repeated: they may be credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// Empty, or not the characters of an HTTP field name.
    #[error("{name:?} is not a header name: letters, digits and !#$%&'*+-.^_`|~")]
    Name {
        /// The beginning of what was sent.
        name: String,
    },
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("header name {name:?}… is {bytes} bytes, the limit is {NAME_BYTES_MAX}")]
    NameTooLong {
        /// The beginning of what was sent.
        name: String,
        /// How long it is.
        bytes: usize,
    },
    /// A name that the delivery itself needs.
    #[error("header {name} is reserved")]
    Reserved {
        /// The name, in lower case.
        name: String,
    },
    /// The same name twice.
    #[error("header {name} is given twice")]
    Duplicate {
        /// The name, in lower case.
        name: String,
    },
    /// A character that is not visible ASCII or a space between such.
    #[error("the value of header {name} may hold visible ASCII and inner spaces only")]
    Value {
        /// The name, in lower case.
        name: String,
    },
    /// Longer than [`VALUE_BYTES_MAX`].
    #[error("the value of header {name} is {bytes} bytes, the limit is {VALUE_BYTES_MAX}")]
    ValueTooLong {
        /// The name, in lower case.
        name: String,
        /// How long it is.
        bytes: usize,
    },
    /// More than [`HEADERS_MAX`].
    #[error("there are more than {HEADERS_MAX} headers")]
    TooMany,
    /// More than [`TOTAL_BYTES_MAX`] together.
    #[error("headers are {bytes} bytes together, the limit is {TOTAL_BYTES_MAX}")]
    TooLarge {
        /// Names and values up to the one that was too much.
        bytes: usize,
    },
}

impl CustomHeaders {
    /// Checks headers and keeps their order.
    pub fn new(headers: impl IntoIterator<Item = (String, String)>) -> Result<CustomHeaders, InvalidHeader> {
        let mut checked = CustomHeaders::default();
        for (name, value) in headers {
            checked.add(&name, value)?;
        }
        Ok(checked)
    }

    /// Names in lower case, and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), InvalidHeader> {
        let name = checked_name(name)?;
        check_value(&name, &value)?;
        if self.0.len() == HEADERS_MAX {
            return Err(InvalidHeader::TooMany);
        }
        if self.0.iter().any(|(earlier, _)| *earlier == name) {
            return Err(InvalidHeader::Duplicate { name });
        }
        self.0.push((name, value));
        let bytes = self.0.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > TOTAL_BYTES_MAX { Err(InvalidHeader::TooLarge { bytes }) } else { Ok(()) }
    }
}

/// The name in lower case, if a subscriber may set it.
fn checked_name(name: &str) -> Result<String, InvalidHeader> {
    if name.len() > NAME_BYTES_MAX {
        return Err(InvalidHeader::NameTooLong { name: shown(name), bytes: name.len() });
    }
    if name.is_empty() || !name.bytes().all(is_name_byte) {
        return Err(InvalidHeader::Name { name: shown(name) });
    }
    let name = name.to_ascii_lowercase();
    let reserved = RESERVED.contains(&name.as_str());
    if reserved || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(InvalidHeader::Reserved { name });
    }
    Ok(name)
}

fn check_value(name: &str, value: &str) -> Result<(), InvalidHeader> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(InvalidHeader::ValueTooLong { name: name.to_owned(), bytes: value.len() });
    }
    // A space at either end is not part of a value in HTTP: it would arrive as another value.
    let visible = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if visible && value.trim_matches(' ') == value {
        Ok(())
    } else {
        Err(InvalidHeader::Value { name: name.to_owned() })
    }
}

/// The characters of a token in RFC 9110, section 5.6.2.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_BYTES_MAX).collect()
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// An object of strings.
impl Serialize for CustomHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for CustomHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CustomHeaders, D::Error> {
        deserializer.deserialize_map(HeadersVisitor)
    }
}

/// Checks each header as it is read, so that an endless object ends early.
struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = CustomHeaders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of header names and their text")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CustomHeaders, A::Error> {
        let mut headers = CustomHeaders::default();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            headers.add(&name, value).map_err(A::Error::custom)?;
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<CustomHeaders, InvalidHeader> {
        CustomHeaders::new([(name.to_owned(), value.to_owned())])
    }

    fn many(count: usize, value_bytes: usize) -> Result<CustomHeaders, InvalidHeader> {
        CustomHeaders::new((0..count).map(|n| (format!("x-{n:02}"), "v".repeat(value_bytes))))
    }

    #[test]
    fn ordinary_headers_are_kept_in_order_and_in_lower_case() {
        let pairs = [("X-Tenant", "7"), ("Authorization", "Bearer a b"), ("x-empty", "")];
        let headers = CustomHeaders::new(pairs.map(|(n, v)| (n.to_owned(), v.to_owned()))).expect("headers");
        assert_eq!(
            headers.iter().collect::<Vec<_>>(),
            [("x-tenant", "7"), ("authorization", "Bearer a b"), ("x-empty", "")]
        );
    }

    /// Security 3.7, row 59.
    #[test]
    fn values_hold_visible_ascii_and_inner_spaces_only() {
        for bad in ["a\r\nx-b: c", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\tb", "é", "\u{80}", " a", "a "] {
            assert_eq!(one("x-a", bad), Err(InvalidHeader::Value { name: "x-a".into() }), "{bad:?}");
        }
        for good in ["", "a", "a b", "~!\"#", "{\"a\":1}"] {
            assert!(one("x-a", good).is_ok(), "{good:?}");
        }
    }

    /// Security 3.7, row 60, and the names of our own headers.
    #[test]
    fn names_that_frame_route_or_prove_are_reserved_in_any_case() {
        for name in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Proxy-Authorization",
            "Proxy-Connection",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
            "Webhook-Anything",
            "x-arjun-signature",
            "X-Arjun-Anything",
            "ce-id",
            "CE-Attempt",
            "ce-anything",
            "Signature",
            "Signature-Input",
            "Signature-Agent",
            "Proxy-Anything",
            "X-Forwarded-Proto",
            "Content-Digest",
            "traceparent",
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "Via",
            "Cookie",
            "Metadata",
            "Metadata-Flavor",
            "X-aws-ec2-metadata-token",
            "X-aws-ec2-metadata-token-ttl-seconds",
            "X-Google-Metadata-Request",
            "X-aliyun-ecs-metadata-token-ttl-seconds",
            "User-Agent",
            "Accept",
            "Accept-Encoding",
            "Content-Type",
            "Content-Encoding",
            "X-Event-Signature",
            "x-event-id",
            "Keep-Alive",
            "Date",
        ] {
            assert_eq!(one(name, "a"), Err(InvalidHeader::Reserved { name: name.to_ascii_lowercase() }));
        }
        for name in ["hostname", "x-host", "tea", "x-signature", "cookies", "authorization", "x-api-key"] {
            assert!(one(name, "a").is_ok(), "{name}");
        }
    }

    #[test]
    fn what_is_no_field_name_is_refused() {
        for name in ["", " ", "a b", "a:b", ":authority", "a\r\nb", "é", "a\0", "(a)", "a,b"] {
            assert_eq!(one(name, "a"), Err(InvalidHeader::Name { name: name.to_owned() }));
        }
    }

    #[test]
    fn sizes_and_numbers_are_limited() {
        assert!(one(&"n".repeat(64), &"v".repeat(1024)).is_ok());
        let long = "n".repeat(65);
        assert_eq!(
            one(&long, ""),
            Err(InvalidHeader::NameTooLong { name: long[..64].to_owned(), bytes: 65 })
        );
        assert_eq!(
            one("x-a", &"v".repeat(1025)),
            Err(InvalidHeader::ValueTooLong { name: "x-a".into(), bytes: 1025 })
        );
        assert!(many(20, 100).is_ok());
        assert_eq!(many(21, 100), Err(InvalidHeader::TooMany));
        assert!(many(8, 1020).is_ok());
        assert_eq!(many(8, 1021), Err(InvalidHeader::TooLarge { bytes: 8 * (4 + 1021) }));
    }

    #[test]
    fn a_name_is_given_once_whatever_its_case() {
        let twice = ["X-A", "x-a"].map(|name| (name.to_owned(), String::new()));
        assert_eq!(CustomHeaders::new(twice), Err(InvalidHeader::Duplicate { name: "x-a".into() }));
    }

    #[test]
    fn the_text_form_is_an_object_and_is_checked_when_it_is_read() {
        let headers: CustomHeaders = serde_json::from_str(r#"{"X-B":"2","x-a":"1"}"#).expect("headers");
        assert_eq!(serde_json::to_string(&headers).expect("text"), r#"{"x-b":"2","x-a":"1"}"#);
        for bad in
            [r#"{"host":"a"}"#, r#"{"x-a":"1","X-A":"2"}"#, r#"{"x-a":1}"#, "[]", r#""x""#, r#"{"x-a":"é"}"#]
        {
            assert!(serde_json::from_str::<CustomHeaders>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_not_shown_for_debugging_or_in_errors() {
        let headers = one("authorization", "Bearer hunter2").expect("headers");
        assert_eq!(format!("{headers:?}"), r#"{"authorization"}"#);
        let error = one("authorization", "Bearer hunter2\n").expect_err("a newline");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

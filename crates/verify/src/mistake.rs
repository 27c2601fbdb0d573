//! How a wrong signature was made: the usual mistakes, tried one after another.
//!
//! "Invalid signature" costs a receiver's developer an afternoon. Most of the wrong ones are right
//! for another key form, another signed text, or another encoding of the same body.

use std::borrow::Cow;
use std::fmt;

/// The form of a secret that a signature is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// The text as shown, `whsec_` included.
    Text,
    /// The bytes behind the text.
    Bytes,
    /// The text after `whsec_`, not decoded.
    TextWithoutPrefix,
    /// The text with a `whsec_` that it does not have.
    TextWithPrefix,
    /// An Ed25519 key pair.
    Pair,
}

/// The text that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The body alone.
    Body,
    /// `{timestamp}.{body}`.
    TimestampBody,
    /// `{id}.{timestamp}.{body}`.
    IdTimestampBody,
}

/// A form of the body at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// Byte for byte.
    AsReceived,
    /// Without the line end that it has.
    WithoutLastNewline,
    /// With a line feed that it does not have.
    WithLastNewline,
    /// JSON without white space.
    Compact,
    /// JSON with a space after each comma and colon.
    Spaced,
}

/// How a signature was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// With which form of the secret.
    pub with: KeyForm,
    /// Over which text.
    pub over: Content,
    /// With the body in which form.
    pub body: BodyForm,
}

impl Made {
    /// The way that a profile documents.
    pub(crate) const fn documented(with: KeyForm, over: Content) -> Made {
        Made { with, over, body: BodyForm::AsReceived }
    }

    /// One sentence about what is otherwise than in `documented`.
    pub(crate) fn explain_against(self, documented: Made, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("signature was made")?;
        if self.with != documented.with {
            write!(f, " with {} instead of {}", self.with, documented.with)?;
        }
        if self.over != documented.over {
            write!(f, " over {} instead of {}", self.over, documented.over)?;
        }
        if self.body != documented.body {
            write!(f, " over another body, {}: was the body re-encoded?", self.body)?;
        }
        Ok(())
    }
}

impl Content {
    pub(crate) const ALL: [Content; 3] = [Content::Body, Content::TimestampBody, Content::IdTimestampBody];

    /// The signed text in pieces; none if it needs an id or a timestamp that is not there.
    pub(crate) fn pieces<'a>(
        self,
        id: Option<&'a str>,
        timestamp: Option<&'a str>,
        body: &'a [u8],
    ) -> Option<Vec<&'a [u8]>> {
        Some(match self {
            Content::Body => vec![body],
            Content::TimestampBody => vec![timestamp?.as_bytes(), b".", body],
            Content::IdTimestampBody => vec![id?.as_bytes(), b".", timestamp?.as_bytes(), b".", body],
        })
    }
}

impl BodyForm {
    /// Every form of a body, the body itself first.
    pub(crate) fn all(body: &[u8]) -> Vec<(BodyForm, Cow<'_, [u8]>)> {
        let mut forms = vec![(BodyForm::AsReceived, Cow::Borrowed(body))];
        if let Some(cut) = body.strip_suffix(b"\n") {
            forms.push((BodyForm::WithoutLastNewline, cut.strip_suffix(b"\r").unwrap_or(cut).into()));
        } else {
            forms.push((BodyForm::WithLastNewline, [body, b"\n"].concat().into()));
        }
        forms.push((BodyForm::Compact, respaced(body, b",", b":").into()));
        forms.push((BodyForm::Spaced, respaced(body, b", ", b": ").into()));
        forms
    }
}

/// JSON with its white space replaced. Texts that are no JSON come out as something else, harmlessly.
fn respaced(json: &[u8], comma: &[u8], colon: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            _ if in_string => out.push(byte),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b',' => out.extend_from_slice(comma),
            b':' => out.extend_from_slice(colon),
            _ => out.push(byte),
        }
        if byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && byte == b'\\' && !escaped;
    }
    out
}

impl fmt::Display for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyForm::Text => "the secret's text",
            KeyForm::Bytes => "the bytes behind whsec_",
            KeyForm::TextWithoutPrefix => "the secret's text without whsec_",
            KeyForm::TextWithPrefix => "the secret's text after a whsec_",
            KeyForm::Pair => "the key pair",
        })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::Body => "{body}",
            Content::TimestampBody => "{timestamp}.{body}",
            Content::IdTimestampBody => "{id}.{timestamp}.{body}",
        })
    }
}

impl fmt::Display for BodyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyForm::AsReceived => "this one",
            BodyForm::WithoutLastNewline => "this one without its last newline",
            BodyForm::WithLastNewline => "this one with a newline at its end",
            BodyForm::Compact => "this one as JSON without white space",
            BodyForm::Spaced => "this one as JSON with a space after each comma and colon",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_replaced_outside_strings_only() {
        let json = br#"{ "a, b" : [1 ,2],
            "c\"d\\" : "e : f" }"#;
        assert_eq!(respaced(json, b",", b":"), br#"{"a, b":[1,2],"c\"d\\":"e : f"}"#);
        assert_eq!(respaced(json, b", ", b": "), br#"{"a, b": [1, 2], "c\"d\\": "e : f"}"#);
    }
}

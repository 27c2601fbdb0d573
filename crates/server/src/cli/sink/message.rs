//! One request as it was captured: headers and raw body.

use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// What a signature covers, in a form that keeps every byte of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub(crate) struct Message {
    /// In the order received; values that are not text are in a lossy form.
    pub(crate) headers: Vec<(String, String)>,
    /// The raw body.
    pub(crate) body: Bytes,
}

/// Text stands as it is; other bytes as base64, because JSON cannot hold them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The text is not a captured request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidMessage {
    #[error("bodyBase64 is not base64")]
    Base64,
    #[error("the request has no empty line between its headers and its body")]
    NoEmptyLine,
    #[error("{line:?} is not a header line")]
    HeaderLine { line: String },
    #[error("the body is in chunks: capture it decoded, or give headers and body in two files")]
    Chunked,
    #[error("the request has {bytes} bytes of body, its content-length is {announced}")]
    CutShort { bytes: usize, announced: usize },
}

impl Message {
    /// Reads an HTTP/1.1 request as it went over the wire.
    pub(crate) fn from_http(raw: &[u8]) -> Result<Message, InvalidMessage> {
        let (head, body) = split_head(raw).ok_or(InvalidMessage::NoEmptyLine)?;
        let head = String::from_utf8_lossy(head);
        let headers = headers_in(head.lines().skip(1))?;
        let body = body_by_length(&headers, body)?;
        Ok(Message { headers, body: Bytes::copy_from_slice(body) })
    }

    /// The first value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        angarium_verify::header_in(&self.headers, name)
    }
}

/// Reads lines of `name: value`; empty lines and a request line are passed over.
pub(crate) fn headers_in<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<Vec<(String, String)>, InvalidMessage> {
    let lines = lines.filter(|line| !line.trim().is_empty() && !line.contains(" HTTP/1."));
    lines.map(header_in_line).collect()
}

/// One `name: value`.
pub(crate) fn header_in_line(line: &str) -> Result<(String, String), InvalidMessage> {
    let invalid = || InvalidMessage::HeaderLine { line: line.chars().take(80).collect() };
    let (name, value) = line.split_once(':').ok_or_else(invalid)?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(invalid());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn split_head(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    // Editors and shells turn the line ends of a capture into bare line feeds.
    let ends =
        [&b"\r\n\r\n"[..], b"\n\n"].map(|end| (raw.windows(end.len()).position(|at| at == end), end.len()));
    let (at, length) = ends.into_iter().filter_map(|(at, length)| Some((at?, length))).min()?;
    Some((&raw[..at], &raw[at + length..]))
}

/// The body without what a capture tool added after it.
fn body_by_length<'a>(headers: &[(String, String)], body: &'a [u8]) -> Result<&'a [u8], InvalidMessage> {
    let header = |name| angarium_verify::header_in(headers, name);
    if header("transfer-encoding").is_some() {
        return Err(InvalidMessage::Chunked);
    }
    match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(announced) => {
            let cut_short = InvalidMessage::CutShort { bytes: body.len(), announced };
            body.get(..announced).ok_or(cut_short)
        }
        None => Ok(body),
    }
}

impl From<Message> for Written {
    fn from(message: Message) -> Written {
        let (body, body_base64) = match std::str::from_utf8(&message.body) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(BASE64.encode(&message.body))),
        };
        Written { headers: message.headers, body, body_base64 }
    }
}

impl TryFrom<Written> for Message {
    type Error = InvalidMessage;

    fn try_from(written: Written) -> Result<Message, InvalidMessage> {
        let body = match (written.body, written.body_base64) {
            (_, Some(base64)) => BASE64.decode(base64.as_bytes()).map_err(|_| InvalidMessage::Base64)?,
            (text, None) => text.unwrap_or_default().into_bytes(),
        };
        Ok(Message { headers: written.headers, body: body.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &'static [u8]) -> Message {
        Message { headers: vec![("webhook-id".into(), "evt_1".into())], body: Bytes::from_static(body) }
    }

    #[test]
    fn every_body_survives_the_text_form() {
        for body in [&b""[..], b"{ \"a\": 1 }\n", "é✓𝄞".as_bytes(), b"\xff\x00\xfe"] {
            let json = serde_json::to_string(&message(body)).expect("text");
            assert_eq!(serde_json::from_str::<Message>(&json).expect("a message"), message(body));
        }
    }

    #[test]
    fn raw_requests_are_read_with_either_line_end() {
        for raw in [
            "POST / HTTP/1.1\r\nWebhook-Id: evt_1\r\n\r\n{}\n\n",
            "POST / HTTP/1.1\nWebhook-Id: evt_1\n\n{}\n\n",
        ] {
            let message = Message::from_http(raw.as_bytes()).expect("a message");
            assert_eq!(message.header("webhook-id"), Some("evt_1"));
            assert_eq!(message.body, "{}\n\n");
        }
    }

    #[test]
    fn a_length_cuts_what_a_capture_added() {
        let raw = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}\n";
        assert_eq!(Message::from_http(raw).expect("a message").body, "{}");
        let short = b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n{}\n";
        assert_eq!(Message::from_http(short), Err(InvalidMessage::CutShort { bytes: 3, announced: 9 }));
    }

    #[test]
    fn captures_that_lost_the_raw_body_are_refused() {
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert_eq!(Message::from_http(chunked), Err(InvalidMessage::Chunked));
        assert_eq!(Message::from_http(b"POST / HTTP/1.1\r\na: b"), Err(InvalidMessage::NoEmptyLine));
        let line = InvalidMessage::HeaderLine { line: "no header".into() };
        assert_eq!(Message::from_http(b"POST / HTTP/1.1\r\nno header\r\n\r\n"), Err(line));
    }
}

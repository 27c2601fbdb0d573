//! Documents: from bytes that somebody sent to text that can be cut and searched.

use serde::{Deserialize, Serialize};

use super::leaves::leaves;
use super::sync::Reason;

/// The largest document that is read, in bytes as it comes.
pub const DOCUMENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest title that is kept, in characters.
pub const TITLE_CHARS_MAX: usize = 200;
/// The longest name of a document, in bytes.
pub const NAME_BYTES_MAX: usize = 2_048;

/// What a document's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// `text/plain`.
    Plain,
    /// `text/markdown`: kept as it is written, its first heading is the title.
    Markdown,
    /// `application/json`, and whatever ends in `+json`.
    Json,
}

/// A document of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it is called within its source: a URL, a path, or its author's word.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What it says, with line feeds between lines.
    pub text: String,
}

impl MediaType {
    /// The type that a `content-type` names, if it is one that we read.
    pub fn of_content_type(value: &str) -> Option<MediaType> {
        let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "text/plain" => Some(MediaType::Plain),
            "text/markdown" | "text/x-markdown" => Some(MediaType::Markdown),
            "application/json" => Some(MediaType::Json),
            other if other.starts_with("application/") && other.ends_with("+json") => Some(MediaType::Json),
            _ => None,
        }
    }

    /// The type that a file's ending tells, if it is one that we read.
    pub fn of_file_name(name: &str) -> Option<MediaType> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "txt" => Some(MediaType::Plain),
            "md" | "markdown" => Some(MediaType::Markdown),
            "json" => Some(MediaType::Json),
            _ => None,
        }
    }
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, and words that name no byte of it.
    pub fn read(name: &str, media_type: MediaType, bytes: &[u8]) -> Result<Document, (Reason, String)> {
        if bytes.len() > DOCUMENT_BYTES_MAX {
            let message = format!("the document is {} bytes, the limit is {DOCUMENT_BYTES_MAX}", bytes.len());
            return Err((Reason::TooLarge, message));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            (Reason::InvalidText, format!("byte {} of the document is not UTF-8", error.valid_up_to()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = match media_type {
            MediaType::Plain | MediaType::Markdown => lines(text),
            MediaType::Json => leaves(text)?,
        };
        let title = match media_type {
            MediaType::Markdown => heading(&text),
            MediaType::Plain | MediaType::Json => None,
        };
        let title = title.unwrap_or(name).to_owned();
        Ok(Document::new(name, &title, text))
    }

    /// A document of text that is text already.
    pub fn new(name: &str, title: &str, text: String) -> Document {
        let title = title.chars().take(TITLE_CHARS_MAX).collect();
        Document { name: name.to_owned(), title, text }
    }
}

/// The same text with line feeds alone, and without characters that no text needs.
pub fn lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// The first heading of the first level.
fn heading(markdown: &str) -> Option<&str> {
    let mut titles = markdown.lines().filter_map(|line| line.strip_prefix("# ")).map(str::trim);
    titles.find(|title| !title.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: MediaType, text: &str) -> Document {
        Document::read("guide", media_type, text.as_bytes()).expect("it reads")
    }

    #[test]
    fn markdown_is_called_by_its_first_heading() {
        let document = read(MediaType::Markdown, "intro\r\n\r\n## Small\r\n# Webhooks \r\ntext\u{0}");
        assert_eq!((document.name.as_str(), document.title.as_str()), ("guide", "Webhooks"));
        assert_eq!(document.text, "intro\n\n## Small\n# Webhooks \ntext");
        assert_eq!(read(MediaType::Markdown, "no heading").title, "guide");
    }

    #[test]
    fn json_is_read_as_paths_and_values() {
        let document =
            read(MediaType::Json, r#"{"order":{"id":7,"notes":["fast","x\ny"],"gone":null},"ok":true}"#);
        assert_eq!(document.text, "order.id: 7\norder.notes[0]: fast\norder.notes[1]: x\ny\nok: true\n");
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_place() {
        let (reason, message) = Document::read("x", MediaType::Plain, b"good \xff").expect_err("not UTF-8");
        assert_eq!((reason, message.as_str()), (Reason::InvalidText, "byte 5 of the document is not UTF-8"));
        let (reason, _) = Document::read("x", MediaType::Json, b"{").expect_err("not JSON");
        assert_eq!(reason, Reason::InvalidText);
        let large = vec![b'x'; DOCUMENT_BYTES_MAX + 1];
        assert_eq!(Document::read("x", MediaType::Plain, &large).expect_err("too large").0, Reason::TooLarge);
    }

    #[test]
    fn types_are_known_by_their_names() {
        for (text, expected) in [
            ("text/plain; charset=utf-8", Some(MediaType::Plain)),
            ("Text/Markdown", Some(MediaType::Markdown)),
            ("application/problem+json", Some(MediaType::Json)),
            ("text/html", None),
            ("application/octet-stream", None),
            ("", None),
        ] {
            assert_eq!(MediaType::of_content_type(text), expected, "{text}");
        }
        for (name, expected) in [
            ("a.md", Some(MediaType::Markdown)),
            ("a.TXT", Some(MediaType::Plain)),
            ("a.exe", None),
            ("md", None),
        ] {
            assert_eq!(MediaType::of_file_name(name), expected, "{name}");
        }
    }
}

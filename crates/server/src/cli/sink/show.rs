//! How a request looks in a terminal.

use std::fmt::Write as _;
use std::io::Write as _;

use angarium_verify::Verdict;

use super::log::Record;

/// What is printed of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Nothing at all.
    Nothing,
    /// One line.
    Line { colour: bool },
    /// The line, the headers and the body.
    Whole { colour: bool },
    /// One JSON object a line, with everything.
    Json,
}

/// The colours that mean something.
#[derive(Clone, Copy)]
enum Colour {
    Good,
    Bad,
    Doubtful,
    Faint,
}

impl Show {
    /// Prints a request to standard output.
    pub(super) fn print(self, record: &Record) {
        let text = self.text(record);
        if !text.is_empty() {
            // Whoever closed our output does not want to read about it.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
        }
    }

    fn text(self, record: &Record) -> String {
        match self {
            Show::Nothing => String::new(),
            Show::Line { colour } => line(record, colour),
            Show::Whole { colour } => line(record, colour) + &details(record, colour),
            Show::Json => {
                let json = serde_json::to_string(record).expect("a record has text keys");
                json + "\n"
            }
        }
    }
}

fn line(record: &Record, colour: bool) -> String {
    let at = record.at.to_string();
    let time = at.split_once('T').map_or(&*at, |(_, time)| time.trim_end_matches('Z'));
    let mut line = paint(Colour::Faint, time, colour);
    let _ = write!(line, " {} {} {}", record.method, visible(&record.path), status(record, colour));
    for header in ["x-arjun-event-type", "x-event-type", "webhook-id"] {
        if let Some(value) = record.message.header(header) {
            let _ = write!(line, " {}", visible(value));
        }
    }
    if let Some(attempt) = record.message.header("x-arjun-attempt") {
        let _ = write!(line, " attempt {}", visible(attempt));
    }
    let _ = write!(line, " {} B{}", record.message.body.len(), signatures(record, colour));
    line + "\n"
}

fn status(record: &Record, colour: bool) -> String {
    match record.status {
        None => paint(Colour::Doubtful, "hangs", colour),
        Some(status @ 200..300) => paint(Colour::Good, &status.to_string(), colour),
        Some(status) => paint(Colour::Bad, &status.to_string(), colour),
    }
}

fn signatures(record: &Record, colour: bool) -> String {
    let sent = record.signatures.sent().map(|finding| {
        let meaning = match finding.verdict {
            Verdict::Verified => Colour::Good,
            Verdict::Refused(_) => Colour::Bad,
            Verdict::NoKey | Verdict::Absent => Colour::Doubtful,
        };
        format!("; {} {}", finding.profile, paint(meaning, &finding.verdict.to_string(), colour))
    });
    sent.collect()
}

fn details(record: &Record, colour: bool) -> String {
    let mut text = String::new();
    for (name, value) in &record.message.headers {
        let _ = writeln!(text, "  {} {}", paint(Colour::Faint, &format!("{name}:"), colour), visible(value));
    }
    text.push('\n');
    for line in body(record).lines() {
        let _ = writeln!(text, "  {line}");
    }
    text.push('\n');
    text
}

/// JSON is indented and nothing else about it is changed: the order of its keys and the form of its
/// numbers are what a reader may be looking for.
fn body(record: &Record) -> String {
    let bytes = &record.message.body;
    let json = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    let text = String::from_utf8_lossy(bytes);
    visible(&if json { indented(&text) } else { text.into_owned() })
}

/// JSON on a line for each member.
fn indented(json: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let new_line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for (at, letter) in json.char_indices() {
        match letter {
            _ if in_string => out.push(letter),
            '{' | '[' => {
                out.push(letter);
                // An empty object or list stays on its line.
                if json[at + 1..].trim_start().starts_with(['}', ']']) {
                    continue;
                }
                depth += 1;
                new_line(&mut out, depth);
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth -= 1;
                    new_line(&mut out, depth);
                }
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ if letter.is_ascii_whitespace() => {}
            _ => out.push(letter),
        }
        if letter == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && letter == '\\' && !escaped;
    }
    out
}

/// Text whose control characters do nothing to a terminal.
fn visible(text: &str) -> String {
    let harmless = |letter: char| letter == '\n' || !letter.is_control();
    if text.chars().all(harmless) {
        return text.to_owned();
    }
    text.chars()
        .map(|letter| if harmless(letter) { letter.to_string() } else { letter.escape_default().to_string() })
        .collect()
}

fn paint(meaning: Colour, text: &str, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match meaning {
        Colour::Good => 32,
        Colour::Bad => 31,
        Colour::Doubtful => 33,
        Colour::Faint => 2,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use angarium_domain::time::Timestamp;
    use angarium_verify::{Finding, Profile, Reason};

    use super::*;
    use crate::cli::sink::log::Signatures;
    use crate::cli::sink::message::Message;

    fn record(body: &'static [u8]) -> Record {
        let headers =
            [("x-arjun-event-type", "order.paid"), ("x-arjun-attempt", "2"), ("webhook-id", "evt_1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let finding = |profile, verdict| Finding { profile, verdict };
        Record {
            n: 1,
            at: Timestamp::from_millis(1_772_020_800_123),
            method: "POST".into(),
            path: "/hook?a=b".into(),
            message: Message { headers: headers.into(), body: body.into() },
            signatures: Signatures(vec![
                finding(Profile::Arjun, Verdict::Verified),
                finding(Profile::Platformxe, Verdict::Absent),
                finding(Profile::Standard, Verdict::Refused(Reason::Wrong)),
            ]),
            status: Some(503),
        }
    }

    #[test]
    fn one_line_tells_what_came_and_what_it_was_worth() {
        assert_eq!(
            Show::Line { colour: false }.text(&record(b"{}")),
            "12:00:00.123 POST /hook?a=b 503 order.paid evt_1 attempt 2 2 B; arjun verified; standard signature \
             was made with another secret, or the body was changed on its way\n"
        );
    }

    #[test]
    fn the_whole_request_shows_headers_and_indented_json() {
        let text =
            Show::Whole { colour: false }.text(&record(br#"{"b":1.0,"a":[],"c":[1,{"d":"x, {y}\""}]}"#));
        let (_, details) = text.split_once('\n').expect("lines");
        let expected = r#"  x-arjun-event-type: order.paid
  x-arjun-attempt: 2
  webhook-id: evt_1

  {
    "b": 1.0,
    "a": [],
    "c": [
      1,
      {
        "d": "x, {y}\""
      }
    ]
  }

"#;
        assert_eq!(details, expected);
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is_and_cannot_drive_the_terminal() {
        let text = Show::Whole { colour: false }.text(&record(b"\x1b[2Jplain"));
        assert!(text.contains("  \\u{1b}[2Jplain\n") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn colours_are_for_terminals_only() {
        let shown = |colour| Show::Line { colour }.text(&record(b"")).contains('\x1b');
        assert_eq!([shown(true), shown(false)], [true, false]);
    }

    #[test]
    fn a_line_of_json_holds_everything() {
        let text = Show::Json.text(&record(b"{}"));
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).expect("JSON");
        let expected = serde_json::json!({
            "n": 1,
            "at": "2026-02-25T12:00:00.123Z",
            "method": "POST",
            "path": "/hook?a=b",
            "headers": [["x-arjun-event-type", "order.paid"], ["x-arjun-attempt", "2"], ["webhook-id", "evt_1"]],
            "body": "{}",
            "signatures": {
                "arjun": "verified",
                "standard": "signature was made with another secret, or the body was changed on its way",
            },
            "status": 503,
        });
        assert_eq!(value, expected);
    }
}

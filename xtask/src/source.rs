//! A Rust file told apart into code, texts and remarks, as far as counting and searching need it.
//!
//! This is a scanner, not a parser: it knows where strings and comments end and
//! which braces belong together, and nothing else.

use std::ops::Range;

/// A string literal or a comment, and the line where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Line number from 1.
    pub(crate) line: usize,
    /// What stands between the quotes, or the comment with its slashes.
    pub(crate) text: String,
}

/// One scanned file.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file with every comment and every literal blanked out; same length, same lines.
    pub(crate) code: String,
    /// String literals outside of test code.
    pub(crate) texts: Vec<Piece>,
    /// Comments, tests' included.
    pub(crate) remarks: Vec<Piece>,
}

impl Source {
    /// Scans a whole file.
    pub(crate) fn scan(text: &str) -> Source {
        let spans = spans(text);
        let code = blanked(text, &spans);
        let tests = test_modules(&code);
        let piece = |span: &Span| Piece {
            line: line_at(text, span.range.start),
            text: meant(&text[span.range.clone()], span.kind).to_owned(),
        };
        let in_tests = |span: &Span| tests.iter().any(|test| test.contains(&span.range.start));
        let of = |kind| spans.iter().filter(move |span| span.kind == kind);
        Source {
            texts: of(Kind::Text).filter(|span| !in_tests(span)).map(piece).collect(),
            remarks: of(Kind::Remark).map(piece).collect(),
            code,
        }
    }

    /// The length in lines of every function that has a body, signature and closing brace included.
    pub(crate) fn function_lines(&self) -> Vec<usize> {
        words(&self.code, "fn").into_iter().filter_map(|at| self.body_lines(at)).collect()
    }

    /// The names of the modules that this file says live in files of their own.
    pub(crate) fn declared_modules(&self) -> Vec<&str> {
        let after = |at: usize| self.code[at + "mod".len()..].trim_start();
        let name = |rest: &'_ str| rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        words(&self.code, "mod")
            .into_iter()
            .map(after)
            .map(|rest| rest.split_at(name(rest)))
            .filter(|(name, rest)| !name.is_empty() && rest.trim_start().starts_with(';'))
            .map(|(name, _)| name)
            .collect()
    }

    fn body_lines(&self, at: usize) -> Option<usize> {
        let open = at + self.code[at..].find(['{', ';'])?;
        let close = closing_brace(&self.code, open)?;
        Some(self.code[at..close].matches('\n').count() + 1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Remark,
    /// A character, which may be a quote or a brace.
    Character,
}

#[derive(Debug)]
struct Span {
    kind: Kind,
    range: Range<usize>,
}

/// A literal without its quotes and hashes; a comment as it stands.
fn meant(text: &str, kind: Kind) -> &str {
    if kind == Kind::Remark {
        return text;
    }
    let open = text.find('"').map_or(0, |at| at + 1);
    let close = text.rfind('"').unwrap_or(text.len());
    text.get(open..close).unwrap_or_default()
}

fn spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let found = span_at(text, at);
        at = found.as_ref().map_or(at + 1, |span| span.range.end);
        spans.extend(found);
    }
    spans
}

fn span_at(text: &str, at: usize) -> Option<Span> {
    let bytes = text.as_bytes();
    let (kind, length) = match bytes[at] {
        b'/' if bytes[at..].starts_with(b"//") => (Kind::Remark, line_length(&bytes[at..])),
        b'/' if bytes[at..].starts_with(b"/*") => (Kind::Remark, block_length(&bytes[at..])),
        b'"' => (Kind::Text, quoted_length(&bytes[at..])),
        b'r' if !follows_word(bytes, at) => (Kind::Text, raw_length(&bytes[at..])?),
        b'\'' => (Kind::Character, character_length(&text[at..])?),
        _ => return None,
    };
    Some(Span { kind, range: at..at + length })
}

fn line_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len())
}

fn block_length(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        let step = match &bytes[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step.0;
        depth += step.1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"` and `r##"…"##`; the `b` or `c` before it stays code. Not a raw name such as `r#type`.
fn raw_length(bytes: &[u8]) -> Option<usize> {
    let hashes = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    let open = 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &bytes[open + 1..];
    let end = body.windows(close.len()).position(|window| window == close).unwrap_or(body.len());
    Some((open + 1 + end + close.len()).min(bytes.len()))
}

/// `'x'` and `'\n'`; nothing for the lifetime in `&'a str`.
fn character_length(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return text[2..].find('\'').map(|end| if end == 0 { 4 } else { end + 3 });
    }
    characters.next().filter(|(_, second)| *second == '\'').map(|(at, _)| at + 1)
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    let prefix = bytes[..at].iter().rev().take_while(|byte| is_word(char::from(**byte))).count();
    let joined = &bytes[at - prefix..at];
    !matches!(joined, b"" | b"b" | b"c")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn blanked(text: &str, spans: &[Span]) -> String {
    let mut code = text.as_bytes().to_vec();
    for byte in spans.iter().flat_map(|span| span.range.clone()) {
        if code[byte] != b'\n' {
            code[byte] = b' ';
        }
    }
    String::from_utf8(code).expect("whole literals and comments were replaced by spaces")
}

/// Where `word` stands as a word of its own.
fn words(code: &str, word: &str) -> Vec<usize> {
    let alone = |at: &usize| {
        !code[..*at].chars().next_back().is_some_and(|c| is_word(c) || c == '#')
            && !code[at + word.len()..].chars().next().is_some_and(is_word)
    };
    code.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

fn test_modules(code: &str) -> Vec<Range<usize>> {
    let end = |at: usize| {
        let open = at + code[at..].find(['{', ';'])?;
        closing_brace(code, open)
    };
    let marks = code.match_indices("#[cfg(test)]").map(|(at, _)| at);
    marks.filter_map(|at| Some(at..end(at)?)).collect()
}

/// The end of the block that opens at `open`, or nothing where there is no block.
fn closing_brace(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.as_bytes()[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (offset > 0).then_some(open + offset + 1);
        }
    }
    None
}

fn line_at(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        Source::scan(source).texts.into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn strings_end_where_they_end() {
        assert_eq!(texts(r#"let a = "x \" y"; let b = "z";"#), [r#"x \" y"#, "z"]);
        assert_eq!(texts(r##"let a = br#"x " y"#; let r = "z";"##), [r#"x " y"#, "z"]);
        assert_eq!(texts(r#"let quote = '"'; let tick = '\''; let b = "z";"#), ["z"]);
        assert_eq!(texts(r#"fn f<'a>(x: &'a str) { "z" } let r#type = "y";"#), ["z", "y"]);
    }

    #[test]
    fn comments_hide_code_and_strings_hide_comments() {
        let source = Source::scan("a(); // fn \"b\"\n/* c /* d */ e */ f(\"// g\");");
        let remarks: Vec<_> = source.remarks.iter().map(|piece| (piece.line, piece.text.as_str())).collect();
        assert_eq!(remarks, [(1, "// fn \"b\""), (2, "/* c /* d */ e */")]);
        assert!(source.code.contains("f(") && !source.code.contains('g'));
    }

    #[test]
    fn texts_of_test_modules_are_left_out() {
        assert_eq!(
            texts("const A: &str = \"a\";\n#[cfg(test)]\nmod tests { const B: &str = \"}b\"; }\n"),
            ["a"]
        );
    }

    #[test]
    fn function_lengths_run_from_the_word_fn_to_the_closing_brace() {
        let text = "fn one() {}\ntrait T {\n    fn none(&self);\n}\nfn three() {\n    if x { y('}') }\n}\n";
        assert_eq!(Source::scan(text).function_lines(), [1, 3]);
    }

    #[test]
    fn only_modules_with_files_are_declared() {
        let text = "pub mod a;\nmod b { }\n// mod c;\npub(crate) mod d;\n";
        assert_eq!(Source::scan(text).declared_modules(), ["a", "d"]);
    }
}

//! What a search looks for, and what it shows of what it found.
//!
//! Words are told apart here and nowhere else, so that every store finds the same.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;

/// The longest question, in bytes.
pub const QUERY_BYTES_MAX: usize = 1_000;
/// How many words of a question are looked for.
pub const QUERY_WORDS_MAX: usize = 32;
/// How many results a search leads through, page by page.
pub const RESULTS_MAX: u32 = 500;
/// What is kept of a long word, in bytes.
const WORD_BYTES_MAX: usize = 64;
/// What is shown of a piece, in characters.
const SNIPPET_CHARS: usize = 280;
/// What is shown before the first word that was found, in characters.
const LEAD_CHARS: usize = 40;

/// A question, as the words that it holds: those that a piece must hold one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    words: BTreeSet<String>,
}

/// A part of a piece, with the words that were looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// As it stands in the piece.
    pub text: String,
    /// Where the words stand in `text`, in order.
    pub marks: Vec<Mark>,
}

/// A place in a text, counted in characters (Unicode scalar values) from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Its first character.
    pub start: usize,
    /// The character behind its last.
    pub end: usize,
}

impl Query {
    /// Reads a question. Any text is one; without a letter or a digit it finds nothing.
    pub fn parse(text: &str) -> Query {
        let mut query = Query { words: BTreeSet::new() };
        for word in words(text) {
            if query.words.len() == QUERY_WORDS_MAX {
                break;
            }
            query.words.insert(word);
        }
        query
    }

    /// Its words, each once.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Whether it looks for nothing.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The part of a piece that holds the most of its words, or the beginning.
    pub fn snippet(&self, text: &str) -> Snippet {
        let found: Vec<(Range<usize>, String)> =
            tokens(text).into_iter().filter(|(_, word)| self.words.contains(word)).collect();
        let start = Query::best_start(text, &found);
        let end = after_chars(text, start, SNIPPET_CHARS);
        let shown = &text[start..end];
        let chars = |at: usize| text[start..at].chars().count();
        let marks = found
            .iter()
            .filter(|(range, _)| range.start >= start && range.end <= end)
            .map(|(range, _)| Mark { start: chars(range.start), end: chars(range.end) })
            .collect();
        Snippet { text: shown.to_owned(), marks }
    }

    /// Where to begin so that the most different words are shown; the first such place.
    fn best_start(text: &str, found: &[(Range<usize>, String)]) -> usize {
        let there_are = found.iter().map(|(_, word)| word).collect::<BTreeSet<_>>().len();
        // Both ends only ever move on, so each word comes in once and goes out once.
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut best, mut behind) = ((0, 0), 0);
        for (at, (range, word)) in found.iter().enumerate() {
            let start = before_chars(text, range.start, LEAD_CHARS);
            let end = after_chars(text, start, SNIPPET_CHARS);
            while let Some((_, word)) = found.get(behind).filter(|(range, _)| range.end <= end) {
                *shown.entry(word).or_default() += 1;
                behind += 1;
            }
            if shown.len() > best.0 {
                best = (shown.len(), start);
            }
            if best.0 == there_are {
                break;
            }
            // A word may be longer than what is shown of a piece, and never have come in.
            match shown.get_mut(word.as_str()).filter(|_| behind > at) {
                Some(1) => drop(shown.remove(word.as_str())),
                Some(count) => *count -= 1,
                None => behind = behind.max(at + 1),
            }
        }
        best.1
    }
}

/// The words of a text, in order: letters and digits in lower case. Chinese characters, kana and
/// Hangul syllables are words by themselves, since nothing stands between theirs.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    tokens(text).into_iter().map(|(_, word)| word)
}

fn tokens(text: &str) -> Vec<(Range<usize>, String)> {
    let mut found: Vec<(Range<usize>, String)> = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, c) in text.char_indices() {
        let single = is_word_by_itself(c);
        if c.is_alphanumeric() && !single {
            let (_, word) = open.get_or_insert_with(|| (at, String::new()));
            if word.len() < WORD_BYTES_MAX {
                word.extend(c.to_lowercase());
            }
            continue;
        }
        found.extend(open.take().map(|(start, word)| (start..at, word)));
        if single {
            found.push((at..at + c.len_utf8(), c.to_string()));
        }
    }
    found.extend(open.map(|(start, word)| (start..text.len(), word)));
    found
}

fn is_word_by_itself(c: char) -> bool {
    c.is_alphanumeric()
        && matches!(c,
            '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// So many characters further back, or the beginning; not within a word.
fn before_chars(text: &str, at: usize, count: usize) -> usize {
    let start = text[..at].char_indices().rev().take(count).last().map_or(at, |(start, _)| start);
    if start == 0 {
        return 0;
    }
    // Behind the first space, if there is one on the way.
    text[start..at].find(char::is_whitespace).map_or(at, |space| {
        let behind = &text[start + space..];
        start + space + (behind.len() - behind.trim_start().len())
    })
}

fn after_chars(text: &str, at: usize, count: usize) -> usize {
    text[at..].char_indices().nth(count).map_or(text.len(), |(end, _)| at + end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        assert_eq!(
            all("Rotate the SECRET's key-2, bitte: Größe!"),
            ["rotate", "the", "secret", "s", "key", "2", "bitte", "größe"]
        );
        assert_eq!(all("漢字 and カナ"), ["漢", "字", "and", "カ", "ナ"]);
        assert!(all("\"'*():^-+ \n").is_empty());
        assert_eq!(all(&"x".repeat(1_000))[0].len(), WORD_BYTES_MAX);
    }

    #[test]
    fn a_question_is_its_words_each_once() {
        let query = Query::parse("How do I rotate? how \"DO\" NEAR(a b) OR x* -y");
        let words: Vec<_> = query.words().collect();
        assert_eq!(words, ["a", "b", "do", "how", "i", "near", "or", "rotate", "x", "y"]);
        assert!(Query::parse("!!! ***").is_empty());
        let many: Vec<String> = (0..100).map(|n| format!("w{n}")).collect();
        assert_eq!(Query::parse(&many.join(" ")).words().len(), QUERY_WORDS_MAX);
    }

    #[test]
    fn a_snippet_shows_where_the_most_words_are() {
        let text =
            format!("A secret here. {} Rotate the secret now. {}", "filler ".repeat(100), "end ".repeat(100));
        let snippet = Query::parse("rotate secret").snippet(&text);
        let marked: Vec<String> = snippet
            .marks
            .iter()
            .map(|mark| snippet.text.chars().skip(mark.start).take(mark.end - mark.start).collect())
            .collect();
        assert_eq!(marked, ["Rotate", "secret"]);
        assert!(snippet.text.chars().count() <= SNIPPET_CHARS);
        assert!(snippet.text.starts_with("filler"), "{}", snippet.text);
    }

    #[test]
    fn a_snippet_is_where_the_most_different_words_are_and_not_the_most() {
        let (filler, long) = ("filler ".repeat(60), "x".repeat(400));
        let text = format!("{long} a a a a {filler} a b {filler} c a {filler} a b c");
        let snippet = Query::parse(&format!("a b c {long}")).snippet(&text);
        assert!(snippet.text.ends_with("a b c"), "{}", snippet.text);
        let twice = Query::parse("a b absent").snippet(&text);
        assert_eq!(twice.marks.len(), 2, "{}", twice.text);
    }

    #[test]
    fn a_snippet_of_what_was_found_by_its_title_is_its_beginning() {
        let snippet = Query::parse("absent").snippet("some text");
        assert_eq!(snippet, Snippet { text: "some text".to_owned(), marks: vec![] });
    }

    proptest! {
        #[test]
        fn any_question_and_any_text_make_a_snippet(question in "\\PC{0,60}", text in "(?s).{0,900}") {
            let query = Query::parse(&question);
            let snippet = query.snippet(&text);
            prop_assert!(text.contains(&snippet.text));
            for mark in &snippet.marks {
                let marked: String = snippet.text.chars().skip(mark.start).take(mark.end - mark.start).collect();
                let said: Vec<_> = words(&marked).collect();
                prop_assert!(said.iter().any(|word| query.words().any(|known| known == word)), "{marked:?}");
            }
        }

        #[test]
        fn words_hold_nothing_that_a_search_engine_would_read(text in "(?s).{0,200}") {
            for word in words(&text) {
                prop_assert!(!word.is_empty() && !word.contains(['"', '\'', ' ', '*', '(', ':', '\0']));
            }
        }
    }
}

//! Pieces of documents: small enough to be read as an answer, whole enough to make sense.

use serde::{Deserialize, Serialize};

use super::document::Document;

/// The longest piece, in bytes.
pub const CHUNK_BYTES_MAX: usize = 1_600;

/// A piece of a document, which is what a search finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The document's name.
    pub document: String,
    /// The document's title, which is searched with the piece.
    pub title: String,
    /// Which piece of its document, from 0.
    pub place: u32,
    /// What it says; at most [`CHUNK_BYTES_MAX`] bytes, never only spaces.
    pub text: String,
}

impl Chunk {
    /// What a search looks through.
    pub fn searched(&self) -> impl Iterator<Item = String> + '_ {
        super::search::words(&self.title).chain(super::search::words(&self.text))
    }
}

/// The pieces of a document, in order: between paragraphs where that can be, else between words,
/// else between characters. The same document has the same pieces.
pub fn chunks(document: &Document) -> impl Iterator<Item = Chunk> + '_ {
    pieces(&document.text).zip(0..).map(|(text, place)| Chunk {
        document: document.name.clone(),
        title: document.title.clone(),
        place,
        text: text.to_owned(),
    })
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, left) = rest.split_at(end_of_piece(rest));
        rest = left.trim_start();
        Some(piece.trim_end())
    })
}

/// Where the first piece of a text ends that begins with something else than a space.
fn end_of_piece(text: &str) -> usize {
    if text.len() <= CHUNK_BYTES_MAX {
        return text.len();
    }
    let most = text.floor_char_boundary(CHUNK_BYTES_MAX);
    // A space right behind is a place to cut, too.
    let window = &text[..text.ceil_char_boundary(most + 1)];
    let paragraph = window.rfind("\n\n");
    paragraph.or_else(|| window.rfind(char::is_whitespace)).filter(|at| *at > 0).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> Vec<String> {
        pieces(text).map(str::to_owned).collect()
    }

    #[test]
    fn a_short_document_is_one_piece_and_an_empty_one_none() {
        assert_eq!(cut("  one\n\ntwo \n"), ["one\n\ntwo"]);
        assert!(cut(" \n\t ").is_empty());
    }

    #[test]
    fn a_cut_is_between_paragraphs_if_that_can_be() {
        let paragraph = "word ".repeat(200);
        let text = format!("{paragraph}\n\n{paragraph}\n\n{paragraph}");
        assert_eq!(cut(&text), vec![paragraph.trim_end().to_owned(); 3]);
    }

    #[test]
    fn a_word_that_is_too_long_is_cut_between_characters() {
        let text = "ü".repeat(CHUNK_BYTES_MAX);
        let pieces = cut(&text);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn pieces_are_numbered_and_carry_the_name_of_their_document() {
        let document = Document::new("guide.md", "Guide", "word ".repeat(1_000));
        let chunks: Vec<_> = chunks(&document).collect();
        assert!(chunks.len() > 2);
        for (at, chunk) in chunks.iter().enumerate() {
            assert_eq!((chunk.place as usize, chunk.document.as_str()), (at, "guide.md"));
        }
        assert_eq!(chunks[0].searched().next().as_deref(), Some("guide"));
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_and_no_piece_is_too_long(text in "(?s)([a-zä漢😀]{0,900}[ \n]{0,3}){0,8}") {
            let pieces = cut(&text);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&pieces.concat()), letters(&text));
            for piece in &pieces {
                prop_assert!(!piece.trim().is_empty() && piece.len() <= CHUNK_BYTES_MAX);
            }
        }
    }
}

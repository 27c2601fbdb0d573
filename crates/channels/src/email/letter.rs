//! A letter as text and as HTML. The templates hold the form; the words are the domain's.

use angarium_domain::letter::Letter;
use askama::Template;

#[derive(Template)]
#[template(path = "email/letter.txt")]
struct Text<'a> {
    letter: &'a Letter,
}

#[derive(Template)]
#[template(path = "email/letter.html")]
struct Html<'a> {
    letter: &'a Letter,
}

/// For readers without HTML, and for those who do not want it.
pub(super) fn text(letter: &Letter) -> String {
    Text { letter }.render().expect("writing to a string does not fail")
}

/// Everything that is not ours is escaped.
pub(super) fn html(letter: &Letter) -> String {
    Html { letter }.render().expect("writing to a string does not fail")
}

#[cfg(test)]
mod tests {
    use angarium_domain::letter::Link;

    use super::*;

    fn letter() -> Letter {
        Letter {
            subject: "A <b>subject</b>".to_owned(),
            heading: "Order <script>alert(1)</script> & paid".to_owned(),
            paragraphs: vec!["It \"happened\".".to_owned()],
            facts: vec![("Type".to_owned(), "<img src=x>".to_owned())],
            quoted: Some("{\"note\":\"</pre><h1>\"}".to_owned()),
            link: Some(Link { words: "See it".to_owned(), url: "https://a.example/x?y=1&z=2".to_owned() }),
            closing: vec!["You asked for this.".to_owned()],
            unsubscribe: Some("https://a.example/unsubscribe/t".to_owned()),
        }
    }

    #[test]
    fn nothing_in_a_letter_becomes_markup() {
        let html = html(&letter());
        for foreign in ["<script>", "<img", "</pre><h1>"] {
            assert!(!html.contains(foreign), "{foreign} is in\n{html}");
        }
        assert!(
            html.contains("&lt;script&gt;alert(1)") || html.contains("&#60;script&#62;alert(1)"),
            "{html}"
        );
        assert!(html.contains("https://a.example/unsubscribe/t"));
    }

    #[test]
    fn the_text_says_all_that_the_html_says() {
        let text = text(&letter());
        for words in [
            "Order <script>alert(1)</script> & paid",
            "It \"happened\".",
            "Type: <img src=x>",
            "{\"note\":\"</pre><h1>\"}",
            "See it: https://a.example/x?y=1&z=2",
            "You asked for this.",
            "https://a.example/unsubscribe/t",
        ] {
            assert!(text.contains(words), "{words} is not in\n{text}");
        }
    }
}

//! Descriptions are Markdown, as OpenAPI has it.

use pulldown_cmark::{Event, Parser, html as writer};

/// Text for a page, with everything escaped that must be.
pub(super) struct Html(String);

/// The HTML of a description. What looks like a tag in it, such as `<id>`, is text.
pub(super) fn html(markdown: &str) -> Html {
    let plain = |event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    };
    let mut text = String::new();
    writer::push_html(&mut text, Parser::new(markdown).map(plain));
    // A single paragraph stands in cells and lines, which have none.
    let text = text.trim_end();
    let alone = text.strip_prefix("<p>").and_then(|text| text.strip_suffix("</p>"));
    let alone = alone.filter(|text| !text.contains("<p>"));
    Html(alone.unwrap_or(text).to_owned())
}

impl Html {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(markdown: &str, expected: &str) {
        assert_eq!(html(markdown).as_str(), expected);
    }

    #[test]
    fn code_links_and_paragraphs_are_markup_and_tags_are_text() {
        check(
            "One `patv1_<id>` of [Webhook](#Webhook)",
            "One <code>patv1_&lt;id&gt;</code> of <a href=\"#Webhook\">Webhook</a>",
        );
        check("One.\n\nTwo.", "<p>One.</p>\n<p>Two.</p>");
        check("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;");
        check("a <b> & \"c\"", "a &lt;b&gt; &amp; \"c\"");
    }
}

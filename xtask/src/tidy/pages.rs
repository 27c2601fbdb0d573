//! What a reader of the pages stumbles over: a merge that was not finished, a link that leads nowhere.

use std::path::Path;

use super::Finding;

/// A page: its path from the root, and what it says.
pub(super) struct Page {
    pub(super) path: String,
    pub(super) text: String,
}

/// Every line of one page.
pub(super) fn check(page: &Page, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(page.text.lines()) {
        let found = |what: String| Finding::new(format!("{}:{number}", page.path), what);
        if is_conflict(line) {
            findings.push(found("a merge was not finished here".to_owned()));
        }
        let broken = links(line).filter(|target| leads_nowhere(target, &page.path, root));
        findings.extend(broken.map(|target| found(format!("{target} is not there"))));
    }
    findings
}

fn is_conflict(line: &str) -> bool {
    line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") || line == "======="
}

/// The targets of a line's links to files, without the place in the file.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty())
}

fn leads_nowhere(target: &str, page: &str, root: &Path) -> bool {
    let folder = root.join(page).parent().map(Path::to_owned).unwrap_or_default();
    !folder.join(target).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    fn said_of(text: &str) -> Vec<String> {
        let page = Page { path: "docs/page.md".to_owned(), text: text.to_owned() };
        check(&page, &workspace::root()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unfinished_merge_is_found_and_a_rule_of_a_table_is_not() {
        assert_eq!(said_of("a\n<<<<<<< HEAD\nb"), ["docs/page.md:2: a merge was not finished here"]);
        assert_eq!(said_of("=======\n>>>>>>> 12ab (text)").len(), 2);
        assert!(said_of("| a |\n|=====|\n======= is seven\n<<<<<<<< eight").is_empty());
    }

    #[test]
    fn links_lead_to_files_beside_the_page_and_elsewhere_are_not_followed() {
        assert!(said_of("[a](../README.md#testing), [b](https://example.com/x), [c](#here)").is_empty());
        assert_eq!(said_of("[a](README.md) and [b](../nowhere.md)").len(), 2);
    }
}

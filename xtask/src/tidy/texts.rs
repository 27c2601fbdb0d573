//! What may not stand in a literal or a comment: SQL outside the store, machines' folders, to-do notes without a number.

use super::{Finding, ScannedFile};
use crate::source::Piece;

/// First words of statements.
const STATEMENTS: &[&str] = &[
    "SELECT",
    "INSERT INTO",
    "INSERT OR",
    "UPDATE",
    "DELETE FROM",
    "CREATE TABLE",
    "CREATE INDEX",
    "CREATE UNIQUE INDEX",
    "PRAGMA",
];

/// Folders that exist on somebody's machine and not on the next one's.
const MACHINE_FOLDERS: &[&str] = &["work", "home", "root", "tmp", "Users"];

const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];

/// Every literal and comment of one file.
pub(super) fn check(file: &ScannedFile) -> Vec<Finding> {
    let in_store = file.path.starts_with("crates/store/");
    let in_tests = file.path.contains("/tests/");
    let found = |piece: &Piece, what: String| Finding::new(format!("{}:{}", file.path, piece.line), what);
    let mut findings = Vec::new();
    for text in file.source.texts.iter().filter(|_| !in_tests) {
        findings.extend(
            statement(&text.text)
                .filter(|_| !in_store)
                .map(|word| found(text, format!("{word} belongs to the store, behind a port"))),
        );
        findings.extend(
            machine_folder(&text.text)
                .map(|folder| found(text, format!("{folder} is a folder of somebody's machine"))),
        );
    }
    for remark in &file.source.remarks {
        findings
            .extend(unnumbered_note(&remark.text).map(|note| {
                found(remark, format!("{note} needs a number, such as {note}(#12), or must go"))
            }));
        findings.extend(
            machine_folder(&remark.text)
                .map(|folder| found(remark, format!("{folder} is a folder of somebody's machine"))),
        );
    }
    findings
}

fn statement(text: &str) -> Option<&'static str> {
    let goes_on = |rest: &str| rest.starts_with(char::is_whitespace) && !rest.trim().is_empty();
    STATEMENTS.iter().copied().find(|word| text.trim_start().strip_prefix(word).is_some_and(goes_on))
}

fn machine_folder(text: &str) -> Option<String> {
    let begins_a_path = |at: usize| {
        !text[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '}' | '.' | '/'))
    };
    let folders = MACHINE_FOLDERS.iter().map(|folder| format!("/{folder}/"));
    folders.into_iter().find(|folder| text.match_indices(folder.as_str()).any(|(at, _)| begins_a_path(at)))
}

fn unnumbered_note(text: &str) -> Option<&'static str> {
    let numbered = |rest: &str| {
        rest.strip_prefix("(#").and_then(|rest| rest.split_once(')')).is_some_and(|(number, _)| {
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        })
    };
    let alone = |at: usize| !text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
    let bare = |note: &&&str| {
        text.match_indices(**note).any(|(at, _)| {
            let rest = &text[at + note.len()..];
            alone(at) && !rest.starts_with(char::is_alphanumeric) && !numbered(rest)
        })
    };
    NOTES.iter().find(bare).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn check_file(path: &str, text: &str) -> Vec<String> {
        let file = ScannedFile { path: path.to_owned(), source: Source::scan(text) };
        check(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sql_belongs_to_the_store() {
        let text = "let a = 1;\nlet b = \"SELECT id FROM events\";\n";
        assert_eq!(
            check_file("crates/server/src/state.rs", text),
            ["crates/server/src/state.rs:2: SELECT belongs to the store, behind a port"]
        );
        assert!(check_file("crates/store/src/statements.rs", text).is_empty());
    }

    #[test]
    fn prose_that_begins_like_a_statement_is_not_one() {
        assert!(
            check_file("crates/server/src/cli.rs", "let a = \"UPDATE\"; let b = \"SELECTED \";").is_empty()
        );
        assert!(
            check_file("crates/server/src/cli.rs", "let a = \"Select one, or update the rest\";").is_empty()
        );
    }

    #[test]
    fn folders_of_a_machine_are_found_in_literals_and_comments() {
        assert_eq!(
            check_file("crates/server/src/a.rs", "// see /home/me/notes\nlet a = \"/tmp/x\";"),
            [
                "crates/server/src/a.rs:2: /tmp/ is a folder of somebody's machine",
                "crates/server/src/a.rs:1: /home/ is a folder of somebody's machine"
            ]
        );
    }

    #[test]
    fn addresses_that_contain_the_same_words_are_not_folders() {
        assert!(check_file("crates/server/src/a.rs", "let a = \"https://x.test/home/page\";").is_empty());
        assert!(check_file("crates/server/tests/it/a.rs", "let a = \"/tmp/x\";").is_empty());
    }

    #[test]
    fn notes_without_a_number_are_found() {
        assert_eq!(
            check_file("xtask/src/a.rs", "// TODO: later\n// TODO(#12): sooner\n// mastodons XXXL\n"),
            ["xtask/src/a.rs:1: TODO needs a number, such as TODO(#12), or must go"]
        );
    }
}

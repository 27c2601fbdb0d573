//! Rows in columns, for a terminal and for `grep`.

use std::io::Write as _;

/// Lines of cells, each column as wide as its widest cell. Numbers are not aligned specially: a
/// table of ours is read along its rows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a line of headings.
    pub(crate) fn with_headings(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a line. Control characters in a cell do nothing to a terminal.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// The lines, two spaces between columns and none at the end.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let padded: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        (0..columns).map(|column| width(column).unwrap_or_default()).collect()
    }
}

/// Writes to standard output. Whoever closed it does not want to read more.
pub(crate) fn show(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Text that came from somebody else, without power over the terminal.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() { letter.escape_default().collect::<String>() } else { letter.to_string() }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::with_headings(&["name", "n"]);
        table.row(["a long name".to_owned(), "1".to_owned()]);
        table.row(["ü".to_owned(), String::new()]);
        assert_eq!(table.text(), "name         n\na long name  1\nü\n");
    }

    #[test]
    fn a_cell_cannot_drive_the_terminal() {
        let mut table = Table::default();
        table.row(["\x1b[2Jname\n".to_owned()]);
        assert_eq!(table.text(), "\\u{1b}[2Jname\\n\n");
    }
}

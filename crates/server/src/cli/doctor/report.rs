//! What the doctor found, line by line.

use std::fmt;

use crate::cli::table::harmless;

/// The findings, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    standing: Standing,
    about: &'static str,
    text: String,
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Well,
    Note,
    Wrong,
}

impl Report {
    /// Something is as it should be.
    pub(super) fn well(&mut self, about: &'static str, text: &str) {
        self.add(Standing::Well, about, text, None);
    }

    /// Something is worth knowing, and may be meant.
    pub(super) fn note(&mut self, about: &'static str, text: &str, advice: Option<&str>) {
        self.add(Standing::Note, about, text, advice);
    }

    /// Something is wrong, and this mends it.
    pub(super) fn wrong(&mut self, about: &'static str, text: &str, advice: &str) {
        self.add(Standing::Wrong, about, text, Some(advice));
    }

    /// How many things are wrong.
    pub(super) fn wrongs(&self) -> usize {
        self.findings.iter().filter(|finding| finding.standing == Standing::Wrong).count()
    }

    fn add(&mut self, standing: Standing, about: &'static str, text: &str, advice: Option<&str>) {
        self.findings.push(Finding {
            standing,
            about,
            text: text.to_owned(),
            advice: advice.map(str::to_owned),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { standing, about, text, advice } in &self.findings {
            let standing = match standing {
                Standing::Well => "ok",
                Standing::Note => "note",
                Standing::Wrong => "WRONG",
            };
            writeln!(f, "{standing:<6} {about:<9} {}", harmless(text))?;
            if let Some(advice) = advice {
                writeln!(f, "{:<16} what to do: {advice}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_out_and_comes_with_advice() {
        let mut report = Report::default();
        report.well("settings", "can be read");
        report.note("service", "nobody answers", None);
        report.wrong("store", "the key does not fit", "set the right one");
        let expected = "\
ok     settings  can be read
note   service   nobody answers
WRONG  store     the key does not fit
                 what to do: set the right one
";
        assert_eq!(report.to_string(), expected);
        assert_eq!(report.wrongs(), 1);
    }
}

//! What a bench found: figures for people and for machines, and what was lost.

use std::{fs, path::PathBuf};

use anyhow::Result;
use serde::Serialize;

use crate::{clock, workspace};

/// Figures in the order of their measurement.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    measured_at_unix_seconds: u64,
    processors: usize,
    figures: Vec<Figure>,
    losses: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Figure {
    scenario: String,
    name: String,
    value: f64,
    unit: &'static str,
}

impl Report {
    pub(super) fn begin() -> Report {
        Report {
            measured_at_unix_seconds: clock::since_epoch().as_secs(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            ..Report::default()
        }
    }

    /// Adds a figure and prints it at once: a bench takes minutes.
    pub(super) fn add(&mut self, scenario: &str, name: impl Into<String>, value: f64, unit: &'static str) {
        let figure = Figure { scenario: scenario.to_owned(), name: name.into(), value, unit };
        println!("{:<12} {:<58} {:>9} {unit}", figure.scenario, figure.name, rounded(value));
        self.figures.push(figure);
    }

    /// Notes that fewer events arrived than were accepted.
    pub(super) fn expect_all(&mut self, scenario: &str, accepted: u64, arrived: u64) {
        if arrived < accepted {
            let loss = format!("{scenario}: {accepted} deliveries were due and {arrived} arrived");
            println!("LOST {loss}");
            self.losses.push(loss);
        }
    }

    /// What was lost.
    pub(super) fn losses(&self) -> &[String] {
        &self.losses
    }

    /// Writes everything as JSON under `target/bench`.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let file = workspace::target_folder("bench")?.join(format!("{}.json", self.measured_at_unix_seconds));
        fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        Ok(file)
    }
}

/// Three digits that matter, without an exponent.
fn rounded(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_the_digits_that_matter() {
        assert_eq!([12_345.6, 12.34, 1.234, 0.1234].map(rounded), ["12346", "12.3", "1.23", "0.123"]);
    }

    #[test]
    fn only_what_is_missing_is_a_loss() {
        let mut report = Report::begin();
        report.expect_all("a", 10, 10);
        report.expect_all("b", 10, 11);
        report.expect_all("c", 10, 9);
        assert_eq!(report.losses(), ["c: 10 deliveries were due and 9 arrived"]);
    }
}

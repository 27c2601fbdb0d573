//! What happened in a run, line by line: to be read when a promise was broken, and to be compared
//! when the same seed is run again.

use std::collections::VecDeque;
use std::fmt;

use angarium_domain::time::Timestamp;

/// Lines kept unless all are wanted: the last part of a story is where it went wrong.
const LINES_KEPT: usize = 120;

/// The course of one run.
#[derive(Debug)]
pub struct Story {
    began_at: Timestamp,
    lines: VecDeque<String>,
    lines_max: usize,
    digest: u64,
}

impl Story {
    /// An empty story that keeps its last part, or all of it.
    pub fn new(began_at: Timestamp, whole: bool) -> Story {
        let lines_max = if whole { usize::MAX } else { LINES_KEPT };
        Story { began_at, lines: VecDeque::new(), lines_max, digest: 0xCBF2_9CE4_8422_2325 }
    }

    /// Adds a line.
    pub fn tell(&mut self, now: Timestamp, what: fmt::Arguments<'_>) {
        let line = format!("{:>12.3} {what}", now.since(self.began_at).as_secs_f64());
        // FNV-1a: equal stories are wanted, not secrets.
        for byte in line.bytes().chain([b'\n']) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        if self.lines.len() == self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// A number that stands for every line, kept or not.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The lines that were kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Story {
        let mut story = Story::new(Timestamp::from_seconds(10), false);
        for line in lines {
            story.tell(Timestamp::from_seconds(11), format_args!("{line}"));
        }
        story
    }

    #[test]
    fn the_digest_stands_for_lines_that_are_no_longer_kept() {
        let many = vec!["the same"; LINES_KEPT];
        let (one, other) = (told(&[&["a"], &*many].concat()), told(&[&["b"], &*many].concat()));
        assert_ne!(one.digest(), other.digest());
        assert_eq!(one.into_lines(), other.into_lines());
    }
}

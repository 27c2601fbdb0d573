//! Percentiles by nearest rank: every figure printed was really measured.

use std::time::Duration;

/// Measurements in order.
#[derive(Debug, Clone)]
pub(crate) struct Sorted(Vec<u64>);

impl Sorted {
    /// Sorts `values`.
    pub(crate) fn of(mut values: Vec<u64>) -> Sorted {
        values.sort_unstable();
        Sorted(values)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest measured value that `percent` of all values do not exceed; zero of nothing.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).or(self.0.last()).copied().unwrap_or(0)
    }

    /// The greatest; zero of nothing.
    pub(crate) fn greatest(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }
}

/// Times as microseconds, for [`Sorted`].
pub(crate) fn micros(times: &[Duration]) -> Sorted {
    Sorted::of(times.iter().map(|time| time.as_micros() as u64).collect())
}

/// Microseconds as readable milliseconds.
pub(crate) fn millis(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred = Sorted::of((1..=100).rev().collect());
        assert_eq!([50.0, 95.0, 99.0, 100.0].map(|percent| hundred.percentile(percent)), [50, 95, 99, 100]);
        assert_eq!(Sorted::of(vec![9, 1]).percentile(50.0), 1);
    }

    #[test]
    fn one_value_is_every_percentile_and_nothing_is_zero() {
        let one = Sorted::of(vec![42]);
        assert_eq!((one.percentile(0.0), one.percentile(99.0), one.greatest()), (42, 42, 42));
        let none = Sorted::of(Vec::new());
        assert_eq!((none.count(), none.percentile(50.0), none.greatest()), (0, 0, 0));
    }
}

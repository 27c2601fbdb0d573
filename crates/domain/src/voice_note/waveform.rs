//! What a player draws of a sound before it is played: how loud it is, along its length.

/// How many bars there are.
pub const BARS: usize = 64;
/// The height of the loudest possible bar.
pub const BAR_MAX: u8 = 100;
/// How many spans are kept while the length of a sound is not known: many times the bars, so that
/// their edges do not matter, and few enough to forget about.
const SPANS_MAX: usize = 64 * BARS;

/// The bars of a sound whose end is not known yet. Takes the same memory however long it is.
#[derive(Debug, Clone)]
pub struct Peaks {
    /// The loudest sample of each span.
    spans: Vec<f32>,
    /// How many frames a span holds.
    frames_per_span: u64,
    /// How many frames the last span holds so far.
    frames_in_last: u64,
}

impl Default for Peaks {
    fn default() -> Peaks {
        Peaks { spans: Vec::with_capacity(SPANS_MAX), frames_per_span: 1, frames_in_last: 1 }
    }
}

impl Peaks {
    /// Adds a frame by its loudest sample, where 1 is full scale.
    pub fn add(&mut self, loudest: f32) {
        if self.frames_in_last == self.frames_per_span {
            if self.spans.len() == SPANS_MAX {
                self.halve();
            }
            self.spans.push(0.0);
            self.frames_in_last = 0;
        }
        let last = self.spans.last_mut().expect("a span was begun");
        *last = last.max(loudest.abs());
        self.frames_in_last += 1;
    }

    /// The bars, from 0 to [`BAR_MAX`]. None for a sound without a frame.
    pub fn bars(&self) -> Option<Vec<u8>> {
        let count = self.spans.len();
        if count == 0 {
            return None;
        }
        let bar = |n: usize| {
            let (from, to) = (n * count / BARS, (n + 1) * count / BARS);
            let loudest = self.spans[from..to.max(from + 1)].iter().copied().fold(0.0, f32::max);
            // What is not a number is silence.
            (loudest.clamp(0.0, 1.0) * f32::from(BAR_MAX)).round() as u8
        };
        Some((0..BARS).map(bar).collect())
    }

    fn halve(&mut self) {
        let pairs = self.spans.chunks(2).map(|pair| pair.iter().copied().fold(0.0, f32::max));
        self.spans = pairs.collect();
        self.frames_per_span *= 2;
        self.frames_in_last = self.frames_per_span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars_of(frames: impl IntoIterator<Item = f32>) -> Option<Vec<u8>> {
        let mut peaks = Peaks::default();
        frames.into_iter().for_each(|frame| peaks.add(frame));
        peaks.bars()
    }

    #[test]
    fn bars_follow_the_sound_however_long_it_is() {
        for frames in [64, 640, 4096, 4097, 100_000, 1_000_000] {
            let half = frames / 2;
            let bars = bars_of((0..frames).map(|n| if n < half { 0.25 } else { -1.0 })).expect("bars");
            assert_eq!(bars.len(), BARS);
            assert_eq!((bars[0], bars[30], bars[33], bars[63]), (25, 25, 100, 100), "{frames} frames");
        }
    }

    #[test]
    fn a_sound_shorter_than_its_bars_repeats_its_frames() {
        assert_eq!(bars_of([0.5]), Some(vec![50; BARS]));
        assert_eq!(bars_of([]), None);
    }

    #[test]
    fn samples_beyond_full_scale_and_those_that_are_no_numbers_stay_within_the_bars() {
        assert_eq!(bars_of([2.0]), Some(vec![100; BARS]));
        assert_eq!(bars_of([f32::NAN]), Some(vec![0; BARS]));
        assert_eq!(bars_of([f32::INFINITY]), Some(vec![100; BARS]));
    }
}

//! Which part of a file is wanted (RFC 9110, 14.2).

/// What a request is to be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// A part of it, which is not empty.
    Part(Range),
    /// A part that is not there.
    Nothing,
}

/// Bytes from one place to before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Range {
    pub(super) fn bytes(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// What `content-range` says of it.
    pub(super) fn of(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.from, self.to - 1)
    }
}

impl Wanted {
    /// Reads the header `range` of a request for a file of `size` bytes. What is not a range of bytes, and more than one
    /// range, is read as if it were not there, which the standard allows.
    pub(super) fn of(header: Option<&str>, size: u64) -> Wanted {
        match header.and_then(|text| bounds(text, size)) {
            None => Wanted::Whole,
            Some(range) if range.from < range.to => Wanted::Part(range),
            Some(_) => Wanted::Nothing,
        }
    }
}

fn bounds(text: &str, size: u64) -> Option<Range> {
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    if first.is_empty() {
        let last_bytes: u64 = number(last)?;
        return Some(Range { from: size.saturating_sub(last_bytes), to: size });
    }
    let from: u64 = number(first)?;
    let last: u64 = if last.is_empty() { u64::MAX } else { number(last)? };
    // One that ends before it begins is no range at all.
    (from <= last).then(|| Range { from, to: last.saturating_add(1).min(size) })
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number has are more bytes than a file has.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood() {
        let part = |from, to| Wanted::Part(Range { from, to });
        for (text, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 10)),
            ("bytes=3-5", part(3, 6)),
            ("bytes=9-", part(9, 10)),
            ("bytes=-4", part(6, 10)),
            ("bytes=-99999999999999999999999", part(0, 10)),
            ("bytes=0-99999999999999999999999", part(0, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("lines=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ] {
            assert_eq!(Wanted::of(Some(text), 10), expected, "{text}");
        }
        assert_eq!(Wanted::of(None, 10), Wanted::Whole);
    }

    #[test]
    fn a_part_says_where_it_stands() {
        assert_eq!(Range { from: 3, to: 6 }.of(10), "bytes 3-5/10");
        assert_eq!(Range { from: 3, to: 6 }.bytes(), 3);
    }
}

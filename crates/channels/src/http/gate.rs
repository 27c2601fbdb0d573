//! What may come in on a connection, judged before it is parsed.
//!
//! The parser is lenient where the standard lets it be, and patient with interim answers. A hostile
//! receiver must not profit from either: this gate bounds the bytes and the interim answers of one
//! exchange, and takes no line of a head that ends in a bare line feed.

/// The most bytes that one exchange of a webhook may bring in: a head of 64 KiB, as much of a body, and
/// what the parser reads ahead of both.
pub(super) const BYTES_MAX: usize = 256 * 1024;
/// The largest head of an answer, in bytes; an interim one included.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most interim answers (1xx) before the final one.
pub(super) const INTERIM_MAX: u32 = 16;

const START: &[u8; 5] = b"HTTP/";
/// Where the first digit of the status stands, as in `HTTP/1.1 200`.
const CLASS_AT: usize = 10;

/// Watches the bytes of one connection, exchange by exchange.
#[derive(Debug)]
pub(super) struct Gate {
    place: Place,
    bytes_max: usize,
    bytes_left: usize,
    interim_left: u32,
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the answer is more than {0} bytes")]
    TooManyBytes(usize),
    #[error("the answer's head is more than {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    #[error("there are more than {INTERIM_MAX} interim answers")]
    TooManyInterim,
    #[error("a header line ends in a bare line feed")]
    BareLineFeed,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// The next answer begins here, unless the one before has not quite ended.
    Between,
    Head(Head),
    Body,
}

#[derive(Debug, Clone, Copy, Default)]
struct Head {
    read: usize,
    /// The first digit of the status.
    class: u8,
    /// Bytes in the current line.
    line: usize,
    previous: u8,
}

impl Gate {
    /// A gate for so many bytes in one exchange.
    pub(super) fn new(bytes_max: usize) -> Gate {
        Gate { place: Place::Between, bytes_max, bytes_left: bytes_max, interim_left: INTERIM_MAX }
    }

    /// Bytes went out. After an answer they belong to the next request.
    pub(super) fn sent(&mut self) {
        if matches!(self.place, Place::Body) {
            *self = Gate::new(self.bytes_max);
        }
    }

    /// Bytes came in.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let left = self.bytes_left.checked_sub(bytes.len());
        self.bytes_left = left.ok_or(Refused::TooManyBytes(self.bytes_max))?;
        let start = &START[..bytes.len().min(START.len())];
        let mut head = match self.place {
            Place::Head(head) => head,
            Place::Between if bytes.starts_with(start) => Head::default(),
            Place::Between | Place::Body => return Ok(()),
        };
        for &byte in bytes {
            if !head.ends_with(byte)? {
                continue;
            }
            if head.class != b'1' {
                self.place = Place::Body;
                return Ok(());
            }
            self.interim_left = self.interim_left.checked_sub(1).ok_or(Refused::TooManyInterim)?;
            head = Head::default();
        }
        self.place = Place::Head(head);
        Ok(())
    }
}

impl Head {
    /// Whether this byte is the head's last: the line feed of an empty line.
    fn ends_with(&mut self, byte: u8) -> Result<bool, Refused> {
        self.read += 1;
        match self.read {
            CLASS_AT => self.class = byte,
            0..=HEAD_BYTES_MAX => {}
            _ => return Err(Refused::HeadTooLarge),
        }
        let previous = std::mem::replace(&mut self.previous, byte);
        if byte != b'\n' {
            self.line += 1;
            return Ok(false);
        }
        if previous != b'\r' {
            return Err(Refused::BareLineFeed);
        }
        Ok(std::mem::take(&mut self.line) == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

    /// Feeds an answer in pieces of every size, which must make no difference.
    #[track_caller]
    fn check(answer: &str, expected: Result<(), Refused>) {
        for size in [1, 2, 3, 7, 64, answer.len()] {
            let mut gate = Gate::new(BYTES_MAX);
            let fed = answer.as_bytes().chunks(size).try_for_each(|piece| gate.received(piece));
            assert_eq!(fed, expected, "in pieces of {size}: {answer:?}");
        }
    }

    #[test]
    fn a_body_may_hold_what_a_head_may_not() {
        check(&format!("{OK}a\nb\n"), Ok(()));
        check(&format!("{EARLY}{OK}a\nb\n"), Ok(()));
    }

    #[test]
    fn a_bare_line_feed_in_a_head_is_refused() {
        check("HTTP/1.1 200 OK\n\n", Err(Refused::BareLineFeed));
        check("HTTP/1.1 200 OK\r\nx-a: b\nx-c: d\r\n\r\n", Err(Refused::BareLineFeed));
        check(&format!("{EARLY}HTTP/1.1 200 OK\r\nx-a: b\n\r\n"), Err(Refused::BareLineFeed));
    }

    #[test]
    fn a_head_has_a_largest_size() {
        let head = |bytes: usize| format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "x".repeat(bytes - 26));
        check(&head(HEAD_BYTES_MAX), Ok(()));
        check(&head(HEAD_BYTES_MAX + 1), Err(Refused::HeadTooLarge));
    }

    #[test]
    fn interim_answers_are_counted() {
        let most = INTERIM_MAX as usize;
        check(&format!("{}{OK}", EARLY.repeat(most)), Ok(()));
        check(&format!("{}{OK}", EARLY.repeat(most + 1)), Err(Refused::TooManyInterim));
    }

    #[test]
    fn each_request_has_the_whole_measure() {
        let mut gate = Gate::new(BYTES_MAX);
        let body = vec![b'x'; BYTES_MAX - OK.len()];
        for _ in 0..3 {
            assert_eq!(gate.received(OK.as_bytes()), Ok(()));
            assert_eq!(gate.received(&body), Ok(()));
            gate.sent();
        }
        gate.received(OK.as_bytes()).expect("the head fits");
        gate.received(&body).expect("the body fits");
        assert_eq!(gate.received(b"x"), Err(Refused::TooManyBytes(BYTES_MAX)));
    }

    #[test]
    fn an_answer_that_comes_while_the_request_goes_out_stays_a_body() {
        let mut gate = Gate::new(BYTES_MAX);
        gate.received(OK.as_bytes()).expect("a head");
        gate.sent();
        assert_eq!(gate.received(b"a\nb\n"), Ok(()));
        assert_eq!(gate.received(b"HTTP/1.1 200 OK\n"), Err(Refused::BareLineFeed));
    }
}

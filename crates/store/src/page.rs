//! Pages of a list, newest first, and the cursors between them.

use data_encoding::BASE64URL_NOPAD;

/// The most items on a page (contract 1.5).
pub const LIMIT_MAX: u32 = 100;
/// The items on a page when the caller names no number (contract 1.5).
pub const LIMIT_DEFAULT: u32 = 50;

/// Which page: the items older than `before`, at most `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// The bytes of the last id of the page before; none for the first page.
    pub before: Option<[u8; 16]>,
    /// At most so many.
    pub limit: u32,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where the next page begins; none at the end.
    pub next: Option<[u8; 16]>,
}

/// The cursor is not one that we gave for this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cursor was not made for this list; begin again without one")]
pub struct InvalidCursor;

impl<T> Page<T> {
    /// Makes a page of items that were read one beyond `limit`, to know whether there are more.
    pub fn cut(mut items: Vec<T>, limit: u32, id: impl Fn(&T) -> [u8; 16]) -> Page<T> {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = if more { items.last().map(id) } else { None };
        Page { items, next }
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// The text of a cursor. `list` names tenant, route and filters: a cursor is good for that list only.
pub fn cursor(position: [u8; 16], list: &str) -> String {
    let mut bytes = position.to_vec();
    bytes.extend_from_slice(&binding(position, list));
    BASE64URL_NOPAD.encode(&bytes)
}

/// The position behind a cursor's text.
pub fn parse_cursor(text: &str, list: &str) -> Result<[u8; 16], InvalidCursor> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| InvalidCursor)?;
    let (position, bound) = bytes.split_first_chunk::<16>().ok_or(InvalidCursor)?;
    if bound == binding(*position, list) { Ok(*position) } else { Err(InvalidCursor) }
}

/// Ties a position to its list. Not a secret: a forged cursor reads nothing that its caller may
/// not read anyway, because the tenant is in every query's key.
fn binding(position: [u8; 16], list: &str) -> [u8; 12] {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    hash.update(&position);
    hash.update(list.as_bytes());
    let digest = hash.finish();
    digest.as_ref()[..12].try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let text = cursor([7; 16], "acme deliveries status=dead");
        assert_eq!(parse_cursor(&text, "acme deliveries status=dead"), Ok([7; 16]));
        for other in ["acme deliveries", "beta deliveries status=dead"] {
            assert_eq!(parse_cursor(&text, other), Err(InvalidCursor));
        }
        for broken in ["", "x", "====", &text[1..], &format!("{text}A")] {
            assert_eq!(parse_cursor(broken, "acme deliveries status=dead"), Err(InvalidCursor), "{broken}");
        }
    }

    #[test]
    fn the_last_page_has_no_next() {
        let id = |n: &u8| [*n; 16];
        assert_eq!(Page::cut(vec![3, 2, 1], 2, id), Page { items: vec![3, 2], next: Some([2; 16]) });
        assert_eq!(Page::cut(vec![3, 2], 2, id), Page { items: vec![3, 2], next: None });
    }
}

//! The pages of `docs/` that the code says: written here, compared by `tidy`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::workspace;

/// A page and what makes it.
struct Page {
    path: &'static str,
    text: fn() -> String,
}

const PAGES: &[Page] = &[
    Page { path: "docs/metrics.md", text: angarium_engine::metrics::page },
    Page { path: "docs/settings.md", text: angarium_server::settings::page },
];

/// Writes every page.
pub(crate) fn run() -> Result<()> {
    for page in PAGES {
        fs::write(page.place(), (page.text)()).with_context(|| format!("{} cannot be written", page.path))?;
        println!("wrote {}", page.path);
    }
    Ok(())
}

/// The pages that are not what the code says.
pub(crate) fn stale() -> impl Iterator<Item = &'static str> {
    PAGES.iter().filter(|page| !page.is_current()).map(|page| page.path)
}

impl Page {
    fn place(&self) -> PathBuf {
        workspace::root().join(self.path)
    }

    fn is_current(&self) -> bool {
        fs::read_to_string(self.place()).is_ok_and(|found| found == (self.text)())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_says_something_else_or_is_missing_is_not_current() {
        let page = |path, text| Page { path, text };
        assert!(!page("docs/metrics.md", || "something else".to_owned()).is_current());
        assert!(!page("docs/nowhere.md", String::new).is_current());
    }
}

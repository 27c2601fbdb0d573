//! Where a demo keeps its data: a folder that somebody named, or one that goes when the demo ends.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::client::new_key;

/// A folder that exists.
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// The folder of this name, made if it is not there.
    pub(super) fn named(path: PathBuf) -> anyhow::Result<Folder> {
        make(&path, true).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(Folder { path, temporary: false })
    }

    /// A new folder, gone with this value.
    pub(super) fn temporary() -> anyhow::Result<Folder> {
        let path = std::env::temp_dir().join(format!("angarium-demo-{}", new_key()));
        make(&path, false).with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(Folder { path, temporary: true })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// The database in it.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("angarium.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed is in the system's own folder for such things.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes a folder for our user alone: keys will stand in it.
fn make(path: &Path, may_exist: bool) -> io::Result<()> {
    DirBuilder::new().recursive(may_exist).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_and_a_named_one_stays() {
        let temporary = Folder::temporary().expect("a folder");
        let path = temporary.path().to_owned();
        std::fs::write(temporary.database(), "x").expect("a file");
        drop(temporary);
        assert!(!path.exists());

        let around = tempfile::tempdir().expect("a folder");
        let named = Folder::named(around.path().join("a/b")).expect("a folder");
        let path = named.path().to_owned();
        drop(named);
        assert!(path.is_dir());
    }
}

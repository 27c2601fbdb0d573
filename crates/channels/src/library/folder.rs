//! The folders that an operator gives to handles.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use angarium_domain::context::document::{DOCUMENT_BYTES_MAX, Document, MediaType, NAME_BYTES_MAX};
use angarium_domain::context::source::DOCUMENTS_MAX;
use angarium_domain::context::sync::{Reason, Trouble};
use angarium_domain::handle::Handle;

use super::{Reading, RefusedSource, Taken};

/// How many entries of folders are looked at.
const ENTRIES_MAX: usize = 20 * DOCUMENTS_MAX;
/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 16;

/// A folder that holds one for each handle.
pub(super) struct Folders {
    root: Option<PathBuf>,
}

/// Whether a text is a path below a handle's folder: parts joined by `/`, none of them hidden or
/// leading upwards. The empty path is the handle's folder itself.
pub fn check_path(path: &str) -> Result<(), String> {
    if path.len() > NAME_BYTES_MAX {
        return Err(format!("path is {} bytes, the limit is {NAME_BYTES_MAX}", path.len()));
    }
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(['\\', ':'])
            && !part.contains(char::is_control)
    };
    if path.is_empty() || path.split('/').all(is_part) {
        return Ok(());
    }
    Err("path must be names joined by /, below the handle's folder, and none of them may begin with a dot"
        .to_owned())
}

impl Folders {
    pub(super) fn new(root: Option<PathBuf>) -> Folders {
        Folders { root }
    }

    pub(super) fn check(&self, path: &str) -> Result<(), RefusedSource> {
        if self.root.is_none() {
            let reason =
                "this service reads no folders; context.folders in its settings would name where they are";
            return Err(RefusedSource { field: "kind", reason: reason.to_owned() });
        }
        check_path(path).map_err(|reason| RefusedSource { field: "path", reason })
    }

    pub(super) async fn read(&self, handle: &Handle, path: &str, taken: Taken) -> Reading {
        let missing = |message: &str| Reading::Failed(Trouble::lasting(Reason::FolderMissing, message));
        let Some(root) = &self.root else { return missing("this service reads no folders") };
        if check_path(path).is_err() {
            return missing("there is no such folder");
        }
        let (home, path) = (root.join(handle.as_str()), path.to_owned());
        // Goes when nobody waits for the documents any more, as when the service stops.
        let waiting = Arc::new(());
        let wanted = Arc::downgrade(&waiting);
        let reading = tokio::task::spawn_blocking(move || read(&home, &path, taken, wanted)).await;
        reading.unwrap_or_else(|_| {
            Reading::Failed(Trouble::passing(Reason::InternalError, "reading was cut short"))
        })
    }
}

fn read(home: &Path, path: &str, taken: Taken, wanted: Weak<()>) -> Reading {
    let opened = home.canonicalize().and_then(|home| Ok((home.join(path).canonicalize()?, home)));
    let (folder, home) = match opened {
        Ok((folder, home)) if folder.starts_with(&home) && folder.is_dir() => (folder, home),
        // Links may lead anywhere, and out of the handle's folder is nowhere.
        Ok(_) => return Reading::Failed(Trouble::lasting(Reason::FolderMissing, "there is no such folder")),
        Err(error) => return Reading::Failed(failed(&error)),
    };
    let mut walk = Walk { home, taken, entries_left: ENTRIES_MAX, wanted };
    match walk.folder(&folder, path, DEPTH_MAX) {
        Ok(()) => walk.taken.reading(),
        Err(error) => Reading::Failed(failed(&error)),
    }
}

fn failed(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::lasting(Reason::FolderMissing, "there is no such folder"),
        kind => Trouble::lasting(Reason::Unreadable, format!("the folder cannot be read: {kind}")),
    }
}

struct Walk {
    home: PathBuf,
    taken: Taken,
    entries_left: usize,
    /// Without an owner once nobody waits.
    wanted: Weak<()>,
}

impl Walk {
    /// Reads a folder and those in it, by name, so that the same files are always the same documents.
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            if self.entries_left == 0 {
                let message = format!("more than {ENTRIES_MAX} files and folders, which is the limit");
                self.taken.add(name, Err((Reason::TooLarge, message)));
                break;
            }
            self.entries_left -= 1;
            entries.push(entry?);
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.wanted.strong_count() == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Ok(own) = entry.file_name().into_string() else { continue };
            if own.starts_with('.') {
                continue;
            }
            let name = if name.is_empty() { own } else { format!("{name}/{own}") };
            // Links are not followed: what they lead to may be anybody's.
            let kind = entry.file_type()?;
            if kind.is_file() {
                self.file(&entry.path(), &name);
            } else if kind.is_dir() && depth > 0 {
                self.folder(&entry.path(), &name, depth - 1)?;
            } else if kind.is_dir() {
                let message = format!("more than {DEPTH_MAX} folders in each other, which is the limit");
                self.taken.add(&name, Err((Reason::TooLarge, message)));
            }
        }
        Ok(())
    }

    /// Files that are no documents are nothing to tell of.
    fn file(&mut self, path: &Path, name: &str) {
        let Some(media_type) = MediaType::of_file_name(name) else { return };
        if self.taken.leaves_out(name) {
            return;
        }
        let document = self
            .bytes(path)
            .map_err(|error| (Reason::Unreadable, format!("the file cannot be read: {}", error.kind())))
            .and_then(|bytes| Document::read(name, media_type, &bytes));
        self.taken.add(name, document);
    }

    fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = fs::File::open(path)?;
        // A folder on the way may have become a link since it was listed.
        if !path.canonicalize()?.starts_with(&self.home) || !file.metadata()?.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut bytes = Vec::new();
        // One more than allowed, by which too much is known.
        file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use angarium_domain::context::source::TextRoom;

    use super::*;

    #[test]
    fn a_path_stays_below_its_folder() {
        for good in ["", "docs", "docs/guides v2", "a/b/c"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["/etc", "..", "a/../b", "a//b", ".git", "a/.ssh", "c:\\x", "a\0b", "a/"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
    fn write(folder: &Path, name: &str, text: &str) {
        fs::write(folder.join(name), text).expect("it writes");
    }

    #[test]
    fn once_the_source_is_full_nothing_more_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = "word ".repeat(DOCUMENT_BYTES_MAX / 5);
        for number in 0..5 {
            write(folder.path(), &format!("{number}.md"), &large);
        }
        // Would be told of as unreadable text, if it were read.
        fs::write(folder.path().join("9.md"), b"\xff").expect("it writes");
        let waiting = Arc::new(());
        let Reading::Documents(read) =
            read(folder.path(), "", Taken::new(TextRoom::OfSource), Arc::downgrade(&waiting))
        else {
            panic!("there are documents")
        };
        assert_eq!(read.documents.len(), 4);
        let skipped: Vec<_> = read.skipped.iter().map(|(name, reason, _)| (name.as_str(), *reason)).collect();
        assert_eq!(skipped, [("4.md", Reason::TooLarge), ("9.md", Reason::TooLarge)]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "a.md", "text");
        let Reading::Failed(trouble) = read(folder.path(), "", Taken::new(TextRoom::OfSource), Weak::new())
        else {
            panic!("it was read")
        };
        assert_eq!(trouble.reason, Reason::Unreadable);
    }
}

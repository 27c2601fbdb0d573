//! The files of voice notes, on the local disk.
//!
//! A file has the name of its note, and never one that a caller chose. It is there whole, on stable storage, or not at
//! all: it is written under another name, and gets its own when everything is written. What is here and belongs to
//! no note is found by comparing [`Blobs::names`] with [`crate::VoiceNotes::holding_files`].

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use angarium_domain::ids::{Kind, VoiceNoteId, VoiceNoteKind};
use bytes::Bytes;

/// The ending of a file that is not whole yet.
const DRAFT: &str = "part";
/// The file that says whose the folder is.
const MARK: &str = ".store";
/// The folder of what no note holds, with a folder for each day.
const AWAY: &str = ".away";
/// How much of an upload is in memory before it is written.
const BUFFER_BYTES: usize = 64 * 1024;

/// The folder with the files. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    /// None for a place that holds nothing.
    folder: Option<Arc<Path>>,
    /// Which files are being written: shared, because every upload is a request of its own.
    drafts: Arc<Mutex<HashSet<VoiceNoteId>>>,
}

/// Why a file was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is there already, and is not replaced.
    #[error("the file is there already")]
    Taken,
    /// Somebody is writing it.
    #[error("the file is being written")]
    Busy,
    /// The disk says no.
    #[error("the file cannot be written or read")]
    Io(#[from] io::Error),
}

/// A file that is being written. Dropped without [`Draft::keep`], it leaves nothing.
pub struct Draft {
    /// None only while a piece is on its way to the disk, or once it is kept.
    file: Option<File>,
    buffer: Vec<u8>,
    paths: Paths,
    _claim: Claim,
}

/// A file that is whole.
#[derive(Clone)]
pub struct Blob {
    file: Arc<File>,
    bytes: u64,
}

#[derive(Clone)]
struct Paths {
    folder: Arc<Path>,
    whole: PathBuf,
    draft: PathBuf,
}

/// The right to write a file, as long as it lives.
struct Claim {
    drafts: Arc<Mutex<HashSet<VoiceNoteId>>>,
    id: VoiceNoteId,
}

impl Blobs {
    /// Files in a folder, which is made when the first one is written.
    pub fn at(folder: &Path) -> Blobs {
        Blobs { folder: Some(folder.into()), drafts: Arc::default() }
    }

    /// A place that holds nothing and takes nothing: for whoever runs an engine without files.
    pub fn none() -> Blobs {
        Blobs { folder: None, drafts: Arc::default() }
    }

    /// Begins to write the file of a note.
    ///
    /// # Errors
    ///
    /// [`BlobError::Taken`] if it is there; [`BlobError::Busy`] if it is being written.
    pub async fn begin(&self, id: VoiceNoteId) -> Result<Draft, BlobError> {
        let claim = self.claim(id)?;
        let paths = self.paths(id)?;
        blocking(move || {
            DirBuilder::new().recursive(true).mode(0o700).create(&paths.folder)?;
            if paths.whole.exists() {
                return Err(BlobError::Taken);
            }
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600).open(&paths.draft)?;
            Ok(Draft { file: Some(file), buffer: Vec::new(), paths, _claim: claim })
        })
        .await
    }

    /// Says whose the folder is, if nobody has said so. Answers whether it is that store's: another one knows nothing
    /// of the files here.
    pub async fn claim_for(&self, mark: &str) -> Result<bool, BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(true) };
        let mark = mark.to_owned();
        blocking(move || {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            // Two stores that begin at once write drafts of their own.
            let (path, draft) = (folder.join(MARK), folder.join(format!("{MARK}.{mark}.{DRAFT}")));
            if path.exists() {
                // Of a process that ended between the two names of its mark.
                gone(fs::remove_file(&draft))?;
                return Ok(fs::read(&path)? == mark.as_bytes());
            }
            // It gets its name when it is whole: a mark that was cut short would be another store's for ever.
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(mark.as_bytes())?;
            file.sync_all()?;
            match fs::hard_link(&draft, &path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
                _ => gone(fs::remove_file(&draft))?,
            }
            File::open(&folder)?.sync_all()?;
            Ok(fs::read(&path)? == mark.as_bytes())
        })
        .await
    }

    /// The whole file of a note, if it is there. One that was put away is put back: somebody holds it after all.
    pub async fn open(&self, id: VoiceNoteId) -> Result<Option<Blob>, BlobError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let paths = Paths::of(folder, id);
        blocking(move || {
            let file = match File::open(&paths.whole) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && paths.put_back()? => {
                    File::open(&paths.whole)
                }
                opened => opened,
            };
            match file {
                Ok(file) => Ok(Some(Blob { bytes: file.metadata()?.len(), file: Arc::new(file) })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Puts the file of a note that does not hold it away, under the day of today: a store that was restored from an
    /// older copy does not know yet what it will be asked for.
    pub async fn put_away(&self, id: VoiceNoteId, day: u32) -> Result<(), BlobError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let paths = Paths::of(folder, id);
        blocking(move || {
            let away = paths.folder.join(AWAY).join(day.to_string());
            DirBuilder::new().recursive(true).mode(0o700).create(&away)?;
            Ok(gone(fs::rename(&paths.whole, away.join(id.digits())))?)
        })
        .await
    }

    /// Removes what was put away before a day.
    pub async fn remove_put_away(&self, before: u32) -> Result<(), BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        blocking(move || {
            for (path, day) in days_away(&folder)? {
                if day < before {
                    gone(fs::remove_dir_all(path))?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Removes the file of a note, if it is there.
    pub async fn remove(&self, id: VoiceNoteId) -> Result<(), BlobError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let paths = Paths::of(folder, id);
        blocking(move || Ok(gone(fs::remove_file(&paths.whole))?)).await
    }

    /// The notes that have a whole file here, in no order.
    pub async fn names(&self) -> Result<Vec<VoiceNoteId>, BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(Vec::new()) };
        blocking(move || Ok(entries(&folder)?.iter().filter_map(|path| id_of(path)).collect())).await
    }

    /// Removes what a process before us did not write to its end. To be called before anything is written.
    pub async fn remove_drafts(&self) -> Result<(), BlobError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        blocking(move || {
            let drafts = entries(&folder)?;
            let is_draft = |path: &&PathBuf| {
                path.extension().is_some_and(|ending| ending == DRAFT)
                    && id_of(&path.with_extension("")).is_some()
            };
            let drafts = drafts.iter().filter(is_draft);
            drafts.map(fs::remove_file).try_for_each(gone).map_err(BlobError::from)
        })
        .await
    }

    fn paths(&self, id: VoiceNoteId) -> Result<Paths, BlobError> {
        let folder = self.folder.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        Ok(Paths::of(folder, id))
    }

    fn claim(&self, id: VoiceNoteId) -> Result<Claim, BlobError> {
        let mut drafts = self.drafts.lock().unwrap_or_else(PoisonError::into_inner);
        if drafts.insert(id) { Ok(Claim { drafts: self.drafts.clone(), id }) } else { Err(BlobError::Busy) }
    }
}

impl Draft {
    /// Adds a piece.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() >= BUFFER_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Puts the file on stable storage under its name.
    ///
    /// # Errors
    ///
    /// [`BlobError::Taken`] if there is one by now.
    pub async fn keep(mut self) -> Result<(), BlobError> {
        self.flush().await?;
        // The draft goes along: nobody else may begin until this has ended, whoever waits for it or does not.
        blocking(move || {
            let file = self.file.take().expect("a flush puts it back");
            let paths = &self.paths;
            file.sync_all()?;
            // A link, unlike a rename, replaces nothing.
            fs::hard_link(&paths.draft, &paths.whole).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => BlobError::Taken,
                _ => error.into(),
            })?;
            fs::remove_file(&paths.draft)?;
            File::open(&paths.folder)?.sync_all()?;
            Ok(())
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let mut file = self.file.take().ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        let buffer = std::mem::take(&mut self.buffer);
        self.file = Some(
            blocking(move || {
                file.write_all(&buffer)?;
                Ok::<File, BlobError>(file)
            })
            .await?,
        );
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // There is none if it was kept. What cannot be removed now is removed at the next start.
        let _ = fs::remove_file(&self.paths.draft);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Blob {
    /// How large it is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A piece of it: as many bytes as there are from `at` on, at most `bytes_max`.
    pub async fn piece(&self, at: u64, bytes_max: usize) -> io::Result<Bytes> {
        let file = self.file.clone();
        let length = self.bytes.saturating_sub(at).min(bytes_max as u64) as usize;
        blocking(move || {
            let mut piece = vec![0; length];
            file.read_exact_at(&mut piece, at)?;
            Ok(Bytes::from(piece))
        })
        .await
    }
}

impl Paths {
    fn of(folder: &Arc<Path>, id: VoiceNoteId) -> Paths {
        let whole = folder.join(id.digits());
        Paths { folder: folder.clone(), draft: whole.with_extension(DRAFT), whole }
    }

    /// Whether the file was put away, and is back.
    fn put_back(&self) -> io::Result<bool> {
        let name = self.whole.file_name().expect("it ends with the id");
        for (path, _) in days_away(&self.folder)? {
            match fs::rename(path.join(name), &self.whole) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => return renamed.map(|()| true),
            }
        }
        Ok(false)
    }
}

/// The note whose whole file has this path.
fn id_of(path: &Path) -> Option<VoiceNoteId> {
    let digits = path.file_name()?.to_str()?;
    format!("{}_{digits}", VoiceNoteKind::PREFIX).parse().ok()
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The folders of what was put away, with their days.
fn days_away(folder: &Path) -> io::Result<Vec<(PathBuf, u32)>> {
    let days = entries(&folder.join(AWAY))?.into_iter();
    let days = days.filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path)));
    Ok(days.map(|(day, path)| (path, day)).collect())
}

/// What was to be removed and is not there is removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Has a thread that may wait for the disk do something.
async fn blocking<T, E, F>(work: F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
    F: FnOnce() -> Result<T, E> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use angarium_domain::time::Timestamp;
    use tempfile::TempDir;

    use super::*;

    fn id(n: u8) -> VoiceNoteId {
        VoiceNoteId::new(Timestamp::from_seconds(1_700_000_000), [n; 10])
    }

    fn folder() -> (TempDir, Blobs) {
        let kept = TempDir::new().expect("a folder");
        let blobs = Blobs::at(&kept.path().join("notes"));
        (kept, blobs)
    }

    async fn written(blobs: &Blobs, id: VoiceNoteId, pieces: &[&[u8]]) {
        let mut draft = blobs.begin(id).await.expect("a draft");
        for piece in pieces {
            draft.write(piece).await.expect("written");
        }
        draft.keep().await.expect("kept");
    }

    fn files_in(kept: &TempDir) -> usize {
        fs::read_dir(kept.path().join("notes")).map_or(0, Iterator::count)
    }

    #[tokio::test]
    async fn a_file_is_read_back_in_pieces() {
        let (_kept, blobs) = folder();
        assert!(blobs.open(id(1)).await.expect("it looks").is_none());
        let large = vec![7; BUFFER_BYTES + 3];
        written(&blobs, id(1), &[b"begin", &large, b"end"]).await;
        let blob = blobs.open(id(1)).await.expect("it opens").expect("it is there");
        assert_eq!(blob.bytes(), large.len() as u64 + 8);
        assert_eq!(blob.piece(0, 6).await.expect("read").as_ref(), b"begin\x07");
        assert_eq!(blob.piece(blob.bytes() - 3, 99).await.expect("read").as_ref(), b"end");
        assert!(blob.piece(blob.bytes(), 99).await.expect("read").is_empty());
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_not_replaced() {
        let (kept, blobs) = folder();
        written(&blobs, id(1), &[b"first"]).await;
        assert!(matches!(blobs.begin(id(1)).await, Err(BlobError::Taken)));
        let blob = blobs.open(id(1)).await.expect("it opens").expect("it is there");
        assert_eq!(blob.piece(0, 99).await.expect("read").as_ref(), b"first");
        assert_eq!(files_in(&kept), 1);
    }

    #[tokio::test]
    async fn a_file_has_one_writer_at_a_time() {
        let (_kept, blobs) = folder();
        let draft = blobs.begin(id(1)).await.expect("a draft");
        assert!(matches!(blobs.begin(id(1)).await, Err(BlobError::Busy)));
        assert!(blobs.begin(id(2)).await.is_ok());
        drop(draft);
        assert!(blobs.begin(id(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_draft_that_is_given_up_leaves_nothing() {
        let (kept, blobs) = folder();
        let mut draft = blobs.begin(id(1)).await.expect("a draft");
        draft.write(&vec![1; BUFFER_BYTES]).await.expect("written");
        assert_eq!(files_in(&kept), 1);
        assert!(blobs.open(id(1)).await.expect("it looks").is_none());
        drop(draft);
        assert_eq!(files_in(&kept), 0);
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_removed_and_whole_files_stay() {
        let (kept, blobs) = folder();
        written(&blobs, id(1), &[b"whole"]).await;
        let mut draft = blobs.begin(id(2)).await.expect("a draft");
        draft.write(&vec![1; BUFFER_BYTES]).await.expect("written");
        std::mem::forget(draft);
        assert_eq!(blobs.names().await.expect("it lists"), [id(1)]);
        let successor = Blobs::at(&kept.path().join("notes"));
        successor.remove_drafts().await.expect("removed");
        assert_eq!(files_in(&kept), 1);
        successor.remove(id(1)).await.expect("removed");
        successor.remove(id(1)).await.expect("it is gone, which is what was wanted");
        assert_eq!(files_in(&kept), 0);
    }

    #[tokio::test]
    async fn a_folder_belongs_to_the_store_that_came_first() {
        let (kept, blobs) = folder();
        assert!(blobs.claim_for("one").await.expect("it writes"));
        assert!(!blobs.claim_for("two").await.expect("it reads"));
        let successor = Blobs::at(&kept.path().join("notes"));
        assert!(successor.claim_for("one").await.expect("it reads"));
        assert!(successor.names().await.expect("it lists").is_empty());
    }

    #[tokio::test]
    async fn a_mark_that_was_cut_short_is_nobodys() {
        let (kept, blobs) = folder();
        let notes = kept.path().join("notes");
        fs::create_dir(&notes).expect("a folder");
        fs::write(notes.join(".store.one.part"), "another and a half")
            .expect("what a process before us left");
        assert!(blobs.claim_for("one").await.expect("it writes"));
        assert!(!blobs.claim_for("two").await.expect("it reads"));
        assert_eq!(fs::read_to_string(notes.join(MARK)).expect("it reads"), "one");
        assert_eq!(files_in(&kept), 1, "the mark, and nothing beside it");
        // As if the process had ended before it took the draft away.
        fs::hard_link(notes.join(MARK), notes.join(".store.one.part")).expect("a second name");
        assert!(blobs.claim_for("one").await.expect("it reads"));
        assert_eq!(files_in(&kept), 1, "the mark alone");
    }

    #[tokio::test]
    async fn what_was_put_away_comes_back_until_its_days_are_over() {
        let (_kept, blobs) = folder();
        for n in 1..=2 {
            written(&blobs, id(n), &[b"whole"]).await;
            blobs.put_away(id(n), 10 + u32::from(n)).await.expect("it moves");
        }
        blobs.put_away(id(3), 12).await.expect("it is not there, which is what was wanted");
        assert!(blobs.names().await.expect("it lists").is_empty());
        blobs.remove_put_away(12).await.expect("it removes");
        assert!(blobs.open(id(1)).await.expect("it looks").is_none());
        assert_eq!(blobs.open(id(2)).await.expect("it looks").expect("it is back").bytes(), 5);
        assert_eq!(blobs.names().await.expect("it lists"), [id(2)]);
    }

    #[tokio::test]
    async fn drafts_of_others_stay() {
        let (kept, blobs) = folder();
        written(&blobs, id(1), &[b"whole"]).await;
        fs::write(kept.path().join("notes/download.part"), b"of a browser").expect("a file");
        blobs.remove_drafts().await.expect("removed");
        assert_eq!(files_in(&kept), 2);
    }

    #[tokio::test]
    async fn a_place_that_holds_nothing_takes_nothing() {
        let blobs = Blobs::none();
        assert!(matches!(blobs.begin(id(1)).await, Err(BlobError::Io(_))));
        assert!(blobs.open(id(1)).await.expect("it looks").is_none());
        assert!(blobs.names().await.expect("it lists").is_empty());
        blobs.remove_drafts().await.expect("there are none");
    }
}

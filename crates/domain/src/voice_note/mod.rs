//! Voice notes: sound files that callers upload, and what becomes of them.
//!
//! A note is announced, its file is uploaded, its sender says so, and then the file is listened to. Whoever
//! announced it has promised its type and size; what does not keep that promise is not kept either.

mod audio;
mod link;
mod waveform;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use audio::{AudioType, Disguise, InvalidAudioType};
pub use link::{Link, LinkKey, Purpose, RefusedLink};
pub use waveform::{BAR_MAX, BARS, Peaks};

use crate::handle::Handle;
use crate::ids::VoiceNoteId;
use crate::time::Timestamp;

/// The longest name of a file.
pub const FILE_NAME_CHARS_MAX: usize = 255;
/// The longest note.
pub const DURATION_MAX: Duration = Duration::from_hours(2);
/// How long an upload address is good.
pub const UPLOAD_WITHIN: Duration = Duration::from_mins(15);
/// How long after that the sender may still say that the upload is complete.
pub const COMPLETE_WITHIN: Duration = Duration::from_mins(45);
/// How long an address for reading is good.
pub const READ_WITHIN: Duration = Duration::from_mins(5);

/// One voice note of a handle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VoiceNote {
    /// Its id, which is also the name of its file. Never changes.
    pub id: VoiceNoteId,
    /// Whose it is. Never changes.
    pub handle: Handle,
    /// What its sender promised. Never changes.
    pub declared: Declared,
    /// A token's id or a JWT's subject. Never changes.
    pub created_by: String,
    /// When it was announced. Never changes.
    pub created_at: Timestamp,
    /// Where it stands. Changes by the functions below, and by nothing else.
    pub state: State,
}

/// What the sender of a note says about its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// Its type, which the upload must name too.
    pub audio_type: AudioType,
    /// Its size, at least 1.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: Option<Sha256>,
    /// How long the sender believes it to be, in milliseconds. Compared with nothing: recorders differ.
    pub duration_ms: Option<u64>,
    /// What the sender calls it. A word for people: no file ever has this name.
    pub file_name: Option<FileName>,
}

/// Where a note stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum State {
    /// Its file may be uploaded.
    #[serde(rename_all = "camelCase")]
    PendingUpload {
        /// Until when.
        upload_until: Timestamp,
        /// Until when its sender may say that it is there.
        expires_at: Timestamp,
    },
    /// Its file is there and is listened to.
    Processing {
        /// Since when.
        since: Timestamp,
    },
    /// Its file is what it was declared to be.
    Ready {
        /// Since when.
        at: Timestamp,
        /// What was heard.
        measured: Measured,
    },
    /// Its file is not, and was removed.
    Failed {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: Failure,
    },
    /// Nobody uploaded it in time, or said so.
    Expired {
        /// Since when.
        at: Timestamp,
    },
}

/// What was found out about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Its SHA-256.
    pub sha256: Sha256,
    /// How long it is, in milliseconds.
    pub duration_ms: u64,
    /// [`BARS`] bars from 0 to [`BAR_MAX`]. None for Opus, which is not decoded.
    pub waveform: Option<Vec<u8>>,
}

/// The states without what belongs to them: what a list is filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its file may be uploaded.
    PendingUpload,
    /// Its file is listened to.
    Processing,
    /// It can be played.
    Ready,
    /// Its file was refused.
    Failed,
    /// It was never uploaded.
    Expired,
}

/// Why a file was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// It has another size than it was declared with.
    SizeMismatch,
    /// It has another SHA-256 than it was declared with.
    Sha256Mismatch,
    /// It is not of the declared type.
    TypeMismatch,
    /// It is also a page, a document or an archive.
    Disguised,
    /// It has pictures or a second track beside the sound.
    NotOnlySound,
    /// It cannot be read to its end.
    Undecodable,
    /// It is longer than [`DURATION_MAX`].
    TooLong,
    /// It takes too long to listen to.
    TooSlow,
    /// It was there and is not any more.
    Lost,
    /// The storage did not give it out, for minutes.
    Unreadable,
}

/// A SHA-256, as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256([u8; 32]);

/// The text is not a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 is 64 hex digits, this text has {chars} characters")]
pub struct InvalidSha256 {
    chars: usize,
}

/// The name that a sender gives a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileName(String);

/// The text cannot be the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file name is 1 to {FILE_NAME_CHARS_MAX} characters without slashes, backslashes and control characters, and neither . nor .."
)]
pub struct InvalidFileName;

/// How much a handle may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many notes with a file, or one that may still come.
    pub notes_max: u64,
    /// How many bytes they have together.
    pub bytes_max: u64,
}

/// How much a handle keeps: what is ready or processing, and what may still be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Holdings {
    /// How many notes.
    pub notes: u64,
    /// Their bytes, as declared.
    pub bytes: u64,
}

/// A handle keeps as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// It has too many notes.
    #[error("the handle keeps {notes} voice notes, the limit is {limit}; delete some")]
    Notes {
        /// How many it has.
        notes: u64,
        /// How many it may have.
        limit: u64,
    },
    /// They are too large.
    #[error(
        "the voice notes of the handle would be {bytes} bytes together, the limit is {limit}; delete some"
    )]
    Bytes {
        /// How large they would be.
        bytes: u64,
        /// How large they may be.
        limit: u64,
    },
}

impl VoiceNote {
    /// A note that was just announced.
    pub fn announced(
        id: VoiceNoteId,
        handle: Handle,
        declared: Declared,
        created_by: String,
        now: Timestamp,
    ) -> VoiceNote {
        let upload_until = now + UPLOAD_WITHIN;
        let state = State::PendingUpload { upload_until, expires_at: upload_until + COMPLETE_WITHIN };
        VoiceNote { id, handle, declared, created_by, created_at: now, state }
    }

    /// Where it stands, in a word.
    pub fn status(&self) -> Status {
        match self.state {
            State::PendingUpload { .. } => Status::PendingUpload,
            State::Processing { .. } => Status::Processing,
            State::Ready { .. } => Status::Ready,
            State::Failed { .. } => Status::Failed,
            State::Expired { .. } => Status::Expired,
        }
    }

    /// Whether its file is there or may still come. A file whose note does not hold it is rubbish.
    pub fn holds_file(&self) -> bool {
        matches!(self.status(), Status::PendingUpload | Status::Processing | Status::Ready)
    }

    /// How many bytes of its handle's quota it takes.
    pub fn held_bytes(&self) -> u64 {
        if self.holds_file() { self.declared.size_bytes } else { 0 }
    }

    /// When it ends by itself if it is pending, or ended if it has.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::PendingUpload { expires_at, .. } => Some(*expires_at),
            State::Failed { at, .. } | State::Expired { at } => Some(*at),
            State::Processing { .. } | State::Ready { .. } => None,
        }
    }

    /// Whether its file may be uploaded now.
    pub fn takes_upload(&self, now: Timestamp) -> bool {
        matches!(self.state, State::PendingUpload { upload_until, .. } if now < upload_until)
    }

    /// The same note once its sender says that the file is there: it is listened to. None if there is nothing to begin,
    /// because that was said before or comes too late.
    pub fn complete(&self, now: Timestamp) -> Option<VoiceNote> {
        match self.state {
            State::PendingUpload { expires_at, .. } if now < expires_at => {
                Some(VoiceNote { state: State::Processing { since: now }, ..self.clone() })
            }
            State::PendingUpload { .. }
            | State::Processing { .. }
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Expired { .. } => None,
        }
    }

    /// The same note after its file was listened to.
    #[must_use]
    pub fn heard(&self, verdict: Result<Measured, Failure>, now: Timestamp) -> VoiceNote {
        let state = match verdict {
            Ok(measured) => State::Ready { at: now, measured },
            Err(reason) => State::Failed { at: now, reason },
        };
        VoiceNote { state, ..self.clone() }
    }

    /// The same note after its time, if that has passed.
    pub fn expired(&self, now: Timestamp) -> Option<VoiceNote> {
        match self.state {
            State::PendingUpload { expires_at, .. } if now >= expires_at => {
                Some(VoiceNote { state: State::Expired { at: now }, ..self.clone() })
            }
            State::PendingUpload { .. }
            | State::Processing { .. }
            | State::Ready { .. }
            | State::Failed { .. }
            | State::Expired { .. } => None,
        }
    }
}

impl Declared {
    /// Whether a file's bytes keep the promise, as far as that can be said without listening.
    ///
    /// # Errors
    ///
    /// The first promise that they break.
    pub fn judge(&self, bytes: &[u8]) -> Result<Sha256, Failure> {
        if bytes.len() as u64 != self.size_bytes {
            return Err(Failure::SizeMismatch);
        }
        let sha256 = Sha256::of(bytes);
        if self.sha256.is_some_and(|declared| declared != sha256) {
            return Err(Failure::Sha256Mismatch);
        }
        if AudioType::of_bytes(bytes) != Some(self.audio_type) {
            return Err(Failure::TypeMismatch);
        }
        match Disguise::of(bytes) {
            Some(_) => Err(Failure::Disguised),
            None => Ok(sha256),
        }
    }
}

impl Quota {
    /// Whether a handle that keeps `holdings` may keep a file of `bytes` beside.
    ///
    /// # Errors
    ///
    /// [`Full`] with what stands in the way.
    pub fn admits(self, holdings: Holdings, bytes: u64) -> Result<(), Full> {
        if holdings.notes >= self.notes_max {
            return Err(Full::Notes { notes: holdings.notes, limit: self.notes_max });
        }
        let together = holdings.bytes.saturating_add(bytes);
        if together > self.bytes_max {
            return Err(Full::Bytes { bytes: together, limit: self.bytes_max });
        }
        Ok(())
    }
}

impl Failure {
    /// The sentence for people.
    pub fn advice(self) -> &'static str {
        match self {
            Failure::SizeMismatch => "the file has another size than sizeBytes said",
            Failure::Sha256Mismatch => "the file has another SHA-256 than the one that was declared",
            Failure::TypeMismatch => "the file does not begin like a file of the declared contentType",
            Failure::Disguised => "the file is also a page, a document or an archive",
            Failure::NotOnlySound => "the file holds pictures or a second track beside the sound",
            Failure::Undecodable => "the file is damaged, or uses a codec that voice notes cannot have",
            Failure::TooLong => "the recording is longer than two hours",
            Failure::TooSlow => "the file took too long to read; record it again with usual settings",
            Failure::Lost => "the file was not found in the storage any more; send it again as a new note",
            Failure::Unreadable => "the storage did not give the file out; send it again as a new note",
        }
    }
}

impl Status {
    /// Every state.
    pub const ALL: [Status; 5] =
        [Status::PendingUpload, Status::Processing, Status::Ready, Status::Failed, Status::Expired];
}

impl Sha256 {
    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Sha256 {
        Sha256::from_digest(digest(&SHA256, bytes).as_ref())
    }

    /// The hash that was computed piece by piece.
    ///
    /// # Panics
    ///
    /// If it is not 32 bytes.
    pub fn from_digest(digest: &[u8]) -> Sha256 {
        Sha256(digest.try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Sha256, InvalidSha256> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Sha256).ok_or_else(|| InvalidSha256 { chars: text.chars().count() })
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sha256, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl FileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = InvalidFileName;

    fn from_str(text: &str) -> Result<FileName, InvalidFileName> {
        let chars = text.chars().count();
        let is_plain = |c: char| !matches!(c, '/' | '\\') && !c.is_control();
        let fits = (1..=FILE_NAME_CHARS_MAX).contains(&chars) && text.chars().all(is_plain);
        if fits && text != "." && text != ".." { Ok(FileName(text.to_owned())) } else { Err(InvalidFileName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    fn declared(bytes: &[u8]) -> Declared {
        Declared {
            audio_type: AudioType::Ogg,
            size_bytes: bytes.len() as u64,
            sha256: Some(Sha256::of(bytes)),
            duration_ms: None,
            file_name: None,
        }
    }

    fn note() -> VoiceNote {
        let id = VoiceNoteId::new(t(0), [1; 10]);
        let handle = "acme".parse().expect("a handle");
        VoiceNote::announced(id, handle, declared(b"OggS"), "tok_1".to_owned(), t(0))
    }

    fn measured() -> Measured {
        Measured { sha256: Sha256::of(b"OggS"), duration_ms: 1500, waveform: None }
    }

    #[test]
    fn an_upload_has_a_quarter_of_an_hour_and_its_sender_an_hour() {
        let note = note();
        assert!(note.takes_upload(t(899)) && !note.takes_upload(t(900)));
        assert!(note.complete(t(3599)).is_some());
        assert_eq!(note.complete(t(3600)), None);
        assert_eq!(note.expired(t(3599)), None);
        let expired = note.expired(t(3600)).expect("its time has passed");
        assert_eq!((expired.status(), expired.held_bytes()), (Status::Expired, 0));
        assert_eq!(expired.expired(t(9999)), None);
    }

    #[test]
    fn completing_twice_changes_nothing() {
        let processing = note().complete(t(5)).expect("it begins");
        assert_eq!(processing.status(), Status::Processing);
        assert!(!processing.takes_upload(t(6)));
        for settled in [
            processing.clone(),
            processing.heard(Ok(measured()), t(7)),
            processing.heard(Err(Failure::Undecodable), t(7)),
        ] {
            assert_eq!(settled.complete(t(8)), None);
            assert_eq!(settled.expired(t(9_999_999)), None);
        }
    }

    #[test]
    fn only_what_may_have_a_file_counts_against_the_quota() {
        let pending = note();
        let processing = pending.complete(t(5)).expect("it begins");
        let ready = processing.heard(Ok(measured()), t(7));
        let failed = processing.heard(Err(Failure::TooLong), t(7));
        let held = [&pending, &processing, &ready, &failed].map(VoiceNote::held_bytes);
        assert_eq!(held, [4, 4, 4, 0]);
        let quota = Quota { notes_max: 2, bytes_max: 10 };
        let holdings = |notes, bytes| Holdings { notes, bytes };
        assert_eq!(quota.admits(holdings(1, 4), 6), Ok(()));
        assert_eq!(quota.admits(holdings(1, 4), 7), Err(Full::Bytes { bytes: 11, limit: 10 }));
        assert_eq!(quota.admits(holdings(2, 0), 1), Err(Full::Notes { notes: 2, limit: 2 }));
        assert!(quota.admits(holdings(1, u64::MAX), 1).is_err());
    }

    #[test]
    fn a_file_is_held_to_what_was_declared() {
        let good = b"OggS and more".as_slice();
        assert_eq!(declared(good).judge(good), Ok(Sha256::of(good)));
        assert_eq!(declared(good).judge(b"OggS"), Err(Failure::SizeMismatch));
        assert_eq!(declared(good).judge(b"OggS and mora"), Err(Failure::Sha256Mismatch));
        let other = Declared { audio_type: AudioType::Wav, ..declared(good) };
        assert_eq!(other.judge(good), Err(Failure::TypeMismatch));
        let page = b"OggS<html>".as_slice();
        assert_eq!(declared(page).judge(page), Err(Failure::Disguised));
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["memo.m4a", "Sprachnachricht 3.ogg", "…", "a..b"] {
            assert_eq!(name.parse::<FileName>().map(|name| name.0), Ok(name.to_owned()));
        }
        let long = "x".repeat(256);
        for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a\r\nb", &long] {
            assert_eq!(name.parse::<FileName>(), Err(InvalidFileName), "{name:?}");
        }
    }

    #[test]
    fn a_note_is_stored_and_read_back() {
        let processing = note().complete(t(5)).expect("it begins");
        let ready = processing.heard(Ok(Measured { waveform: Some(vec![7; BARS]), ..measured() }), t(7));
        for note in [note(), processing.clone(), ready, processing.heard(Err(Failure::Lost), t(7))] {
            let text = serde_json::to_string(&note).expect("JSON");
            assert_eq!(serde_json::from_str::<VoiceNote>(&text).expect("a note"), note, "{text}");
        }
    }

    #[test]
    fn a_hash_is_written_in_either_case_and_has_all_of_its_digits() {
        let hash = Sha256::of(b"x");
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        for text in ["", "abc", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert!(text.parse::<Sha256>().is_err(), "{text}");
        }
    }
}

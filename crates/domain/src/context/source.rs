//! Sources: where a handle's documents come from, and how it stands with them.

use serde::{Deserialize, Serialize};

use super::document::Document;
use super::sync::{Reason, SyncFailure};
use crate::handle::Handle;
use crate::ids::SourceId;
use crate::time::Timestamp;

/// The most sources of one handle.
pub const SOURCES_MAX: usize = 50;
/// The longest name of a source, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// The most documents of one source.
pub const DOCUMENTS_MAX: usize = 1_000;
/// The most bytes of text of one source.
pub const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of text of all sources of a handle, where the operator says nothing else.
pub const HANDLE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How many of the documents that were left out are named.
pub const SKIPPED_NAMED_MAX: usize = 20;

/// How many bytes of text a sync may bring, and by whose limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRoom {
    /// [`TEXT_BYTES_MAX`].
    OfSource,
    /// What the other sources of the handle leave.
    OfHandle {
        /// So many.
        left: u64,
        /// Of so many for all of them.
        limit: u64,
    },
}

impl TextRoom {
    /// The room of a source with `own` bytes beside others with so many, at a handle that may have `limit`. What a
    /// source has it keeps, also where the handle has more than it may have by now.
    pub fn beside(others: u64, own: u64, limit: u64) -> TextRoom {
        let left = limit.saturating_sub(others).max(own);
        if left < TEXT_BYTES_MAX as u64 { TextRoom::OfHandle { left, limit } } else { TextRoom::OfSource }
    }

    /// Whether so many bytes fit.
    pub fn holds(self, bytes: usize) -> bool {
        match self {
            TextRoom::OfSource => bytes <= TEXT_BYTES_MAX,
            TextRoom::OfHandle { left, .. } => bytes as u64 <= left,
        }
    }

    /// What is said of a document that does not fit.
    pub fn refusal(self) -> String {
        match self {
            TextRoom::OfSource => {
                format!("the documents of a source have at most {TEXT_BYTES_MAX} bytes of text")
            }
            TextRoom::OfHandle { limit, .. } => {
                format!("all sources of the handle together have at most {limit} bytes of text")
            }
        }
    }
}

/// Where documents come from. Sealed at rest: headers and addresses hold credentials.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Config {
    /// One document at an address, which is asked again at every sync.
    Http {
        /// In its normal form.
        url: String,
        /// Sent with the request; names in lower case.
        headers: Vec<(String, String)>,
    },
    /// Documents that came with the source.
    Inline {
        /// At least one.
        documents: Vec<Document>,
    },
    /// The files of a folder that the operator has given to the handle.
    Folder {
        /// Below the handle's own folder; parts are joined by `/`, and none of them is `..`.
        path: String,
    },
}

/// What is changed of a configuration.
#[derive(Clone, Default)]
pub struct ConfigPatch {
    /// Of [`Config::Http`]. Headers that are not given with it are gone: they were for the other address.
    pub url: Option<String>,
    /// Of [`Config::Http`].
    pub headers: Option<Vec<(String, String)>>,
    /// Of [`Config::Inline`].
    pub documents: Option<Vec<Document>>,
    /// Of [`Config::Folder`].
    pub path: Option<String>,
}

/// The kind of source has no such field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is no field of a source of the kind {kind}", kind = kind.as_str())]
pub struct ForeignField {
    /// Which field.
    pub field: &'static str,
    /// Which kind.
    pub kind: Kind,
}

/// What kind of source it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// See [`Config::Http`].
    Http,
    /// See [`Config::Inline`].
    Inline,
    /// See [`Config::Folder`].
    Folder,
}

/// A source, without the credentials that it is asked with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Whose it is.
    pub handle: Handle,
    /// Its maker's words.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// Where it is, without a query; none if its documents came with it.
    pub location: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Grows with every write: who writes upon an old one is refused.
    pub revision: u64,
    /// The sync that is asked for or under way.
    pub run: Option<Run>,
    /// Which documents searches see: 0 for none yet. Changes when a sync succeeds.
    pub generation: u32,
    /// The last number that was given to a sync's documents.
    pub generation_last: u32,
    /// What searches see.
    pub content: Content,
    /// When a sync last succeeded.
    pub synced_at: Option<Timestamp>,
    /// Why the last sync failed; none if it succeeded.
    pub failure: Option<SyncFailure>,
    /// What the address said of its document, to ask whether there is another by now.
    pub validators: Validators,
}

/// A sync from when it is asked for until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it began; none while it waits for its turn.
    pub begun_at: Option<Timestamp>,
    /// How often the documents were asked for in vain.
    pub attempts_made: u32,
    /// When they may be asked for again.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub trouble: Option<SyncFailure>,
    /// Under which number its documents are being written; searches do not see them.
    pub filling: Option<u32>,
}

/// What there is of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// How many documents.
    pub documents: u32,
    /// How many pieces they were cut into.
    pub chunks: u32,
    /// How many bytes of text.
    pub bytes: u64,
    /// How many documents were left out.
    pub skipped: u32,
    /// The first of those, at most [`SKIPPED_NAMED_MAX`].
    pub skipped_named: Vec<Skipped>,
}

/// A document that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub document: String,
    /// Why.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

/// What an address said of its document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validators {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// How a source stands (contract 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Its first sync waits for its turn.
    Pending,
    /// A sync is under way. What was there before stays searchable meanwhile.
    Syncing,
    /// Searchable, all of it.
    Ready,
    /// Searchable, but some documents were left out.
    Preview,
    /// No sync has succeeded yet.
    Failed,
}

impl Source {
    /// How it stands. A source that has documents stays `READY` or `PREVIEW` when its next sync
    /// fails: they are searched on, and [`Source::failure`] says that they may be old.
    pub fn status(&self) -> Status {
        match &self.run {
            Some(run) if run.begun_at.is_none() && !self.is_searchable() => Status::Pending,
            Some(_) => Status::Syncing,
            None if !self.is_searchable() => Status::Failed,
            None if self.content.skipped > 0 => Status::Preview,
            None => Status::Ready,
        }
    }

    /// Whether searches see any of it.
    pub fn is_searchable(&self) -> bool {
        self.generation > 0
    }

    /// Under which number documents are being written; 0 for none.
    pub fn filling(&self) -> u32 {
        self.run.as_ref().and_then(|run| run.filling).unwrap_or(0)
    }
}

impl Config {
    /// The configuration with a change, if there is one.
    ///
    /// # Errors
    ///
    /// If the change names what is of another kind: a source stays of its kind.
    pub fn patched(self, patch: ConfigPatch) -> Result<Option<Config>, ForeignField> {
        let kind = self.kind();
        let ConfigPatch { url, headers, documents, path } = patch;
        let named = [
            ("url", url.is_some(), Kind::Http),
            ("headers", headers.is_some(), Kind::Http),
            ("documents", documents.is_some(), Kind::Inline),
            ("path", path.is_some(), Kind::Folder),
        ];
        if let Some((field, ..)) = named.iter().find(|(_, is_named, of)| *is_named && *of != kind) {
            return Err(ForeignField { field, kind });
        }
        Ok(match self {
            Config::Http { url: old, headers: kept } => match (url, headers) {
                (None, None) => None,
                (None, Some(headers)) => Some(Config::Http { url: old, headers }),
                // Whoever may change an address must not be sent what was sealed for another one.
                (Some(url), headers) => {
                    let kept = if url == old { kept } else { Vec::new() };
                    Some(Config::Http { url, headers: headers.unwrap_or(kept) })
                }
            },
            Config::Inline { .. } => documents.map(|documents| Config::Inline { documents }),
            Config::Folder { .. } => path.map(|path| Config::Folder { path }),
        })
    }

    /// What kind of source it makes.
    pub fn kind(&self) -> Kind {
        match self {
            Config::Http { .. } => Kind::Http,
            Config::Inline { .. } => Kind::Inline,
            Config::Folder { .. } => Kind::Folder,
        }
    }

    /// What may be shown of where it is. A query may hold a credential.
    pub fn location(&self) -> Option<String> {
        match self {
            Config::Http { url, .. } => Some(url.split('?').next().unwrap_or_default().to_owned()),
            Config::Inline { .. } => None,
            Config::Folder { path } => Some(path.clone()),
        }
    }
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "PENDING",
            Status::Syncing => "SYNCING",
            Status::Ready => "READY",
            Status::Preview => "PREVIEW",
            Status::Failed => "FAILED",
        }
    }
}

impl Kind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Inline => "inline",
            Kind::Folder => "folder",
        }
    }
}

impl Content {
    /// Notes that a document is left out.
    pub fn skip(&mut self, document: &str, reason: Reason, message: String) {
        self.skipped += 1;
        if self.skipped_named.len() < SKIPPED_NAMED_MAX {
            let document = document.chars().take(200).collect();
            self.skipped_named.push(Skipped { document, reason, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_own_room_or_what_the_others_leave() {
        let mebibytes = |count: u64| count * 1024 * 1024;
        let room = TextRoom::beside(mebibytes(100), 0, mebibytes(256));
        assert!(room.holds(TEXT_BYTES_MAX) && !room.holds(TEXT_BYTES_MAX + 1));
        let room = TextRoom::beside(mebibytes(250), 0, mebibytes(256));
        assert!(room.holds(mebibytes(6) as usize) && !room.holds(mebibytes(6) as usize + 1));
        assert!(room.refusal().contains("268435456"), "{}", room.refusal());
        assert!(!TextRoom::beside(mebibytes(300), 0, mebibytes(256)).holds(1));
        let kept = TextRoom::beside(mebibytes(300), 5, mebibytes(256));
        assert!(kept.holds(5) && !kept.holds(6));
    }

    fn http(url: &str, secret: Option<&str>) -> Config {
        let headers = secret.map(|secret| ("authorization".to_owned(), secret.to_owned()));
        Config::Http { url: url.to_owned(), headers: headers.into_iter().collect() }
    }

    #[track_caller]
    fn check(patch: ConfigPatch, expected: Result<Option<Config>, &str>) {
        let patched = http("https://a.example/", Some("s")).patched(patch).map_err(|foreign| foreign.field);
        assert!([patched] == [expected]);
    }

    #[test]
    fn another_address_is_not_sent_what_was_sealed_for_the_old_one() {
        let (a, b) = ("https://a.example/".to_owned(), "https://b.example/".to_owned());
        let headers = || Some(vec![("authorization".to_owned(), "t".to_owned())]);
        let none = ConfigPatch::default;
        check(none(), Ok(None));
        check(ConfigPatch { headers: headers(), ..none() }, Ok(Some(http(&a, Some("t")))));
        check(ConfigPatch { url: Some(a.clone()), ..none() }, Ok(Some(http(&a, Some("s")))));
        check(ConfigPatch { url: Some(b.clone()), ..none() }, Ok(Some(http(&b, None))));
        check(
            ConfigPatch { url: Some(b.clone()), headers: headers(), ..none() },
            Ok(Some(http(&b, Some("t")))),
        );
        check(ConfigPatch { path: Some("docs".to_owned()), ..none() }, Err("path"));
        check(ConfigPatch { documents: Some(Vec::new()), url: Some(b), ..none() }, Err("documents"));
    }
}

//! Where documents of the context store come from: addresses and folders that customers name.
//!
//! An address is asked as a receiver of webhooks is, through the same guard; a folder is one that the
//! operator has given to the handle, and nothing outside of it is read.

mod folder;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use angarium_domain::context::source::{Config, DOCUMENTS_MAX, TextRoom, Validators};
use angarium_domain::context::sync::Trouble;
use angarium_domain::context::{Document, Reason};
use angarium_domain::handle::Handle;
use async_trait::async_trait;

use crate::http::{InvalidRoots, Limits};
use crate::webhook;
use folder::Folders;
use web::Web;

pub use folder::check_path;

/// How long one document may take, from the lookup to its last byte.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// What reading a source came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// These documents.
    Documents(Documents),
    /// The document is the one that the validators were given with.
    Unchanged,
    /// None.
    Failed(Trouble),
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// At least one; at most [`DOCUMENTS_MAX`], with as much text as there was room for.
    pub documents: Vec<Document>,
    /// What was left out: its name, why, and why in words.
    pub skipped: Vec<(String, Reason, String)>,
    /// For the next time.
    pub validators: Validators,
}

/// Why a source was refused when it was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RefusedSource {
    /// Which field is at fault.
    pub field: &'static str,
    /// For whoever makes the source.
    pub reason: String,
}

/// Whoever can read sources.
#[async_trait]
pub trait Library: Send + Sync {
    /// Judges where documents shall come from, and brings it to its normal form. Every sync judges
    /// again.
    async fn check(&self, config: Config) -> Result<Config, RefusedSource>;

    /// Reads a source's documents once, as many as there is room for. Never fails: trouble is data.
    async fn read(&self, handle: &Handle, config: &Config, last: &Validators, room: TextRoom) -> Reading;
}

/// Reads over HTTP through the guard, and from the operator's folders.
pub struct OpenLibrary {
    web: Web,
    folders: Folders,
}

impl OpenLibrary {
    /// Asks by the policy and with the certificates of webhooks. `folders` holds a folder for each
    /// handle that has one, by the handle's name; none: no source may be a folder.
    pub fn new(settings: webhook::Settings, folders: Option<PathBuf>) -> Result<OpenLibrary, InvalidRoots> {
        let limits = Limits {
            // A document, its head, and what the parser reads ahead.
            answer_bytes: angarium_domain::context::document::DOCUMENT_BYTES_MAX + 256 * 1024,
            idle_per_host: 0,
            ..settings.limits.clone()
        };
        let web = Web::new(webhook::Settings { limits, ..settings })?;
        Ok(OpenLibrary { web, folders: Folders::new(folders) })
    }
}

#[async_trait]
impl Library for OpenLibrary {
    async fn check(&self, config: Config) -> Result<Config, RefusedSource> {
        match config {
            Config::Http { url, headers } => {
                let url = self.web.check(&url).await?;
                Ok(Config::Http { url, headers })
            }
            Config::Folder { path } => {
                self.folders.check(&path)?;
                Ok(Config::Folder { path })
            }
            inline @ Config::Inline { .. } => Ok(inline),
        }
    }

    async fn read(&self, handle: &Handle, config: &Config, last: &Validators, room: TextRoom) -> Reading {
        let taken = Taken::new(room);
        match config {
            Config::Http { url, headers } => self.web.read(url, headers, last, taken).await,
            Config::Inline { documents } => taken.all(documents.clone()),
            Config::Folder { path } => self.folders.read(handle, path, taken).await,
        }
    }
}

/// Documents that are taken for as long as the limits allow.
struct Taken {
    room: TextRoom,
    read: Documents,
    bytes: usize,
    /// Why no more are taken, once one was left out for want of room.
    full: Option<String>,
}

impl Taken {
    fn new(room: TextRoom) -> Taken {
        Taken { room, read: Documents::default(), bytes: 0, full: None }
    }

    /// Leaves out a document that need not be read, because the source is full. Answers whether it is.
    fn leaves_out(&mut self, name: &str) -> bool {
        let Some(message) = self.full.clone() else { return false };
        self.read.skipped.push((name.to_owned(), Reason::TooLarge, message));
        true
    }

    fn add(&mut self, name: &str, document: Result<Document, (Reason, String)>) {
        let Documents { documents, skipped, .. } = &mut self.read;
        match document {
            Ok(document) if document.text.trim().is_empty() => {
                skipped.push((name.to_owned(), Reason::Empty, "the document is empty".to_owned()));
            }
            Ok(document) => {
                if let Some(message) = no_room(self.room, documents.len(), self.bytes + document.text.len()) {
                    skipped.push((name.to_owned(), Reason::TooLarge, message.clone()));
                    self.full = Some(message);
                } else {
                    self.bytes += document.text.len();
                    documents.push(document);
                }
            }
            Err((reason, message)) => skipped.push((name.to_owned(), reason, message)),
        }
    }

    fn all(mut self, documents: Vec<Document>) -> Reading {
        for document in documents {
            let name = document.name.clone();
            self.add(&name, Ok(document));
        }
        self.reading()
    }

    fn reading(self) -> Reading {
        if !self.read.documents.is_empty() {
            return Reading::Documents(self.read);
        }
        // The first reason stands for all.
        let first = self.read.skipped.into_iter().next();
        let (_, reason, message) = first.unwrap_or_else(|| {
            (String::new(), Reason::Empty, "there is no document that can be read".to_owned())
        });
        Reading::Failed(Trouble::lasting(reason, message))
    }
}

/// Why a source with so many documents does not take another one, with which it had so many bytes.
fn no_room(room: TextRoom, documents: usize, bytes: usize) -> Option<String> {
    if documents == DOCUMENTS_MAX {
        return Some(format!("a source has at most {DOCUMENTS_MAX} documents"));
    }
    (!room.holds(bytes)).then(|| room.refusal())
}

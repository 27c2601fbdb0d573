//! What a sync does to its source: decided here, step by step.

use serde::{Deserialize, Serialize};

use super::source::{Config, Content, Run, Source, Validators};
use crate::handle::Handle;
use crate::ids::{DeliveryKind, SourceId};
use crate::outcome::Failure;
use crate::retry::RetryPolicy;
use crate::time::Timestamp;

/// How often and after which waits documents are asked for: as deliveries are by default.
pub const POLICY: RetryPolicy = RetryPolicy::Fast;

/// Why a sync failed, or why a document was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No whole answer before the deadline.
    Timeout,
    /// The name does not resolve.
    DnsError,
    /// No connection, or one that ended early.
    ConnectError,
    /// The handshake or the certificate failed.
    TlsError,
    /// What came back is not HTTP as we take it.
    ProtocolError,
    /// The egress policy refused the address.
    BlockedAddress,
    /// An answer that is neither 200 nor 304.
    HttpStatus,
    /// The address leads on to another one, which we do not follow.
    RedirectNotFollowed,
    /// A content type that we do not read.
    UnsupportedType,
    /// More than a limit allows.
    TooLarge,
    /// Not UTF-8, or not the JSON that it claims to be.
    InvalidText,
    /// Nothing that could be searched.
    Empty,
    /// The folder is not there, or the operator gives none.
    FolderMissing,
    /// A file or a folder that we may not read.
    Unreadable,
    /// Our own fault.
    InternalError,
}

/// A sync, or an attempt of one, that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncFailure {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// In words for whoever made the source; names no address behind a name.
    pub message: String,
}

/// What an attempt to read a source's documents came to, if it came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub reason: Reason,
    /// In words.
    pub message: String,
    /// Whether asking again may help.
    pub passing: bool,
    /// What the address asked for in `Retry-After`, in seconds.
    pub retry_after_seconds: Option<u64>,
}

impl Reason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Timeout => "timeout",
            Reason::DnsError => "dns_error",
            Reason::ConnectError => "connect_error",
            Reason::TlsError => "tls_error",
            Reason::ProtocolError => "protocol_error",
            Reason::BlockedAddress => "blocked_address",
            Reason::HttpStatus => "http_status",
            Reason::RedirectNotFollowed => "redirect_not_followed",
            Reason::UnsupportedType => "unsupported_type",
            Reason::TooLarge => "too_large",
            Reason::InvalidText => "invalid_text",
            Reason::Empty => "empty",
            Reason::FolderMissing => "folder_missing",
            Reason::Unreadable => "unreadable",
            Reason::InternalError => "internal_error",
        }
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Reason {
        match failure {
            Failure::Timeout => Reason::Timeout,
            Failure::DnsError => Reason::DnsError,
            Failure::ConnectError | Failure::ConnectionLost | Failure::Interrupted => Reason::ConnectError,
            Failure::TlsError => Reason::TlsError,
            Failure::ProtocolError => Reason::ProtocolError,
            Failure::BlockedAddress => Reason::BlockedAddress,
            // The last five are of mails alone.
            Failure::InternalError
            | Failure::OutcomeUnknown
            | Failure::RelayRefused
            | Failure::StaleProviderReference
            | Failure::NotConfigured
            | Failure::Suppressed => Reason::InternalError,
        }
    }
}

impl Trouble {
    /// Trouble that asking again does not mend.
    pub fn lasting(reason: Reason, message: impl Into<String>) -> Trouble {
        Trouble { reason, message: message.into(), passing: false, retry_after_seconds: None }
    }

    /// Trouble that may have passed the next time.
    pub fn passing(reason: Reason, message: impl Into<String>) -> Trouble {
        Trouble { reason, message: message.into(), passing: true, retry_after_seconds: None }
    }
}

impl Source {
    /// A new source, whose first sync is asked for.
    pub fn new(id: SourceId, handle: Handle, name: String, config: &Config, now: Timestamp) -> Source {
        Source {
            id,
            handle,
            name,
            kind: config.kind(),
            location: config.location(),
            created_at: now,
            revision: 1,
            run: Some(Run::asked_for(now)),
            generation: 0,
            generation_last: 0,
            content: Content::default(),
            synced_at: None,
            failure: None,
            validators: Validators::default(),
        }
    }

    /// Asks for a sync. None if one is asked for or under way already: whoever asks joins it.
    #[must_use]
    pub fn ask_for_sync(&self, now: Timestamp) -> Option<Source> {
        self.run.is_none().then(|| Source { run: Some(Run::asked_for(now)), ..self.next() })
    }

    /// Gives the source another name, or other documents. With other documents a sync is asked for, in the place of one
    /// that runs; what is searchable stays so until it ends.
    #[must_use]
    pub fn change(&self, name: Option<String>, config: Option<&Config>, now: Timestamp) -> Source {
        let next = Source { name: name.unwrap_or_else(|| self.name.clone()), ..self.next() };
        let Some(config) = config else { return next };
        let run = Some(Run::asked_for(now));
        Source { location: config.location(), run, validators: Validators::default(), ..next }
    }

    /// Begins an attempt to read the documents, if a sync is asked for.
    #[must_use]
    pub fn begin(&self, now: Timestamp) -> Option<Source> {
        let run = self.run.as_ref()?;
        let begun_at = run.begun_at.or(Some(now));
        Some(Source { run: Some(Run { begun_at, filling: None, ..run.clone() }), ..self.next() })
    }

    /// Gives a number to the documents that are about to be written.
    #[must_use]
    pub fn fill(&self) -> Option<Source> {
        let run = self.run.as_ref()?;
        let generation_last = self.generation_last + 1;
        let run = Run { filling: Some(generation_last), ..run.clone() };
        Some(Source { run: Some(run), generation_last, ..self.next() })
    }

    /// The sync has succeeded: from now on searches see what was written.
    #[must_use]
    pub fn succeed(&self, content: Content, validators: Validators, now: Timestamp) -> Option<Source> {
        let generation = self.run.as_ref()?.filling?;
        let ended = Source { run: None, generation, content, validators, ..self.next() };
        Some(Source { synced_at: Some(now), failure: None, ..ended })
    }

    /// The sync has succeeded: nothing has changed since the last one.
    #[must_use]
    pub fn stay(&self, now: Timestamp) -> Option<Source> {
        self.run.as_ref()?;
        Some(Source { run: None, synced_at: Some(now), failure: None, ..self.next() })
    }

    /// The documents could not be read. The sync goes on after a wait, or has failed; what was
    /// searchable stays so.
    #[must_use]
    pub fn fail(&self, trouble: &Trouble, now: Timestamp) -> Option<Source> {
        let run = self.run.as_ref()?;
        let Trouble { reason, message, passing, retry_after_seconds } = trouble;
        let failure = SyncFailure { at: now, reason: *reason, message: message.clone() };
        let attempts_made = run.attempts_made + 1;
        let asked = retry_after_seconds.map(std::time::Duration::from_secs);
        // The id only spreads the waits of many sources.
        let spread = self.id.of_kind::<DeliveryKind>();
        let delay = passing.then(|| POLICY.delay_after(attempts_made, asked, spread)).flatten();
        Some(match delay {
            Some(delay) => {
                let due_at = now + delay.total();
                let run = Run { attempts_made, due_at, trouble: Some(failure), filling: None, ..run.clone() };
                Source { run: Some(run), ..self.next() }
            }
            None => Source { run: None, failure: Some(failure), ..self.next() },
        })
    }

    fn next(&self) -> Source {
        Source { revision: self.revision + 1, ..self.clone() }
    }
}

impl Run {
    fn asked_for(now: Timestamp) -> Run {
        Run { asked_at: now, begun_at: None, attempts_made: 0, due_at: now, trouble: None, filling: None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Status;
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn source() -> Source {
        let config = Config::Http { url: "https://docs.example/guide?key=x".to_owned(), headers: vec![] };
        let id = SourceId::from_bytes([7; 16]);
        Source::new(id, "acme".parse().expect("a handle"), "docs".to_owned(), &config, NOON)
    }

    fn synced() -> Source {
        let filled = source().begin(NOON).and_then(|source| source.fill()).expect("it is asked for");
        let content = Content { documents: 1, chunks: 2, ..Content::default() };
        filled.succeed(content, Validators::default(), NOON).expect("it was filled")
    }

    #[test]
    fn a_source_is_pending_then_syncing_then_ready() {
        let new = source();
        assert_eq!((new.status(), new.is_searchable()), (Status::Pending, false));
        assert_eq!(new.location.as_deref(), Some("https://docs.example/guide"));
        assert_eq!(new.begin(NOON).expect("it is asked for").status(), Status::Syncing);
        let ready = synced();
        assert_eq!((ready.status(), ready.generation, ready.filling()), (Status::Ready, 1, 0));
        assert_eq!(ready.synced_at, Some(NOON));
    }

    #[test]
    fn whoever_asks_again_joins_the_sync_that_runs() {
        assert_eq!(source().ask_for_sync(NOON), None);
        let again = synced().ask_for_sync(NOON).expect("none runs");
        assert_eq!((again.status(), again.is_searchable()), (Status::Syncing, true));
        assert_eq!(again.ask_for_sync(NOON), None);
    }

    #[test]
    fn a_source_with_other_documents_keeps_the_old_ones_until_the_new_are_there() {
        let renamed = synced().change(Some("guides".to_owned()), None, NOON);
        assert_eq!((renamed.name.as_str(), renamed.status()), ("guides", Status::Ready));
        let config = Config::Http { url: "https://docs.example/other".to_owned(), headers: vec![] };
        let changed = renamed.change(None, Some(&config), NOON);
        assert_eq!((changed.status(), changed.is_searchable()), (Status::Syncing, true));
        assert_eq!(changed.location.as_deref(), Some("https://docs.example/other"));
        assert_eq!((changed.name.as_str(), changed.validators), ("guides", Validators::default()));
        // One that runs begins again: what it has read is of the old address.
        let filling = source().begin(NOON).and_then(|source| source.fill()).expect("it is asked for");
        let again = filling.change(None, Some(&config), NOON);
        assert_eq!((again.filling(), again.generation_last, again.revision), (0, 1, filling.revision + 1));
    }

    #[test]
    fn documents_that_were_left_out_make_a_preview() {
        let filled = source().begin(NOON).and_then(|source| source.fill()).expect("it is asked for");
        let mut content = Content { documents: 1, ..Content::default() };
        content.skip("broken.txt", Reason::InvalidText, "byte 3 is not UTF-8".to_owned());
        let preview = filled.succeed(content, Validators::default(), NOON).expect("it was filled");
        assert_eq!((preview.status(), preview.is_searchable()), (Status::Preview, true));
    }

    #[test]
    fn trouble_that_may_pass_is_tried_again_as_deliveries_are() {
        let mut source = source();
        for seconds in [5, 10, 20, 40] {
            source = source.fail(&Trouble::passing(Reason::Timeout, "late"), NOON).expect("it runs");
            let run = source.run.as_ref().expect("it goes on");
            let waits = run.due_at.since(NOON).as_millis();
            assert!((seconds * 1000..=seconds * 1100).contains(&waits), "{waits}");
            assert_eq!(run.trouble.as_ref().map(|trouble| trouble.reason), Some(Reason::Timeout));
        }
        source = source.fail(&Trouble::passing(Reason::Timeout, "late"), NOON).expect("it runs");
        assert_eq!((source.status(), source.run.is_none()), (Status::Failed, true));
        assert_eq!(source.failure.as_ref().map(|failure| failure.reason), Some(Reason::Timeout));
    }

    #[test]
    fn what_was_searchable_stays_so_when_a_sync_fails() {
        let lasting = Trouble::lasting(Reason::UnsupportedType, "image/png");
        let again = synced().ask_for_sync(NOON).and_then(|source| source.begin(NOON)).expect("none runs");
        let failed = again.fail(&lasting, NOON).expect("it runs");
        assert_eq!((failed.status(), failed.generation), (Status::Ready, 1));
        assert_eq!(failed.failure.as_ref().map(|failure| failure.reason), Some(Reason::UnsupportedType));
        let mended = failed.ask_for_sync(NOON).and_then(|source| source.stay(NOON)).expect("none runs");
        assert_eq!((mended.status(), mended.failure), (Status::Ready, None));
        let first = source().fail(&lasting, NOON).expect("it runs");
        assert_eq!((first.status(), first.is_searchable()), (Status::Failed, false));
    }

    #[test]
    fn an_attempt_that_was_cut_short_begins_under_another_number() {
        let filling = source().begin(NOON).and_then(|source| source.fill()).expect("it is asked for");
        let again = filling.begin(NOON).and_then(|source| source.fill()).expect("it still is");
        assert_eq!((filling.filling(), again.filling()), (1, 2));
        assert_eq!(again.revision, filling.revision + 2);
    }

    #[test]
    fn without_a_sync_nothing_changes() {
        let ready = synced();
        assert_eq!(ready.begin(NOON), None);
        assert_eq!(ready.fill(), None);
        assert_eq!(ready.succeed(Content::default(), Validators::default(), NOON), None);
        assert_eq!(ready.fail(&Trouble::lasting(Reason::Empty, ""), NOON), None);
    }
}

//! Random steps of the context store, for [`super::agreement`].

use std::fmt::Write as _;

use angarium_domain::context::source::{SOURCES_MAX, Source, Validators};
use angarium_domain::context::sync::{Reason, Trouble};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;

use super::context_store::{config, content_of, looking_for, new_source, pieces, source_id};
use super::fixture::{appending, event, first_page};
use crate::Store;
use crate::error::StoreError;
use crate::event_log::{Append, Beside};
use crate::write::{Context, Written};

const TEXTS: [&str; 4] = ["apple pear", "pear plum", "plum and apple", "nothing of it"];
const QUESTIONS: [&str; 3] = ["apple", "plum", "pear nothing"];

/// What is to happen, with random numbers to choose by.
pub(super) struct Shelving {
    pub(super) handle: Handle,
    /// Which of a handful of sources.
    pub(super) source: u64,
    /// What to do with it.
    pub(super) kind: u64,
    /// Which texts it gets, or which event tells of it.
    pub(super) number: u64,
    pub(super) now: Timestamp,
}

impl Shelving {
    /// One call to both stores, with the same answer.
    pub(super) async fn step(&self, reference: &dyn Store, store: &dyn Store) {
        let of_others = if self.handle.as_str() == "acme" { 0 } else { 100 };
        let id = source_id(self.source + of_others);
        let known = reference.source(&self.handle, id).await.expect("it reads");
        let Some(known) = known else {
            let new = new_source(&self.handle, self.source + of_others);
            for store in [reference, store] {
                let config = config("https://docs.example/");
                let made = store.create_source(new.clone(), config, SOURCES_MAX, Context::default()).await;
                assert!(matches!(made, Ok(Written::Done(()))));
            }
            return;
        };
        let next = self.next(&known);
        let (expected, found) = match self.kind {
            0 => (self.remove(reference, &known).await, self.remove(store, &known).await),
            1 => (self.sweep_chunks(reference).await, self.sweep_chunks(store).await),
            2..5 => (self.add(reference, &known).await, self.add(store, &known).await),
            _ => (self.write(reference, next.as_ref()).await, self.write(store, next.as_ref()).await),
        };
        assert_eq!(expected, found);
    }

    /// The next state of a source, or an old one.
    fn next(&self, known: &Source) -> Option<Source> {
        match self.kind {
            5 => known.ask_for_sync(self.now).or_else(|| known.begin(self.now)),
            6 | 7 => known.fill(),
            8 | 9 => known.succeed(content_of(self.number as usize % 3), Validators::default(), self.now),
            10 => known.fail(&Trouble::lasting(Reason::Empty, "nothing"), self.now),
            _ => known.begin(self.now).map(|next| Source { revision: known.revision, ..next }),
        }
    }

    async fn write(&self, store: &dyn Store, next: Option<&Source>) -> String {
        let Some(next) = next else { return "nothing".to_owned() };
        if self.kind.is_multiple_of(2) {
            return told(store.move_source(next.clone(), Context::default()).await.map(drop));
        }
        let beside = vec![Beside::Source(Box::new(next.clone()))];
        let notice = event(&self.handle, self.number);
        told(store.append(Append { beside, ..appending(vec![notice], vec![]) }).await.map(drop))
    }

    async fn remove(&self, store: &dyn Store, known: &Source) -> String {
        told(store.remove_source(&self.handle, known.id, Context::default()).await.map(drop))
    }

    async fn add(&self, store: &dyn Store, known: &Source) -> String {
        let first = self.number as usize % TEXTS.len();
        told(store.add_chunks(known, pieces(&TEXTS[first..])).await)
    }

    async fn sweep_chunks(&self, store: &dyn Store) -> String {
        let mut batches = 0;
        while store.sweep_chunks(3).await.expect("it sweeps") {
            batches += 1;
            assert!(batches < 1_000, "it comes to an end");
        }
        "swept".to_owned()
    }
}

fn told(result: Result<(), StoreError>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "done".to_owned())
}

/// What can be seen of a handle's sources. Stores may tell pieces of the same worth apart differently.
pub(super) async fn visible_sources(store: &dyn Store, handle: &Handle) -> String {
    let sources = store.sources(handle, first_page(100)).await.expect("it reads").items;
    let mut text = format!("{sources:?}\n");
    for question in QUESTIONS {
        let found = store.search_chunks(handle, looking_for(question)).await.expect("it searches");
        let mut found: Vec<String> = found.iter().map(|found| format!("{found:?}")).collect();
        found.sort();
        writeln!(text, "{question}: {found:?}").expect("text takes any text");
    }
    let syncing = store.syncing_sources().await.expect("it reads");
    let syncing: Vec<_> = syncing.iter().map(|source| source.id).collect();
    writeln!(text, "{syncing:?}").expect("text takes any text");
    text
}

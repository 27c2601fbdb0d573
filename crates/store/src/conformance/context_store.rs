//! Promises of the context store.

use angarium_domain::context::document::Document;
use angarium_domain::context::search::Query;
use angarium_domain::context::source::{Content, SOURCES_MAX, Validators};
use angarium_domain::context::{Chunk, Config, Source};
use angarium_domain::handle::Handle;
use angarium_domain::ids::SourceId;

use super::fixture::{acme, appending, at, beta, event, first_page, is_conflict, is_seen, under_key};
use crate::Store;
use crate::context_store::{Found, Search};
use crate::event_log::{Append, Beside, EventFilter};
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

/// Source number `n`; later numbers are later ids.
pub(super) fn source_id(n: u64) -> SourceId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    SourceId::from_bytes(bytes)
}

pub(super) fn config(url: &str) -> Config {
    let headers = vec![("authorization".to_owned(), "Bearer secret".to_owned())];
    Config::Http { url: url.to_owned(), headers }
}

pub(crate) fn new_source(handle: &Handle, n: u64) -> Source {
    let config = config("https://docs.example/guide?key=hidden");
    Source::new(source_id(n), handle.clone(), format!("source {n}"), &config, at(n as i64))
}

pub(super) fn pieces(texts: &[&str]) -> Vec<Chunk> {
    let pieces = texts.iter().enumerate().map(|(at, text)| {
        let title = format!("Title {at}");
        Chunk { document: format!("doc{at}"), title, place: at as u32, text: (*text).to_owned() }
    });
    pieces.collect()
}

pub(crate) async fn create(store: &dyn Store, source: &Source) {
    let config = config("https://docs.example/guide?key=hidden");
    let made = store.create_source(source.clone(), config, SOURCES_MAX, Context::default()).await;
    assert!(matches!(made, Ok(Written::Done(()))));
}

async fn put(store: &dyn Store, source: Source) -> Source {
    let moved = store.move_source(source.clone(), Context::default()).await;
    assert!(matches!(moved, Ok(Written::Done(()))));
    source
}

pub(super) fn content_of(chunks: usize) -> Content {
    Content { documents: 1, chunks: chunks as u32, ..Content::default() }
}

/// Brings a source as far as having pieces written that nobody sees yet.
async fn filled(store: &dyn Store, source: &Source, texts: &[&str]) -> Source {
    let begun = put(store, source.begin(at(100)).expect("a sync is asked for")).await;
    let filling = put(store, begun.fill().expect("it has begun")).await;
    store.add_chunks(&filling, pieces(texts)).await.expect("it fills");
    filling
}

/// Brings a source as far as having pieces that searches see.
pub(crate) async fn synced(store: &dyn Store, source: &Source, texts: &[&str]) -> Source {
    let filling = filled(store, source, texts).await;
    let ended = filling.succeed(content_of(texts.len()), Validators::default(), at(101));
    put(store, ended.expect("it fills")).await
}

pub(crate) fn looking_for(text: &str) -> Search {
    Search { query: Query::parse(text), source: None, skip: 0, limit: 100 }
}

async fn texts_found(store: &dyn Store, handle: &Handle, text: &str) -> Vec<String> {
    let found = store.search_chunks(handle, looking_for(text)).await.expect("it searches");
    found.into_iter().map(|found| found.chunk.text).collect()
}

/// A source comes back as it was written, with its configuration, to its own handle.
pub async fn a_source_is_read_back_by_its_own_handle(store: &dyn Store) {
    let source = new_source(&acme(), 1);
    create(store, &source).await;
    assert_eq!(store.source(&acme(), source.id).await.expect("it reads"), Some(source.clone()));
    let read = store.source_config(&acme(), source.id).await.expect("it reads");
    assert!(read == Some(config("https://docs.example/guide?key=hidden")));
    assert_eq!(store.source(&beta(), source.id).await.expect("it reads"), None);
    assert!(store.source_config(&beta(), source.id).await.expect("it reads").is_none());
    assert!(store.sources(&beta(), first_page(10)).await.expect("it reads").items.is_empty());
    let inline = Config::Inline { documents: vec![Document::new("a", "A", "text".to_owned())] };
    let other = Source::new(source_id(2), acme(), "inline".to_owned(), &inline, at(2));
    let made = store.create_source(other.clone(), inline.clone(), 2, under_key("source", at(1))).await;
    assert!(matches!(made, Ok(Written::Done(()))));
    assert!(store.source_config(&acme(), other.id).await.expect("it reads") == Some(inline.clone()));

    let again =
        store.create_source(new_source(&acme(), 3), inline.clone(), 2, under_key("source", at(1))).await;
    assert!(is_seen(again, "source", at(1)));
    let third = store.create_source(new_source(&acme(), 3), inline.clone(), 2, Context::default()).await;
    assert!(is_conflict(&third));
    let taken = store.create_source(source, inline, 9, Context::default()).await;
    assert!(is_conflict(&taken));
}

/// Newest first, each handle its own, whatever comes in between.
pub async fn pages_of_sources_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    for n in 1..=7 {
        let handle = if n == 4 { beta() } else { acme() };
        create(store, &new_source(&handle, n)).await;
    }
    let mut seen = Vec::new();
    let mut page = first_page(2);
    loop {
        let Page { items, next } = store.sources(&acme(), page).await.expect("it reads");
        seen.extend(items.iter().map(|source| source.id));
        create(store, &new_source(&acme(), 100 + seen.len() as u64)).await;
        let Some(before) = next else { break };
        page = PageRequest { before: Some(before), limit: 2 };
    }
    assert_eq!(seen, [7, 6, 5, 3, 2, 1].map(source_id));
}

/// Two who decide upon the same revision: one of them decides again.
pub async fn a_source_is_written_upon_its_last_revision_only(store: &dyn Store) {
    let source = new_source(&acme(), 1);
    create(store, &source).await;
    let (one, other) = (source.begin(at(2)).expect("asked for"), source.begin(at(3)).expect("asked for"));
    put(store, one.clone()).await;
    assert!(is_conflict(&store.move_source(other, Context::default()).await));
    assert_eq!(store.source(&acme(), source.id).await.expect("it reads"), Some(one));
    let unknown = new_source(&acme(), 9).begin(at(2)).expect("asked for");
    assert!(is_conflict(&store.move_source(unknown, Context::default()).await));
    let of_another = new_source(&beta(), 1).begin(at(2)).expect("asked for").begin(at(3)).expect("asked for");
    assert!(is_conflict(&store.move_source(of_another, Context::default()).await));
}

/// After a restart, every handle's syncs go on.
pub async fn syncing_sources_of_all_handles_are_listed(store: &dyn Store) {
    let (mine, theirs) = (new_source(&acme(), 1), new_source(&beta(), 2));
    create(store, &mine).await;
    create(store, &theirs).await;
    create(store, &new_source(&acme(), 3)).await;
    synced(store, &new_source(&acme(), 3), &["done"]).await;
    let mut syncing = store.syncing_sources().await.expect("it reads");
    syncing.sort_by_key(|source| source.id);
    assert_eq!(syncing, [mine, theirs]);
}

/// A search sees the old pieces until the new ones are whole, and then those alone.
pub async fn a_search_sees_all_of_a_sync_or_nothing(store: &dyn Store) {
    let source = new_source(&acme(), 1);
    create(store, &source).await;
    let filling = filled(store, &source, &["old apple", "old pear"]).await;
    assert!(texts_found(store, &acme(), "old").await.is_empty());
    let ended = filling.succeed(content_of(2), Validators::default(), at(3)).expect("it fills");
    let ready = put(store, ended).await;
    assert_eq!(texts_found(store, &acme(), "apple").await, ["old apple"]);

    let again = put(store, ready.ask_for_sync(at(4)).expect("none runs")).await;
    let filling = filled(store, &again, &["new apple"]).await;
    assert_eq!(texts_found(store, &acme(), "apple").await, ["old apple"]);
    while store.sweep_chunks(1).await.expect("it sweeps") {}
    assert_eq!(texts_found(store, &acme(), "apple").await, ["old apple"]);
    store.add_chunks(&filling, pieces(&["new pear"])).await.expect("it fills");
    put(store, filling.succeed(content_of(2), Validators::default(), at(5)).expect("it fills")).await;
    assert_eq!(texts_found(store, &acme(), "apple").await, ["new apple"]);
    assert!(texts_found(store, &acme(), "old").await.is_empty());
    assert!(store.sweep_chunks(1).await.expect("it sweeps"), "one piece at a time");
    while store.sweep_chunks(1).await.expect("it sweeps") {}
    assert_eq!(texts_found(store, &acme(), "new").await.len(), 2);
}

/// Whoever was overtaken adds nothing to what somebody else fills.
pub async fn pieces_of_a_sync_that_was_overtaken_are_refused(store: &dyn Store) {
    let source = new_source(&acme(), 1);
    create(store, &source).await;
    let first = filled(store, &source, &["lost"]).await;
    let begun = put(store, first.begin(at(4)).expect("it runs")).await;
    assert!(is_conflict(&store.add_chunks(&first, pieces(&["lost"])).await));
    assert!(is_conflict(&store.add_chunks(&begun, pieces(&["lost"])).await));
    let second = put(store, begun.fill().expect("it runs")).await;
    assert_eq!((first.filling(), second.filling()), (1, 2));
    assert!(is_conflict(&store.add_chunks(&first, pieces(&["lost"])).await));
    store.add_chunks(&second, pieces(&["kept"])).await.expect("it fills");
    put(store, second.succeed(content_of(1), Validators::default(), at(5)).expect("it fills")).await;
    assert_eq!(texts_found(store, &acme(), "lost kept").await, ["kept"]);
    while store.sweep_chunks(10).await.expect("it sweeps") {}
    assert_eq!(texts_found(store, &acme(), "lost kept").await, ["kept"]);
}

/// A removed source is found by nobody from that moment on.
pub async fn a_removed_source_is_not_found(store: &dyn Store) {
    for n in 1..=2 {
        create(store, &new_source(&acme(), n)).await;
        synced(store, &new_source(&acme(), n), &["apple"]).await;
    }
    let filling = store.source(&acme(), source_id(1)).await.expect("it reads").expect("it is there");
    assert!(is_conflict(&store.remove_source(&beta(), source_id(1), Context::default()).await));
    let removed = store.remove_source(&acme(), source_id(1), under_key("source", at(1))).await;
    assert!(matches!(removed, Ok(Written::Done(()))));
    assert!(is_conflict(&store.remove_source(&acme(), source_id(1), Context::default()).await));
    assert!(is_seen(
        store.remove_source(&acme(), source_id(1), under_key("source", at(1))).await,
        "source",
        at(1)
    ));
    assert!(store.add_chunks(&filling, pieces(&["late"])).await.is_err());
    let found = store.search_chunks(&acme(), looking_for("apple late")).await.expect("it searches");
    assert_eq!(found.iter().map(|found| found.source).collect::<Vec<_>>(), [source_id(2)]);
    while store.sweep_chunks(1).await.expect("it sweeps") {}
    assert_eq!(texts_found(store, &acme(), "apple").await, ["apple"]);
}

/// Everybody finds their own, and a question is nothing but its words.
pub async fn a_search_finds_words_of_its_own_handle_only(store: &dyn Store) {
    let (mine, theirs) = (new_source(&acme(), 1), new_source(&beta(), 2));
    create(store, &mine).await;
    create(store, &theirs).await;
    synced(store, &mine, &["Rotate the signing SECRET", "größer als 漢字", "near or not and"]).await;
    synced(store, &theirs, &["another secret"]).await;
    let found = async |text: &str| texts_found(store, &acme(), text).await;
    assert_eq!(found("secret").await, ["Rotate the signing SECRET"]);
    assert_eq!(found("GRÖSSER größer").await, ["größer als 漢字"]);
    assert_eq!(found("字").await, ["größer als 漢字"]);
    assert_eq!(found("NOT").await, ["near or not and"]);
    assert!(found("secre").await.is_empty());
    // The title is searched with the text.
    assert_eq!(found("title").await.len(), 3);
    for odd in [
        "",
        "\"",
        "owner:secret",
        "\"secret\" OR",
        "secret*",
        "words : (",
        "^secret",
        "- -",
        "'; DROP",
        "\u{0}",
    ] {
        let expected = usize::from(odd.contains("secret")) + usize::from(odd.contains("OR"));
        assert_eq!(found(odd).await.len(), expected, "{odd:?}");
    }
    assert_eq!(texts_found(store, &beta(), "secret rotate").await, ["another secret"]);
    let only = Search { source: Some(source_id(2)), ..looking_for("secret") };
    assert!(store.search_chunks(&acme(), only).await.expect("it searches").is_empty());
}

/// More words before fewer, rare ones before common ones, short pieces before long ones; page by page.
pub async fn the_best_pieces_are_found_first(store: &dyn Store) {
    let source = new_source(&acme(), 1);
    create(store, &source).await;
    let long = format!("webhook {}", "filler ".repeat(200));
    let texts = [
        "webhook",
        &long,
        "webhook secret",
        "filler",
        "other",
        "another thing",
        "one more",
        "and yet another",
    ];
    synced(store, &source, &texts).await;
    let found = texts_found(store, &acme(), "webhook secret").await;
    assert_eq!(found, ["webhook secret", "webhook", &long]);
    let mut paged = Vec::new();
    for skip in 0..4 {
        let page = Search { skip, limit: 1, ..looking_for("webhook secret") };
        let found: Vec<Found> = store.search_chunks(&acme(), page).await.expect("it searches");
        paged.extend(found.into_iter().map(|found| found.chunk.text));
    }
    assert_eq!(paged, found);
}

/// A source and the events that tell of it are written together, or neither is.
pub async fn a_source_changes_with_the_events_that_tell_of_it(store: &dyn Store) {
    let source = new_source(&acme(), 1);
    create(store, &source).await;
    let filling = filled(store, &source, &["apple"]).await;
    let ended = filling.succeed(content_of(1), Validators::default(), at(3)).expect("it fills");
    let telling = |source: &Source| Append {
        beside: vec![Beside::Source(Box::new(source.clone()))],
        ..appending(vec![event(&acme(), 1)], vec![])
    };
    let stale = Source { revision: ended.revision + 1, ..ended.clone() };
    assert!(is_conflict(&store.append(telling(&stale)).await));
    let page = store.events(&acme(), EventFilter::default(), first_page(10)).await.expect("it reads");
    assert!(page.items.is_empty() && texts_found(store, &acme(), "apple").await.is_empty());
    assert!(matches!(store.append(telling(&ended)).await, Ok(Written::Done(()))));
    assert_eq!(store.source(&acme(), source.id).await.expect("it reads"), Some(ended.clone()));
    assert_eq!(texts_found(store, &acme(), "apple").await, ["apple"]);
    assert!(is_conflict(&store.append(telling(&ended)).await));
}

/// Of a cleared handle no source is left and no piece; others lose nothing.
pub async fn a_cleared_handle_leaves_no_sources(store: &dyn Store) {
    for n in 1..=3 {
        create(store, &new_source(&acme(), n)).await;
        synced(store, &new_source(&acme(), n), &["apple", "pear", "plum"]).await;
    }
    create(store, &new_source(&beta(), 9)).await;
    synced(store, &new_source(&beta(), 9), &["apple"]).await;
    let mut batches = 0;
    while store.clear(&acme(), 2).await.expect("it clears") > 0 {
        batches += 1;
        assert!(batches < 20, "it comes to an end");
    }
    assert!(batches > 2, "a batch is bounded");
    assert!(store.sources(&acme(), first_page(10)).await.expect("it reads").items.is_empty());
    assert!(!store.sweep_chunks(10).await.expect("it sweeps"), "nothing is left to sweep");
    assert_eq!(texts_found(store, &beta(), "apple").await, ["apple"]);
    // Its name may be used again, and finds nothing of before.
    create(store, &new_source(&acme(), 1)).await;
    synced(store, &new_source(&acme(), 1), &["new"]).await;
    assert_eq!(texts_found(store, &acme(), "apple new").await, ["new"]);
}

/// A source that is changed has its new address with its new state, or neither, and loses what it was filling.
pub async fn a_source_is_changed_together_with_where_its_documents_are(store: &dyn Store) {
    create(store, &new_source(&acme(), 1)).await;
    let filling = filled(store, &new_source(&acme(), 1), &["old"]).await;
    let other = config("https://docs.example/other");
    let stale = new_source(&acme(), 1).change(None, Some(&other), at(5));
    assert!(is_conflict(&store.change_source(stale, other.clone(), Context::default()).await));
    let kept = store.source_config(&acme(), filling.id).await.expect("it reads");
    assert!(kept == Some(config("https://docs.example/guide?key=hidden")));

    let changed = filling.change(None, Some(&other), at(5));
    let done = store.change_source(changed.clone(), other.clone(), under_key("change", at(5))).await;
    assert!(matches!(done, Ok(Written::Done(()))));
    let again = store.change_source(changed.clone(), other.clone(), under_key("change", at(5))).await;
    assert!(is_seen(again, "change", at(5)));
    assert_eq!(store.source(&acme(), changed.id).await.expect("it reads"), Some(changed.clone()));
    assert!(store.source_config(&acme(), changed.id).await.expect("it reads") == Some(other));
    assert!(is_conflict(&store.add_chunks(&filling, pieces(&["late"])).await));
}

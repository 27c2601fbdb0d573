//! Promises of voice notes.

use angarium_domain::handle::Handle;
use angarium_domain::ids::VoiceNoteId;
use angarium_domain::retention::Cutoffs;
use angarium_domain::voice_note::{
    AudioType, Declared, Failure, Full, Holdings, Measured, Quota, Sha256, Status, VoiceNote,
};

use super::fixture::{acme, at, beta, event, first_page, is_conflict, is_seen, under_key};
use crate::Store;
use crate::event_log::{Append, Beside, EventFilter};
use crate::page::{Page, PageRequest};
use crate::write::{Context, Written};

pub(super) const ROOM: Quota = Quota { notes_max: 1000, bytes_max: 1_000_000 };

fn id(n: u64) -> VoiceNoteId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    VoiceNoteId::new(at(0), random)
}

/// A note of `n` bytes, announced `n` seconds after the start.
pub(super) fn note(handle: &Handle, n: u64) -> VoiceNote {
    let declared = Declared {
        audio_type: AudioType::Webm,
        size_bytes: n,
        sha256: Some(Sha256::of(b"x")),
        duration_ms: Some(n),
        file_name: "memo.webm".parse().ok(),
    };
    VoiceNote::announced(id(n), handle.clone(), declared, "tok_1".to_owned(), at(n as i64))
}

fn processing(note: &VoiceNote) -> VoiceNote {
    note.complete(note.created_at).expect("it is pending")
}

fn ready(note: &VoiceNote) -> VoiceNote {
    let measured = Measured { sha256: Sha256::of(b"x"), duration_ms: 5, waveform: Some(vec![3; 64]) };
    processing(note).heard(Ok(measured), at(50))
}

async fn create(store: &dyn Store, note: &VoiceNote) {
    let created = store.create_voice_note(note.clone(), ROOM, Context::default()).await;
    assert!(matches!(created, Ok(Written::Done(Ok(())))));
}

async fn advance(store: &dyn Store, note: VoiceNote, from: Status) {
    let moved = store.move_voice_note(note, from, Context::default()).await;
    assert!(matches!(moved, Ok(Written::Done(()))));
}

async fn read(store: &dyn Store, note: &VoiceNote) -> Option<VoiceNote> {
    store.voice_note(&note.handle, note.id).await.expect("it reads")
}

fn told(note: &VoiceNote) -> Append {
    let events = vec![event(&note.handle, 2)];
    Append { events, beside: vec![Beside::VoiceNote(Box::new(note.clone()))], ..Append::default() }
}

/// A note comes back as it was written, to its own handle.
pub async fn a_note_is_read_back_by_its_own_handle(store: &dyn Store) {
    create(store, &note(&acme(), 1)).await;
    assert_eq!(read(store, &note(&acme(), 1)).await, Some(note(&acme(), 1)));
    assert_eq!(read(store, &note(&beta(), 1)).await, None);
    assert!(store.voice_notes(&beta(), None, first_page(10)).await.expect("it reads").items.is_empty());
    let foreign = store.remove_voice_note(&beta(), id(1), Context::default()).await;
    assert!(is_conflict(&foreign));
    let moved =
        store.move_voice_note(processing(&note(&beta(), 1)), Status::PendingUpload, Context::default());
    assert!(is_conflict(&moved.await));
    assert_eq!(read(store, &note(&acme(), 1)).await, Some(note(&acme(), 1)));
}

/// A note is made once under its key.
pub async fn a_repeated_note_is_made_once(store: &dyn Store) {
    let first = store.create_voice_note(note(&acme(), 1), ROOM, under_key("k", at(1))).await;
    assert!(matches!(first, Ok(Written::Done(Ok(())))));
    let none = Quota { notes_max: 0, bytes_max: 0 };
    // Also where there is no room by now: it was made then.
    let again = store.create_voice_note(note(&acme(), 2), none, under_key("k", at(1))).await;
    assert!(is_seen(again, "k", at(1)));
    assert_eq!(read(store, &note(&acme(), 2)).await, None);
    assert!(is_conflict(&store.create_voice_note(note(&acme(), 1), ROOM, Context::default()).await));
}

/// What a handle holds is the sum of what may have a file, whatever happened before.
pub async fn what_a_handle_holds_is_counted_with_every_write(store: &dyn Store) {
    let quota = Quota { notes_max: 3, bytes_max: 12 };
    let create = async |n: u64, key: &str| {
        store.create_voice_note(note(&acme(), n), quota, under_key(key, at(1))).await.expect("it writes")
    };
    for n in [3, 4] {
        assert!(matches!(create(n, &n.to_string()).await, Written::Done(Ok(()))));
    }
    let full = Full::Bytes { bytes: 13, limit: 12 };
    assert!(matches!(create(6, "full").await, Written::Done(Err(found)) if found == full));
    assert_eq!(read(store, &note(&acme(), 6)).await, None);
    // Nothing was remembered of the refusal: with room, the same request succeeds.
    assert!(matches!(create(5, "full").await, Written::Done(Ok(()))));
    let full = Full::Notes { notes: 3, limit: 3 };
    assert!(matches!(create(1, "more").await, Written::Done(Err(found)) if found == full));
    let holdings = async || store.holdings(&acme()).await.expect("it counts");
    assert_eq!(holdings().await, Holdings { notes: 3, bytes: 12 });

    advance(store, processing(&note(&acme(), 3)), Status::PendingUpload).await;
    store.append(told(&ready(&note(&acme(), 3)))).await.expect("it writes");
    assert_eq!(holdings().await, Holdings { notes: 3, bytes: 12 });
    let expired = note(&acme(), 4).expired(at(9_999)).expect("its time has passed");
    advance(store, expired, Status::PendingUpload).await;
    assert_eq!(holdings().await, Holdings { notes: 2, bytes: 8 });
    store.remove_voice_note(&acme(), id(3), Context::default()).await.expect("it is removed");
    assert_eq!(holdings().await, Holdings { notes: 1, bytes: 5 });
    assert_eq!(store.holdings(&beta()).await.expect("it counts"), Holdings::default());
}

/// Newest first, and those in one state.
pub async fn pages_of_notes_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    for n in 1..=7 {
        create(store, &note(&if n == 4 { beta() } else { acme() }, n)).await;
    }
    advance(store, processing(&note(&acme(), 3)), Status::PendingUpload).await;
    let ids = async |status| {
        let mut seen = Vec::new();
        let mut page = first_page(2);
        loop {
            let Page { items, next } = store.voice_notes(&acme(), status, page).await.expect("it reads");
            seen.extend(items.iter().map(|note| note.id));
            let Some(before) = next else { return seen };
            page = PageRequest { before: Some(before), limit: 2 };
        }
    };
    assert_eq!(ids(None).await, [7, 6, 5, 3, 2, 1].map(id));
    assert_eq!(ids(Some(Status::PendingUpload)).await, [7, 6, 5, 2, 1].map(id));
    assert_eq!(ids(Some(Status::Processing)).await, [id(3)]);
    assert!(ids(Some(Status::Ready)).await.is_empty());
}

/// Whoever comes second finds that it has moved.
pub async fn a_note_moves_on_from_the_state_that_was_decided_upon(store: &dyn Store) {
    create(store, &note(&acme(), 1)).await;
    let begun = processing(&note(&acme(), 1));
    advance(store, begun.clone(), Status::PendingUpload).await;
    let again = store.move_voice_note(begun.clone(), Status::PendingUpload, Context::default()).await;
    assert!(is_conflict(&again));
    let expired = note(&acme(), 1).expired(at(9_999)).expect("its time has passed");
    assert!(is_conflict(&store.move_voice_note(expired, Status::PendingUpload, Context::default()).await));
    assert_eq!(read(store, &begun).await, Some(begun.clone()));
    assert_eq!(store.processing_voice_notes().await.expect("it reads"), [begun]);
}

/// That a note is ready, and the event that says so, are written together or not at all.
pub async fn a_note_is_ready_with_the_event_that_tells_of_it(store: &dyn Store) {
    create(store, &note(&acme(), 1)).await;
    let ready = ready(&note(&acme(), 1));
    assert!(is_conflict(&store.append(told(&ready)).await));
    assert!(
        store
            .events(&acme(), EventFilter::default(), first_page(5))
            .await
            .expect("it reads")
            .items
            .is_empty()
    );
    advance(store, processing(&note(&acme(), 1)), Status::PendingUpload).await;
    let stale = Append { decided_upon: vec![(acme(), 5)], ..told(&ready) };
    assert!(is_conflict(&store.append(stale).await));
    assert_eq!(read(store, &ready).await.map(|note| note.status()), Some(Status::Processing));

    assert!(matches!(store.append(told(&ready)).await, Ok(Written::Done(()))));
    assert_eq!(read(store, &ready).await, Some(ready.clone()));
    let events = store.events(&acme(), EventFilter::default(), first_page(5)).await.expect("it reads").items;
    assert_eq!(events.len(), 1);
    // Once: whoever listened to it at the same time comes too late.
    assert!(is_conflict(&store.append(told(&ready)).await));
    assert!(store.processing_voice_notes().await.expect("it reads").is_empty());
}

/// Pending notes end when their time has passed, and no others do.
pub async fn overdue_notes_of_all_handles_are_listed(store: &dyn Store) {
    for n in 1..=4 {
        create(store, &note(&if n == 2 { beta() } else { acme() }, n)).await;
    }
    advance(store, processing(&note(&acme(), 1)), Status::PendingUpload).await;
    let overdue = async |now: i64, limit| {
        let notes = store.overdue_voice_notes(at(now), limit).await.expect("it reads");
        notes.into_iter().map(|note| note.id).collect::<Vec<_>>()
    };
    assert!(overdue(3601, 10).await.is_empty());
    assert_eq!(overdue(3602, 10).await, [id(2)]);
    assert_eq!(overdue(9999, 10).await.len(), 3);
    assert_eq!(overdue(9999, 2).await.len(), 2);
}

/// A file is kept for a note that has it or may get it.
pub async fn files_of_notes_that_ended_are_held_by_nobody(store: &dyn Store) {
    for n in 1..=4 {
        create(store, &note(&if n == 2 { beta() } else { acme() }, n)).await;
    }
    let failed = processing(&note(&acme(), 3)).heard(Err(Failure::TypeMismatch), at(9));
    advance(store, processing(&note(&acme(), 3)), Status::PendingUpload).await;
    store.append(told(&failed)).await.expect("it writes");
    let expired = note(&acme(), 4).expired(at(9_999)).expect("its time has passed");
    advance(store, expired, Status::PendingUpload).await;
    let holding = store.holding_files((1..=5).map(id).collect()).await.expect("it reads");
    assert_eq!(holding, [id(1), id(2)]);
}

/// What failed or expired long ago is forgotten; nothing with a file is.
pub async fn notes_that_ended_long_ago_are_forgotten(store: &dyn Store) {
    for n in 1..=4 {
        create(store, &note(&acme(), n)).await;
    }
    for n in [1, 2] {
        let expired = note(&acme(), n).expired(at(5_000 * n as i64)).expect("its time has passed");
        advance(store, expired, Status::PendingUpload).await;
    }
    advance(store, processing(&note(&acme(), 3)), Status::PendingUpload).await;
    store.append(told(&ready(&note(&acme(), 3)))).await.expect("it writes");
    let forget = async |before: i64| {
        let cutoffs = Cutoffs { finished_before: at(before), ..Cutoffs::default() };
        store.forget(cutoffs, 10).await.expect("it forgets").voice_notes
    };
    assert_eq!(forget(5_000).await, 0);
    assert_eq!(forget(10_000).await, 1);
    assert_eq!(forget(9_999_999).await, 1);
    let left = store.voice_notes(&acme(), None, first_page(10)).await.expect("it reads").items;
    assert_eq!(left.iter().map(|note| note.id).collect::<Vec<_>>(), [4, 3].map(id));
}

/// A handle that is removed takes its notes with it, and no others.
pub async fn notes_go_with_their_handle(store: &dyn Store) {
    for n in 1..=3 {
        create(store, &note(&if n == 2 { beta() } else { acme() }, n)).await;
    }
    while store.clear(&acme(), 1).await.expect("it clears") > 0 {}
    assert_eq!(store.holding_files((1..=3).map(id).collect()).await.expect("it reads"), [id(2)]);
    assert_eq!(store.holdings(&acme()).await.expect("it counts"), Holdings::default());
}

/// A store says for ever what it said first.
pub async fn a_store_marks_the_place_of_its_files_once(store: &dyn Store) {
    for fresh in ["first", "second"] {
        assert_eq!(store.mark_of_files(fresh.to_owned()).await.expect("it answers"), "first");
    }
}

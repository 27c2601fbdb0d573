//! Promises of the directory.

use angarium_domain::auto_disable::Outage;
use angarium_domain::delivery::{Delivery, OrderingKey, State};
use secrecy::ExposeSecret;

use super::fixture::{
    acme, append, appending, at, beta, birth_lease, born, change, delivery, entry, event, event_type_entry,
    finished, is_conflict, is_seen, lane, ok, repeat, scheduled, settle, state_of, token, token_id,
    under_key,
};
use crate::Store;
use crate::directory::{CANCELLED_AT_ONCE, Change, Snapshot};
use crate::write::Context;

async fn snapshot(store: &dyn Store) -> Snapshot {
    store.snapshot(&acme()).await.expect("it reads")
}

/// What a snapshot says, in a form that can be compared.
async fn seen(store: &dyn Store) -> (u64, Vec<String>, Vec<String>) {
    let snapshot = snapshot(store).await;
    let words = snapshot.subscriptions.iter().map(|e| e.subscription.description.clone().unwrap_or_default());
    let names = snapshot.tokens.iter().map(|token| token.name.clone());
    (snapshot.version, words.collect(), names.collect())
}

/// Version 0: nothing was ever written.
pub async fn a_handle_that_was_never_written_has_version_0(store: &dyn Store) {
    assert_eq!(seen(store).await, (0, vec![], vec![]));
}

/// Each change makes a version; a snapshot is everything at one version, oldest first.
pub async fn every_change_makes_a_new_version(store: &dyn Store) {
    let words = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(change(store, 0, Change::Put(entry(&acme(), lane(2), "two"))).await, 1);
    assert_eq!(change(store, 1, Change::Put(entry(&acme(), lane(1), "one"))).await, 2);
    assert_eq!(change(store, 2, Change::AddToken(token(&acme(), 8))).await, 3);
    assert_eq!(change(store, 3, Change::AddToken(token(&acme(), 7))).await, 4);
    assert_eq!(seen(store).await, (4, words(&["one", "two"]), words(&["token 7", "token 8"])));
    assert_eq!(change(store, 4, Change::Put(entry(&acme(), lane(1), "uno"))).await, 5);
    assert_eq!(change(store, 5, Change::Remove(lane(2))).await, 6);
    assert_eq!(change(store, 6, Change::RevokeToken(token_id(8))).await, 7);
    assert_eq!(seen(store).await, (7, words(&["uno"]), words(&["token 7"])));
    let together = vec![Change::Put(entry(&acme(), lane(3), "three")), Change::Remove(lane(1))];
    assert_eq!(change(store, 7, Change::Several(together)).await, 8);
    assert_eq!(seen(store).await, (8, words(&["three"]), words(&["token 7"])));
}

/// A subscription comes back whole, with its keys.
pub async fn a_subscription_is_read_back_with_its_keys(store: &dyn Store) {
    let written = entry(&acme(), lane(1), "one");
    change(store, 0, Change::Put(written.clone())).await;
    change(store, 1, Change::AddToken(token(&acme(), 1))).await;
    let snapshot = snapshot(store).await;
    let read = snapshot.subscriptions.first().expect("it is there");
    assert_eq!(read.subscription, written.subscription);
    assert_eq!(read.keys.to_stored().expose_secret(), written.keys.to_stored().expose_secret());
    assert_eq!(**snapshot.tokens.first().expect("it is there"), token(&acme(), 1));
}

/// A change decided upon an old version is refused; a key that was seen wins.
pub async fn a_change_to_an_old_version_is_refused(store: &dyn Store) {
    let put = |description| Change::Put(entry(&acme(), lane(1), description));
    let written = store.change(&acme(), 0, put("first"), at(1), under_key("k", at(1))).await;
    assert!(written.is_ok());
    for old in [0, 2] {
        assert!(is_conflict(&store.change(&acme(), old, put("late"), at(2), under_key("l", at(2))).await));
    }
    assert!(is_seen(store.change(&acme(), 0, put("again"), at(3), under_key("k", at(1))).await, "k", at(1)));
    assert_eq!(seen(store).await, (1, vec!["first".to_owned()], vec![]));
    change(store, 1, Change::Remove(lane(1))).await;
}

/// Removal cancels what waits and nothing else: whoever holds a lease settles it.
pub async fn removing_a_subscription_cancels_what_is_scheduled(store: &dyn Store) {
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    let waiting = scheduled(store, 1, lane(1), at(1)).await;
    let held = born(store, 2, lane(1)).await;
    let delivered = finished(store, 3, lane(1), State::Delivered { at: at(4) }).await;
    let beside = scheduled(store, 4, lane(2), at(4)).await;
    let other = event(&beta(), 5);
    let foreign = delivery(&other, lane(1));
    append(store, appending(vec![other], vec![foreign.clone()])).await;

    change(store, 1, Change::Remove(lane(1))).await;
    assert_eq!(state_of(store, &waiting).await, State::Cancelled { at: at(500) });
    for Delivery { id, state, .. } in [&held, &delivered, &beside] {
        let logged = store.delivery(&acme(), *id).await.expect("it reads").expect("it is there");
        assert_eq!(logged.delivery.state, *state);
    }
    let logged = store.delivery(&beta(), foreign.id).await.expect("it reads").expect("it is there");
    assert_eq!(logged.delivery, foreign);
    store
        .settle(settle(birth_lease(&held), State::Delivered { at: at(6) }, ok()))
        .await
        .expect("the lease holds");
}

/// One removal cancels a bounded number; the rest follows batch by batch, whoever asks for it, what
/// waits behind others included.
pub async fn a_long_backlog_is_cancelled_in_bounded_steps(store: &dyn Store) {
    const BACKLOG: u64 = CANCELLED_AT_ONCE as u64 + 500;
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    let cause = event(&acme(), 0);
    let one = |n: u64| Delivery {
        id: repeat(&delivery(&cause, lane(1)), n, at(n as i64)).id,
        state: State::Scheduled { due_at: at(n as i64) },
        ordering_key: n.is_multiple_of(2).then(|| OrderingKey::of(&cause)),
        ..delivery(&cause, lane(1))
    };
    let backlog: Vec<Delivery> = (1..=BACKLOG).map(one).collect();
    let beside = delivery(&cause, lane(2));
    let all = backlog.iter().cloned().chain([beside.clone()]).collect();
    append(store, appending(vec![cause.clone()], all)).await;

    change(store, 1, Change::Remove(lane(1))).await;
    let left = async || store.census().await.expect("it counts").scheduled - 1;
    assert_eq!(left().await, 500);
    for expected in [300, 100, 0] {
        assert!(store.cancel_removed(200, at(501)).await.expect("it writes"));
        assert_eq!(left().await, expected);
    }
    assert!(!store.cancel_removed(200, at(502)).await.expect("it writes"));
    assert_eq!(state_of(store, &backlog[0]).await, State::Cancelled { at: at(500) });
    assert_eq!(state_of(store, &backlog[BACKLOG as usize - 1]).await, State::Cancelled { at: at(501) });
    assert_eq!(state_of(store, &beside).await, beside.state);
    assert_eq!(store.lanes().await.expect("it reads").len(), 1);
}

/// Use is noted without a new version.
pub async fn touching_a_token_makes_no_version(store: &dyn Store) {
    change(store, 0, Change::AddToken(token(&acme(), 1))).await;
    store.touch_token(token_id(1), at(9)).await.expect("it writes");
    store.touch_token(token_id(2), at(9)).await.expect("an unknown token is nobody's");
    let snapshot = snapshot(store).await;
    assert_eq!(snapshot.version, 1);
    assert_eq!(snapshot.tokens.first().and_then(|token| token.last_used_at), Some(at(9)));
}

/// Since when a subscription fails is remembered for all handles, and changes nothing else.
pub async fn outages_are_noted_without_a_new_version(store: &dyn Store) {
    assert_eq!(store.outages().await.expect("it reads"), []);
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    change(store, 1, Change::Put(entry(&acme(), lane(2), "two"))).await;
    let begun = Outage { since: at(5), warned_at: None };
    let warned = Outage { since: at(5), warned_at: Some(at(9)) };
    for (id, outage) in [(lane(2), begun), (lane(1), begun), (lane(1), warned)] {
        store.note_outage(&acme(), id, Some(outage)).await.expect("it writes");
    }
    let noted = store.outages().await.expect("it reads");
    assert_eq!(noted, [(acme(), lane(1), warned), (acme(), lane(2), begun)]);
    for id in [lane(1), lane(3)] {
        store.note_outage(&acme(), id, None).await.expect("it writes");
    }
    store.note_outage(&beta(), lane(2), None).await.expect("another handle's is not there");
    assert_eq!(store.outages().await.expect("it reads"), [(acme(), lane(2), begun)]);
    assert_eq!(snapshot(store).await.version, 2);
}

/// An outage goes with its subscription, and a note that comes after that is late.
pub async fn an_outage_ends_with_its_subscription(store: &dyn Store) {
    let outage = Some(Outage { since: at(5), warned_at: None });
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    store.note_outage(&acme(), lane(1), outage).await.expect("it writes");
    store.note_outage(&beta(), lane(1), outage).await.expect("another handle's is not there");
    assert_eq!(store.outages().await.expect("it reads").len(), 1);
    change(store, 1, Change::Remove(lane(1))).await;
    assert_eq!(store.outages().await.expect("it reads"), []);
    store.note_outage(&acme(), lane(1), outage).await.expect("it writes nothing");
    assert_eq!(store.outages().await.expect("it reads"), []);
}

/// An API key does not name its handle: the store knows it, until the key is revoked.
pub async fn a_token_is_found_without_its_handle(store: &dyn Store) {
    change(store, 0, Change::AddToken(token(&acme(), 1))).await;
    let foreign = Change::AddToken(token(&beta(), 2));
    assert!(store.change(&beta(), 0, foreign, at(2), Context::default()).await.is_ok());
    for (id, holder) in [(1, Some(acme())), (2, Some(beta())), (3, None)] {
        assert_eq!(store.holder_of_token(token_id(id)).await.expect("it reads"), holder);
    }
    change(store, 1, Change::RevokeToken(token_id(1))).await;
    assert_eq!(store.holder_of_token(token_id(1)).await.expect("it reads"), None);
}

/// Subscriptions and tokens of one handle are none of another's.
pub async fn the_directory_of_another_handle_is_empty(store: &dyn Store) {
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    change(store, 1, Change::AddToken(token(&acme(), 1))).await;
    for foreign in [Change::Remove(lane(1)), Change::RevokeToken(token_id(1))] {
        let version = store.snapshot(&beta()).await.expect("it reads").version;
        assert!(store.change(&beta(), version, foreign, at(2), Context::default()).await.is_ok());
    }
    let foreign = store.snapshot(&beta()).await.expect("it reads");
    assert_eq!((foreign.version, foreign.subscriptions.len(), foreign.tokens.len()), (2, 0, 0));
    let own = snapshot(store).await;
    assert_eq!((own.version, own.subscriptions.len(), own.tokens.len()), (2, 1, 1));
}

/// Entries come back whole, schemas as their owner wrote them.
pub async fn a_catalogue_is_read_back_by_name(store: &dyn Store) {
    let put = |n, words| Change::PutEventType(Box::new(event_type_entry(n, words)));
    change(store, 0, put(2, "two")).await;
    change(store, 1, put(1, "one")).await;
    change(store, 2, put(2, "zwei")).await;
    change(store, 3, put(3, "three")).await;
    change(store, 4, Change::RemoveEventType(event_type_entry(3, "").event_type)).await;
    let catalog = store.catalog(&acme()).await.expect("it reads");
    let entries: Vec<_> = catalog.entries().map(|entry| (**entry).clone()).collect();
    assert_eq!(entries, [event_type_entry(1, "one"), event_type_entry(2, "zwei")]);
}

/// Publishers learn from a snapshot whether their catalogue is still the one that they know.
pub async fn the_version_of_a_catalogue_is_that_of_its_last_change(store: &dyn Store) {
    let versions = async || {
        let snapshot = snapshot(store).await;
        let catalog = store.catalog(&acme()).await.expect("it reads");
        assert_eq!(catalog.version, snapshot.catalog_version);
        (snapshot.version, snapshot.catalog_version)
    };
    assert_eq!(versions().await, (0, 0));
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    assert_eq!(versions().await, (1, 0));
    change(store, 1, Change::PutEventType(Box::new(event_type_entry(1, "one")))).await;
    assert_eq!(versions().await, (2, 2));
    change(store, 2, Change::AddToken(token(&acme(), 1))).await;
    assert_eq!(versions().await, (3, 2));
    change(store, 3, Change::RemoveEventType(event_type_entry(1, "").event_type)).await;
    assert_eq!(versions().await, (4, 4));
}

/// Event types of one handle are none of another's.
pub async fn the_catalogue_of_another_handle_is_empty(store: &dyn Store) {
    change(store, 0, Change::PutEventType(Box::new(event_type_entry(1, "one")))).await;
    let remove = Change::RemoveEventType(event_type_entry(1, "").event_type);
    store.change(&beta(), 0, remove, at(2), Context::default()).await.expect("it writes");
    let count = async |handle| store.catalog(handle).await.expect("it reads").entries().len();
    assert_eq!((count(&beta()).await, count(&acme()).await), (0, 1));
}

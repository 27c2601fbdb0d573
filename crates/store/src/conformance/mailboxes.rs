//! Promises of what is known of mailboxes.

use angarium_domain::mailbox::{Change, Mailbox};
use angarium_domain::recipient::Suppression;

use super::fixture::{acme, append, at, beta, event, is_conflict};
use crate::Store;
use crate::event_log::{Append, Beside};

const ANNA: &str = "anna@example.com";

pub(super) fn knowing(change: Change) -> Append {
    let beside = vec![Beside::Mailbox { handle: acme(), key: ANNA.to_owned(), change: Box::new(change) }];
    Append { beside, ..Append::default() }
}

async fn known(store: &dyn Store) -> Mailbox {
    store.mailbox(&acme(), ANNA).await.expect("it reads")
}

/// What became known of a mailbox is read back, for its handle alone, until it is taken back.
pub async fn what_is_known_of_a_mailbox_is_of_one_handle_and_gathers(store: &dyn Store) {
    assert!(known(store).await.is_nothing());
    let bounced = Suppression { at: at(1), code: Some(550) };
    append(store, knowing(Change::Suppressed(bounced.clone()))).await;
    append(store, knowing(Change::Withdrawn(at(2)))).await;
    append(store, knowing(Change::Asked(at(3)))).await;
    let expected =
        Mailbox { suppressed: Some(bounced), withdrawn_at: Some(at(2)), asked_again_at: Some(at(3)) };
    assert_eq!(known(store).await, expected);
    assert!(store.mailbox(&beta(), ANNA).await.expect("it reads").is_nothing());
    assert!(store.mailbox(&acme(), "bob@example.com").await.expect("it reads").is_nothing());
    append(store, knowing(Change::Confirmed)).await;
    append(store, knowing(Change::Lifted)).await;
    assert!(known(store).await.is_nothing());
}

/// It stands or falls with what it is written with.
pub async fn what_becomes_known_with_an_append_that_is_refused_does_not(store: &dyn Store) {
    let of_the_log = event(&acme(), 1);
    append(store, Append { events: vec![of_the_log.clone()], ..Append::default() }).await;
    let refused = Append { events: vec![of_the_log], ..knowing(Change::Withdrawn(at(2))) };
    assert!(is_conflict(&store.append(refused).await));
    assert!(known(store).await.is_nothing());
}

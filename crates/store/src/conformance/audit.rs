//! Promises of the audit log.

use angarium_domain::audit::{AuditEntry, AuditRow, Difference, Head};
use angarium_domain::handle::Handle;

use super::fixture::{acme, at, beta, change, entry, first_page, is_conflict, lane, token, under_key};
use crate::Store;
use crate::audit::AuditFilter;
use crate::directory::Change;
use crate::page::PageRequest;
use crate::write::Context;

/// Entry number `n` of a handle, `n` seconds after the start.
fn noted(handle: &Handle, n: i64) -> AuditEntry {
    AuditEntry {
        at: at(n),
        handle: handle.clone(),
        actor: if n % 2 == 0 { "jwt:anna" } else { "tok_1" }.to_owned(),
        action: if n % 3 == 0 { "subscription.deleted" } else { "subscription.created" }.into(),
        object: format!("sub_{n}"),
        request_id: format!("req_{n}"),
        ip: (n % 2 == 0).then(|| [192, 0, 2, n as u8].into()),
        difference: Difference {
            before: (n % 3 == 0).then(|| r#"{"a":1}"#.to_owned()),
            after: (n % 3 != 0).then(|| r#"{"a":"ü"}"#.to_owned()),
        },
    }
}

async fn note(store: &dyn Store, entries: impl IntoIterator<Item = AuditEntry>) {
    for entry in entries {
        store.note(entry).await.expect("it is written");
    }
}

async fn listed(store: &dyn Store, filter: AuditFilter) -> Vec<AuditEntry> {
    let page = store.audit(&acme(), filter, first_page(100)).await.expect("it reads");
    assert_eq!(page.next, None);
    page.items.into_iter().map(|row| row.entry).collect()
}

async fn chain(store: &dyn Store) -> Vec<AuditRow> {
    store.chain(0, 1000).await.expect("it reads")
}

/// Entries come back whole, newest first.
pub async fn an_audit_entry_is_read_back_as_it_was_written(store: &dyn Store) {
    note(store, (1..=3).map(|n| noted(&acme(), n))).await;
    let expected: Vec<_> = (1..=3).rev().map(|n| noted(&acme(), n)).collect();
    assert_eq!(listed(store, AuditFilter::default()).await, expected);
}

/// A write leaves its entry exactly if it was made: not when it was refused or is a repetition.
pub async fn an_audit_entry_is_written_with_its_effect_or_not_at_all(store: &dyn Store) {
    let put = || Change::Put(entry(&acme(), lane(1), "one"));
    let written = store.change(&acme(), 0, put(), at(1), under_key("k", at(1))).await;
    assert!(written.is_ok());
    let refused = store.change(&acme(), 0, put(), at(2), under_key("other", at(2))).await;
    assert!(is_conflict(&refused));
    store.change(&acme(), 0, put(), at(3), under_key("k", at(3))).await.expect("it was seen before");
    assert!(store.change(&acme(), 1, put(), at(4), Context::default()).await.is_ok());
    let entries = listed(store, AuditFilter::default()).await;
    assert_eq!(entries.iter().map(|entry| entry.at).collect::<Vec<_>>(), [at(1)]);
}

/// Rows of all handles are one chain without gaps, whichever way they come.
pub async fn every_row_holds_on_to_the_one_before_it(store: &dyn Store) {
    assert_eq!(store.audit_head().await.expect("it reads"), Head::default());
    note(store, [noted(&acme(), 1), noted(&beta(), 2)]).await;
    let context = under_key("k", at(3));
    let added = store.change(&acme(), 0, Change::AddToken(token(&acme(), 1)), at(3), context).await;
    assert!(added.is_ok());
    note(store, [noted(&beta(), 4)]).await;
    let rows = chain(store).await;
    assert_eq!(rows.iter().map(|row| row.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let head = rows.iter().try_fold(Head::default(), Head::follow);
    assert_eq!(head, Ok(store.audit_head().await.expect("it reads")));
}

/// The chain is read in parts, from any row on.
pub async fn a_chain_is_read_in_parts(store: &dyn Store) {
    note(store, (1..=5).map(|n| noted(&acme(), n))).await;
    let all = chain(store).await;
    assert_eq!(store.chain(2, 2).await.expect("it reads"), all[2..4]);
    assert_eq!(store.chain(4, 2).await.expect("it reads"), all[4..]);
    assert_eq!(store.chain(5, 2).await.expect("it reads"), []);
}

/// A page begins where the one before it ended, whatever is written meanwhile.
pub async fn pages_of_the_audit_log_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    note(store, (1..=5).flat_map(|n| [noted(&acme(), n), noted(&beta(), n)])).await;
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let request = PageRequest { before, limit: 2 };
        let page = store.audit(&acme(), AuditFilter::default(), request).await.expect("it reads");
        assert!(page.items.len() <= 2);
        found.extend(page.items.into_iter().map(|row| row.entry.at));
        note(store, [noted(&acme(), 9)]).await;
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(found, [at(5), at(4), at(3), at(2), at(1)]);
}

/// Every condition narrows, and all of them must hold.
pub async fn audit_entries_are_filtered_by_every_condition(store: &dyn Store) {
    note(store, (1..=6).map(|n| noted(&acme(), n))).await;
    let times = |entries: Vec<AuditEntry>| entries.into_iter().map(|entry| entry.at).collect::<Vec<_>>();
    let none = AuditFilter::default;
    let anna = || Some("jwt:anna".to_owned());
    for (filter, expected) in [
        (AuditFilter { actor: anna(), ..none() }, vec![at(6), at(4), at(2)]),
        (AuditFilter { action: Some("subscription.deleted".to_owned()), ..none() }, vec![at(6), at(3)]),
        (AuditFilter { object: Some("sub_5".to_owned()), ..none() }, vec![at(5)]),
        (AuditFilter { since: Some(at(5)), ..none() }, vec![at(6), at(5)]),
        (AuditFilter { until: Some(at(2)), ..none() }, vec![at(1)]),
        (AuditFilter { actor: anna(), since: Some(at(3)), until: Some(at(6)), ..none() }, vec![at(4)]),
        (AuditFilter { actor: Some("jwt".to_owned()), ..none() }, vec![]),
    ] {
        assert_eq!(times(listed(store, filter.clone()).await), expected, "{filter:?}");
    }
}

/// Nobody reads another handle's entries.
pub async fn audit_entries_of_another_handle_do_not_exist(store: &dyn Store) {
    note(store, [noted(&beta(), 1)]).await;
    change(store, 0, Change::AddToken(token(&acme(), 1))).await;
    assert_eq!(listed(store, AuditFilter::default()).await, []);
}

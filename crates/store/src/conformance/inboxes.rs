//! Promises of inboxes.

use std::fmt::Write as _;
use std::sync::Arc;

use angarium_domain::delivery::State;
use angarium_domain::handle::Handle;
use angarium_domain::inbox::{Act, Counts, Item, Mark, Reading, Stock};
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;

use super::fixture::{
    acme, at, beta, birth_lease, born, event, first_page, is_conflict, is_seen, item, lane, ok, reader,
    settle, under_key,
};
use crate::Store;
use crate::delivery_queue::Settle;
use crate::error::StoreError;
use crate::event_log::{Append, Beside};
use crate::inboxes::{ItemFilter, LOOKED_AT_MAX, Marked, Marking, Opened, position};
use crate::page::{Page, PageRequest};
use crate::upkeep::Forgotten;
use crate::write::Written;

fn with(item: &Arc<Item>) -> Append {
    Append { beside: vec![Beside::Item(item.clone())], ..Append::default() }
}

async fn put(store: &dyn Store, item: &Arc<Item>) {
    assert!(matches!(store.append(with(item)).await, Ok(Written::Done(()))));
}

/// Items `1..=count` of a handle, each made at its second.
async fn put_items(store: &dyn Store, handle: &Handle, count: u64) {
    for n in 1..=count {
        put(store, &item(handle, n, at(n as i64))).await;
    }
}

async fn open(store: &dyn Store, handle: &Handle, who: u64, filter: ItemFilter) -> Opened<Page<Marked>> {
    store.items(handle, &reader(who), filter, first_page(100)).await.expect("it reads")
}

/// The counts of a reader.
pub(super) async fn counts(store: &dyn Store, handle: &Handle, who: u64) -> Counts {
    let opened = open(store, handle, who, ItemFilter::default()).await;
    opened.reading.counts(&opened.stock)
}

/// What comes of acts on items, as an engine would decide it.
async fn marking(store: &dyn Store, handle: &Handle, who: u64, acts: &[(u64, Act)]) -> Marking {
    let opened = open(store, handle, who, ItemFilter::default()).await;
    let mark_of = |number| {
        let found = opened.found.items.iter().find(|marked| marked.number == number);
        found.map(|marked| marked.mark).expect("it is there")
    };
    let changed: Vec<(u64, Mark, Mark)> = acts
        .iter()
        .map(|(number, act)| (*number, mark_of(*number), mark_of(*number).after(*act, at(1_000))))
        .collect();
    Marking {
        handle: handle.clone(),
        reader: reader(who),
        decided_upon: (opened.stock.version, opened.reading.version),
        reading: opened.reading.after(changed.iter().map(|(_, old, new)| (*old, *new))),
        marks: changed.iter().map(|(number, _, new)| (*number, *new)).collect(),
    }
}

async fn write(store: &dyn Store, marking: Marking) -> Result<Written<()>, StoreError> {
    store.append(Append { beside: vec![Beside::Marking(Box::new(marking))], ..Append::default() }).await
}

async fn act(store: &dyn Store, handle: &Handle, who: u64, acts: &[(u64, Act)]) {
    let decided = marking(store, handle, who, acts).await;
    assert!(matches!(write(store, decided).await, Ok(Written::Done(()))));
}

/// Three items of a handle, read by one reader.
pub(super) async fn read_three_items(store: &dyn Store, handle: &Handle) {
    put_items(store, handle, 3).await;
    act(store, handle, 1, &[(1, Act::Read), (2, Act::Read), (3, Act::Archive)]).await;
}

/// Everything that can be seen of an inbox, as text. Counts that a recount does not find are a fault.
pub(super) async fn visible_inbox(store: &dyn Store, handle: &Handle) -> String {
    let mut text = String::new();
    for who in 0..3 {
        let Opened { stock, reading, found } = store
            .items(handle, &reader(who), ItemFilter::default(), first_page(10_000))
            .await
            .expect("it reads");
        assert_eq!(found.next, None);
        let counts = reading.counts(&stock);
        let count =
            |is: fn(&Mark) -> bool| found.items.iter().filter(|marked| is(&marked.mark)).count() as u64;
        let recount = (count(Mark::is_unread), count(Mark::is_unseen));
        assert_eq!((counts.unread, counts.unseen), recount, "{handle}, reader {who}: {stock:?} {reading:?}");
        writeln!(text, "reader {who}: {stock:?} {reading:?} {:?}", found.items).expect("text takes any text");
    }
    let readers = vec![reader(2), reader(9), reader(0)];
    let news = store.news(handle, 0, 10_000, readers).await.expect("it reads");
    writeln!(text, "{news:?}").expect("text takes any text");
    text
}

/// Every field of it, and of an item that has few.
pub async fn an_item_is_read_back_as_it_was_written(store: &dyn Store) {
    for n in 4..=5 {
        let written = item(&acme(), n, at(10));
        put(store, &written).await;
        let opened = store.item(&acme(), &reader(1), written.id).await.expect("it reads");
        let expected = Marked { number: n - 3, item: written, mark: Mark::default() };
        assert_eq!(opened.found, Some(expected));
        assert_eq!((opened.stock.items, opened.reading), (n - 3, Reading::default()));
    }
    let unknown = store.item(&acme(), &reader(1), item(&acme(), 9, at(1)).id).await.expect("it reads");
    assert_eq!(unknown.found, None);
}

/// Numbers begin with 1 and have no gaps, whatever is refused and whatever was forgotten.
pub async fn items_are_numbered_without_gaps_as_they_are_written(store: &dyn Store) {
    let first = item(&acme(), 7, at(3));
    put(store, &first).await;
    assert!(is_conflict(&store.append(with(&first)).await), "its id is taken");
    let under = |key: &str, n| Append { context: under_key(key, at(1)), ..with(&item(&acme(), n, at(1))) };
    assert!(matches!(store.append(under("k", 1)).await, Ok(Written::Done(()))));
    assert!(is_seen(store.append(under("k", 2)).await, "k", at(1)));
    put(store, &item(&beta(), 7, at(1))).await;
    let cutoffs = Cutoffs { items_before: at(100), ..Cutoffs::default() };
    store.forget(cutoffs, 10).await.expect("it writes");
    put(store, &item(&acme(), 3, at(200))).await;
    let news = store.news(&acme(), 1, 10, Vec::new()).await.expect("it reads");
    assert_eq!(news.items, [(3, item(&acme(), 3, at(200)))]);
    assert_eq!(news.stock, Stock { version: 5, last: 3, items: 1 });
}

/// Two people read the same item, each for themselves.
pub async fn a_mark_is_one_readers_and_moves_their_counts_alone(store: &dyn Store) {
    put_items(store, &acme(), 3).await;
    act(store, &acme(), 1, &[(2, Act::Read)]).await;
    act(store, &acme(), 1, &[(3, Act::See)]).await;
    assert_eq!(counts(store, &acme(), 1).await, Counts { unread: 2, unseen: 1, version: 5 });
    assert_eq!(counts(store, &acme(), 2).await, Counts { unread: 3, unseen: 3, version: 3 });
    let found = open(store, &acme(), 1, ItemFilter::default()).await.found.items;
    let marks: Vec<_> = found.iter().map(|m| (m.mark.seen_at.is_some(), m.mark.read_at.is_some())).collect();
    assert_eq!(marks, [(true, false), (true, true), (false, false)]);
    act(store, &acme(), 1, &[(2, Act::Unread), (1, Act::Archive)]).await;
    assert_eq!(counts(store, &acme(), 1).await, Counts { unread: 2, unseen: 0, version: 6 });
}

/// Something else was marked, or came, since it was looked at.
pub async fn a_mark_that_was_decided_upon_old_counts_is_refused(store: &dyn Store) {
    put_items(store, &acme(), 2).await;
    let decided = marking(store, &acme(), 1, &[(1, Act::Read)]).await;
    act(store, &acme(), 1, &[(2, Act::Read)]).await;
    assert!(is_conflict(&write(store, decided).await));
    let decided = marking(store, &acme(), 1, &[(1, Act::Read)]).await;
    put(store, &item(&acme(), 3, at(3))).await;
    assert!(is_conflict(&write(store, decided).await));
    let decided = marking(store, &acme(), 1, &[(1, Act::Read)]).await;
    act(store, &acme(), 2, &[(2, Act::Read)]).await;
    assert!(
        matches!(write(store, decided).await, Ok(Written::Done(()))),
        "another reader is in nobody's way"
    );
    assert_eq!(counts(store, &acme(), 1).await.unread, 1);
}

/// Newest first, each handle its own, whatever comes in between.
pub async fn pages_of_items_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    put_items(store, &acme(), 7).await;
    put_items(store, &beta(), 3).await;
    let mut seen = Vec::new();
    let mut page = first_page(2);
    loop {
        let opened = store.items(&acme(), &reader(1), ItemFilter::default(), page).await.expect("it reads");
        seen.extend(opened.found.items.iter().map(|marked| marked.number));
        put(store, &item(&acme(), 100 + seen.len() as u64, at(50))).await;
        let Some(before) = opened.found.next else { break };
        page = PageRequest { before: Some(before), limit: 2 };
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let below = PageRequest { before: Some(position(2)), limit: 9 };
    let opened = store.items(&acme(), &reader(1), ItemFilter::default(), below).await.expect("it reads");
    assert_eq!(opened.found.items.iter().map(|marked| marked.number).collect::<Vec<_>>(), [1]);
}

/// Each condition alone, and all of them together.
pub async fn items_are_filtered_by_every_condition(store: &dyn Store) {
    put_items(store, &acme(), 6).await;
    act(store, &acme(), 1, &[(1, Act::Read), (2, Act::Read), (3, Act::Archive), (4, Act::Archive)]).await;
    act(store, &acme(), 1, &[(4, Act::Read)]).await;
    let paid = || "order.paid".parse().ok();
    let cases = [
        (ItemFilter::default(), vec![6, 5, 4, 3, 2, 1]),
        (ItemFilter { unread: Some(true), ..ItemFilter::default() }, vec![6, 5, 3]),
        (ItemFilter { unread: Some(false), ..ItemFilter::default() }, vec![4, 2, 1]),
        (ItemFilter { archived: Some(false), ..ItemFilter::default() }, vec![6, 5, 2, 1]),
        (ItemFilter { archived: Some(true), ..ItemFilter::default() }, vec![4, 3]),
        (ItemFilter { item_type: paid(), ..ItemFilter::default() }, vec![6, 4, 2]),
        (ItemFilter { unread: Some(false), archived: Some(false), item_type: paid() }, vec![2]),
    ];
    for (filter, expected) in cases {
        let found = open(store, &acme(), 1, filter.clone()).await.found.items;
        assert_eq!(found.iter().map(|marked| marked.number).collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

/// What somebody who reads everything has to mark, and not what came later.
pub async fn what_is_unread_is_found_from_old_to_new_in_bounded_parts(store: &dyn Store) {
    put_items(store, &acme(), 6).await;
    act(store, &acme(), 1, &[(2, Act::Read), (3, Act::Archive), (4, Act::See)]).await;
    let unread = async |until, after, limit| {
        let opened = store.unread(&acme(), &reader(1), at(until), after, limit).await.expect("it reads");
        assert_eq!(opened.stock.items, 6);
        let numbers: Vec<u64> = opened.found.marks.iter().map(|(number, _)| *number).collect();
        (numbers, opened.found.further)
    };
    assert_eq!(unread(5, 0, 2).await, (vec![1, 4], Some(4)));
    assert_eq!(unread(5, 4, 2).await, (vec![5], None));
    assert_eq!(unread(5, 5, 2).await, (vec![], None));
    let opened = store.unread(&acme(), &reader(1), at(9), 3, 1).await.expect("it reads");
    assert_eq!(opened.found.marks, [(4, Mark { seen_at: Some(at(1_000)), ..Mark::default() })]);
}

/// The item is there exactly if its delivery is delivered, and it is there once.
pub async fn an_item_is_written_with_the_settlement_of_its_delivery_or_not_at_all(store: &dyn Store) {
    let held = born(store, 1, lane(1)).await;
    let stored = item(&acme(), 1, at(5));
    let settled = |decided_upon| Settle {
        follow_up: Some(Append {
            decided_upon: vec![(acme(), decided_upon)],
            events: vec![event(&acme(), 50)],
            ..with(&stored)
        }),
        ..settle(birth_lease(&held), State::Delivered { at: at(5) }, ok())
    };
    assert!(is_conflict(&store.settle(settled(3)).await));
    assert_eq!(counts(store, &acme(), 1).await.unread, 0);
    store.settle(settled(0)).await.expect("the lease holds");
    assert!(matches!(store.settle(settled(0)).await, Err(StoreError::LeaseLost)));
    assert_eq!(counts(store, &acme(), 1).await.unread, 1);
}

async fn forget(store: &dyn Store, before: Timestamp, ended_by: Timestamp) -> u64 {
    let cutoffs = Cutoffs { items_before: before, items_ended_by: ended_by, ..Cutoffs::default() };
    let forgotten = store.forget(cutoffs, 100).await.expect("it writes");
    let Forgotten { items, marks, .. } = forgotten;
    assert_eq!(forgotten, Forgotten { items, marks, ..Forgotten::default() });
    items
}

/// Whatever anybody did with them.
pub async fn items_are_forgotten_by_age_and_by_their_end_and_counts_stay_right(store: &dyn Store) {
    put_items(store, &acme(), 10).await;
    act(store, &acme(), 1, &[(1, Act::Read), (2, Act::See), (5, Act::Archive), (9, Act::Read)]).await;
    act(store, &acme(), 2, &[(10, Act::Read)]).await;
    let before = [counts(store, &acme(), 1).await, counts(store, &acme(), 2).await];
    assert_eq!(forget(store, at(4), at(4)).await, 3);
    // Number 5 and 10 end two minutes after they came.
    assert_eq!(forget(store, at(4), at(125)).await, 1);
    assert_eq!(forget(store, at(4), at(125)).await, 0);
    let after = [counts(store, &acme(), 1).await, counts(store, &acme(), 2).await];
    assert_eq!((after[0].unread, after[0].unseen), (5, 5));
    assert_eq!((after[1].unread, after[1].unseen), (5, 5));
    assert!(after[0].version > before[0].version && after[1].version > before[1].version);
    let left = open(store, &acme(), 1, ItemFilter::default()).await.found.items;
    assert_eq!(left.iter().map(|marked| marked.number).collect::<Vec<_>>(), [10, 9, 8, 7, 6, 4]);
    visible_inbox(store, &acme()).await;
}

/// A batch is bounded, whatever was done with an item: it goes at once and for everybody, its marks in
/// their turn, and counts are right all the time, also for whoever reads on meanwhile.
pub async fn forgetting_items_goes_in_bounded_batches(store: &dyn Store) {
    put_items(store, &acme(), 5).await;
    for who in 0..=2 {
        act(store, &acme(), who, &[(1, Act::Read), (2, Act::See), (4, Act::Archive)]).await;
    }
    let cutoffs = Cutoffs { items_before: at(1_000), ..Cutoffs::default() };
    let mut batches = Vec::new();
    let mut version = counts(store, &acme(), 1).await.version;
    loop {
        let Forgotten { items, marks, .. } = store.forget(cutoffs, 2).await.expect("it writes");
        if items + marks == 0 {
            break;
        }
        assert!(items + marks <= 2, "a batch is bounded");
        batches.push((items, marks));
        visible_inbox(store, &acme()).await;
        let now = counts(store, &acme(), 1).await.version;
        assert!(now > version || items == 0, "no two counts have one version");
        version = now;
        if batches.len() == 1 {
            // Number 1 is gone, and the marks of two who read it are not.
            act(store, &acme(), 2, &[(5, Act::Read)]).await;
            let now = counts(store, &acme(), 2).await;
            assert_eq!((now.unread, now.unseen), (2, 1));
            visible_inbox(store, &acme()).await;
            version = counts(store, &acme(), 1).await.version;
        }
    }
    assert_eq!(batches, [(1, 1), (0, 2), (1, 1), (0, 2), (2, 0), (0, 2), (1, 1), (0, 1)]);
    assert_eq!(counts(store, &acme(), 2).await.unread, 0);
}

/// The oldest go, however old they are, and no others.
pub async fn an_inbox_that_holds_too_much_loses_its_oldest_items(store: &dyn Store) {
    put_items(store, &acme(), 6).await;
    put_items(store, &beta(), 3).await;
    act(store, &acme(), 1, &[(1, Act::Read), (5, Act::Read)]).await;
    let cutoffs = Cutoffs { items_max: Some(3), ..Cutoffs::default() };
    assert_eq!(store.forget(cutoffs, 100).await.expect("it writes").items, 3);
    assert_eq!(store.forget(cutoffs, 100).await.expect("it writes"), Forgotten::default());
    let left = async |handle| {
        let found = open(store, handle, 1, ItemFilter::default()).await.found.items;
        found.iter().map(|marked| marked.number).collect::<Vec<_>>()
    };
    assert_eq!((left(&acme()).await, left(&beta()).await), (vec![6, 5, 4], vec![3, 2, 1]));
    assert_eq!(counts(store, &acme(), 1).await.unread, 2);
    visible_inbox(store, &acme()).await;
}

/// One search looks at so many items and no more, and says where to go on.
pub async fn what_is_rare_is_found_in_bounded_parts(store: &dyn Store) {
    let many = 2 * LOOKED_AT_MAX + 10;
    for first in (1..=many).step_by(501) {
        let items = (first..=many.min(first + 500)).map(|n| Beside::Item(item(&acme(), n, at(1))));
        let written = store.append(Append { beside: items.collect(), ..Append::default() }).await;
        assert!(matches!(written, Ok(Written::Done(()))));
    }
    act_on_one(store, 1, Act::Archive).await;
    let filter = || ItemFilter { archived: Some(true), ..ItemFilter::default() };
    let (mut pages, mut page) = (Vec::new(), first_page(10));
    loop {
        let opened = store.items(&acme(), &reader(1), filter(), page).await.expect("it reads");
        pages.push(opened.found.items.iter().map(|marked| marked.number).collect::<Vec<_>>());
        let Some(before) = opened.found.next else { break };
        page = PageRequest { before: Some(before), limit: 10 };
    }
    assert_eq!(pages, [vec![], vec![], vec![1]]);
    // Whoever has read everything but the last one finds it the same way.
    let opened = store.unread(&acme(), &reader(2), at(0), 0, 10).await.expect("it reads");
    assert_eq!((opened.found.marks.len(), opened.found.further), (0, Some(LOOKED_AT_MAX)));
    let opened = store.unread(&acme(), &reader(2), at(0), 2 * LOOKED_AT_MAX, 10).await.expect("it reads");
    assert_eq!((opened.found.marks.len(), opened.found.further), (0, None));
}

/// Marks one item without looking for it.
async fn act_on_one(store: &dyn Store, number: u64, act: Act) {
    let opened = open(store, &acme(), 1, ItemFilter::default()).await;
    let mark = Mark::default().after(act, at(1_000));
    let marking = Marking {
        handle: acme(),
        reader: reader(1),
        decided_upon: (opened.stock.version, opened.reading.version),
        reading: opened.reading.after([(Mark::default(), mark)]),
        marks: vec![(number, mark)],
    };
    assert!(matches!(write(store, marking).await, Ok(Written::Done(()))));
}

/// Numbers and versions of a handle's next inbox go on where the last one's ended: nobody who has heard
/// of the last one takes the next one's for older, or its items for heard.
pub async fn the_next_inbox_of_a_handle_goes_on_from_the_last(store: &dyn Store) {
    read_three_items(store, &acme()).await;
    let heard = counts(store, &acme(), 1).await;
    let mut batches = 0;
    while store.clear(&acme(), 2).await.expect("it clears") > 0 {
        batches += 1;
        assert!(batches < 20, "it comes to an end");
        // The chore may come at any time.
        let cutoffs = Cutoffs { items_before: at(1_000), ..Cutoffs::default() };
        store.forget(cutoffs, 1).await.expect("it writes");
    }
    let opened = open(store, &acme(), 1, ItemFilter::default()).await;
    assert_eq!((opened.stock.items, opened.found.items.len(), opened.reading), (0, 0, Reading::default()));
    put(store, &item(&acme(), 9, at(9))).await;
    let news = store.news(&acme(), 3, 10, vec![reader(1)]).await.expect("it reads");
    assert_eq!(news.items.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4]);
    let now = counts(store, &acme(), 1).await;
    assert!(now.version > heard.version, "{now:?} {heard:?}");
    assert_eq!((now.unread, now.unseen), (1, 1));
}

/// Ids, numbers and readers of one handle say nothing in another.
pub async fn the_inbox_of_another_handle_is_empty(store: &dyn Store) {
    read_three_items(store, &acme()).await;
    let stranger = open(store, &beta(), 1, ItemFilter::default()).await;
    assert_eq!((stranger.stock, stranger.reading), (Stock::default(), Reading::default()));
    assert!(stranger.found.items.is_empty());
    let theirs = store.item(&beta(), &reader(1), item(&acme(), 1, at(1)).id).await.expect("it reads");
    assert_eq!(theirs.found, None);
    let news = store.news(&beta(), 0, 10, vec![reader(1)]).await.expect("it reads");
    assert!(news.items.is_empty() && news.readings == [Reading::default()]);
    let unread = store.unread(&beta(), &reader(2), at(99), 0, 10).await.expect("it reads");
    assert!(unread.found.marks.is_empty());
    let strange = Marking { handle: beta(), ..marking(store, &acme(), 1, &[(1, Act::Unread)]).await };
    assert!(is_conflict(&write(store, strange).await));
}

//! Promises about accounts, what their plans pay for, and the end of a handle.

use angarium_domain::account::{Account, Presence, Suspension};
use angarium_domain::context::source::SOURCES_MAX;
use angarium_domain::delivery::State;
use angarium_domain::handle::Handle;
use angarium_domain::quota::{Day, Draw, Plan};
use angarium_domain::report::Kind;
use angarium_domain::statistics::{Grain, Tally};

use super::context_store::{config, new_source};
use super::fixture::{
    acme, append, appending, at, beta, birth_lease, born, change, delivery, entry, event, event_type_entry,
    finished, first_page, is_conflict, is_seen, job, lane, ok, scheduled, settle, token, under_key,
};
use super::inboxes::{counts, read_three_items, visible_inbox};
use super::reports::report;
use super::voice_notes::{ROOM, note};
use crate::Store;
use crate::directory::{Change, Snapshot};
use crate::error::StoreError;
use crate::event_log::{Append, EventFilter, Lane};
use crate::history::LogFilter;
use crate::statistics::Counted;
use crate::upkeep::Census;
use crate::write::{Context, Written};

fn declared() -> Account {
    let suspension = Some(Suspension { reason: "unpaid".to_owned(), at: at(2) });
    let time_zone = "Europe/Berlin".parse().expect("a zone");
    Account {
        plan: Plan::Pro,
        time_zone,
        presence: Presence::Declared { at: at(1) },
        suspension,
        ..Account::default()
    }
}

fn with(presence: Presence) -> Change {
    Change::SetAccount(Box::new(Account { presence, ..declared() }))
}

const DAY: u32 = 20_260_225;

fn draw(limit: u32, day: u32) -> Draw {
    let day = Day::from_number(day);
    Draw { handle: acme(), plan: Plan::Free, limit, day, asked_at: at(0), resets_at: at(60) }
}

fn paid_by(draw: Draw) -> Context {
    Context { draw: Some(draw), ..Context::default() }
}

/// An empty append: nothing but what goes with it.
fn only(context: Context) -> Append {
    Append { context, ..Append::default() }
}

async fn used(store: &dyn Store, day: u32) -> u32 {
    store.drawn(&acme(), Day::from_number(day)).await.expect("it reads")
}

fn is_exhausted<T>(result: &Result<T, StoreError>, used: u32) -> bool {
    matches!(result, Err(StoreError::Exhausted(exhausted)) if exhausted.used == used)
}

/// An account is part of the handle: it has its version, and a snapshot shows it.
pub async fn an_account_belongs_to_its_handle_and_makes_a_version(store: &dyn Store) {
    let account = async |handle: Handle| {
        let Snapshot { version, account, .. } = store.snapshot(&handle).await.expect("it reads");
        (version, account)
    };
    assert_eq!(account(acme()).await, (0, Account::default()));
    change(store, 0, Change::AddToken(token(&acme(), 1))).await;
    assert_eq!(account(acme()).await, (1, Account::default()));
    change(store, 1, Change::SetAccount(Box::new(declared()))).await;
    assert_eq!(account(acme()).await, (2, declared()));
    assert_eq!(account(beta()).await, (0, Account::default()));
    let old = store.change(&acme(), 1, with(Presence::Undeclared), at(3), Context::default()).await;
    assert!(is_conflict(&old));
    change(store, 2, Change::RevokeToken(super::fixture::token_id(1))).await;
    assert_eq!(account(acme()).await, (3, declared()));
}

/// Handles are listed by name, a page at a time; those that are gone are not there.
pub async fn handles_are_listed_by_name_until_they_are_gone(store: &dyn Store) {
    let names = ["b", "d", "a", "c"];
    for name in names {
        let handle: Handle = name.parse().expect("a handle");
        let written = store.change(&handle, 0, with(Presence::Undeclared), at(1), Context::default()).await;
        assert!(written.is_ok());
    }
    let listed = async |after: Option<&str>, limit| {
        let after = after.map(|name| name.parse().expect("a handle"));
        let known = store.accounts(after, limit).await.expect("it reads");
        known.into_iter().map(|known| known.handle.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 3).await, ["a", "b", "c"]);
    assert_eq!(listed(Some("b"), 3).await, ["c", "d"]);
    let handle: Handle = "c".parse().expect("a handle");
    let leaving = with(Presence::Leaving { at: at(2) });
    assert!(store.change(&handle, 1, leaving, at(2), Context::default()).await.is_ok());
    assert_eq!(store.leaving().await.expect("it reads"), std::slice::from_ref(&handle));
    assert_eq!(listed(Some("b"), 3).await, ["c", "d"]);
    let gone = with(Presence::Gone { at: at(3) });
    assert!(store.change(&handle, 2, gone, at(3), Context::default()).await.is_ok());
    assert_eq!(store.leaving().await.expect("it reads"), []);
    assert_eq!(listed(None, 9).await, ["a", "b", "d"]);
    assert_eq!(store.snapshot(&handle).await.expect("it reads").version, 3);
}

/// A write takes its place of the day, or is not made.
pub async fn a_write_beyond_what_the_day_allows_writes_nothing(store: &dyn Store) {
    append(store, only(paid_by(draw(2, DAY)))).await;
    change(store, 0, Change::AddToken(token(&acme(), 1))).await;
    assert_eq!(used(store, DAY).await, 1);
    let audited = Context { draw: Some(draw(2, DAY)), ..under_key("k", at(1)) };
    let revoke = || Change::RevokeToken(super::fixture::token_id(1));
    assert!(store.change(&acme(), 1, revoke(), at(1), audited).await.is_ok());
    assert_eq!(used(store, DAY).await, 2);

    let refused = store.append(appending_paid(3)).await;
    assert!(is_exhausted(&refused, 2));
    let page = store.events(&acme(), EventFilter::default(), first_page(10)).await.expect("it reads");
    assert!(page.items.is_empty());
    let put = || Change::Put(entry(&acme(), lane(1), "one"));
    assert!(is_exhausted(&store.change(&acme(), 2, put(), at(2), paid_by(draw(2, DAY))).await, 2));
    assert!(is_exhausted(&store.create_replay(job(&acme(), 1), paid_by(draw(2, DAY))).await, 2));
    assert_eq!(used(store, DAY).await, 2);
    // A larger plan has room; what was used stays used.
    assert!(store.change(&acme(), 2, put(), at(2), paid_by(draw(3, DAY))).await.is_ok());
    assert_eq!(used(store, DAY).await, 3);
}

fn appending_paid(n: u64) -> Append {
    Append { context: paid_by(draw(2, DAY)), ..appending(vec![event(&acme(), n)], vec![]) }
}

/// What was refused for another reason, or made before, costs nothing.
pub async fn only_writes_that_are_made_are_paid_for(store: &dyn Store) {
    let paid = |key: &str| Context { draw: Some(draw(1, DAY)), ..under_key(key, at(1)) };
    let put = || Change::Put(entry(&acme(), lane(1), "one"));
    assert!(is_conflict(&store.change(&acme(), 7, put(), at(1), paid("k")).await));
    let unknown = super::fixture::delivery(&event(&acme(), 1), lane(1)).id;
    let discarded = store.discard(&acme(), unknown, at(1), paid("k")).await;
    assert!(matches!(discarded, Ok(Written::Done(false))));
    assert_eq!(used(store, DAY).await, 0);
    assert!(store.change(&acme(), 0, put(), at(1), paid("k")).await.is_ok());
    assert_eq!(used(store, DAY).await, 1);
    // The day has no room left, and a repetition needs none.
    assert!(is_seen(store.change(&acme(), 0, put(), at(1), paid("k")).await, "k", at(1)));
    assert!(is_exhausted(&store.change(&acme(), 1, put(), at(1), paid("l")).await, 1));
    assert_eq!(used(store, DAY).await, 1);
}

/// Each day of a handle is counted for itself; after a year it is forgotten.
pub async fn days_are_counted_each_for_itself(store: &dyn Store) {
    for day in [DAY, DAY + 1, DAY] {
        append(store, only(paid_by(draw(2, day)))).await;
    }
    assert_eq!((used(store, DAY).await, used(store, DAY + 1).await), (2, 1));
    assert_eq!(store.drawn(&beta(), Day::from_number(DAY)).await.expect("it reads"), 0);
    append(store, only(paid_by(draw(2, DAY + 10_001)))).await;
    assert_eq!((used(store, DAY).await, used(store, DAY + 1).await), (0, 1));
}

/// Of a cleared handle nothing is left but its account, and up to where its inbox was numbered; others lose
/// nothing.
pub async fn a_cleared_handle_leaves_nothing_to_anybody(store: &dyn Store) {
    change(store, 0, Change::Put(entry(&acme(), lane(1), "one"))).await;
    change(store, 1, Change::AddToken(token(&acme(), 1))).await;
    change(store, 2, Change::PutEventType(Box::new(event_type_entry(1, "one")))).await;
    change(store, 3, Change::PutEventType(Box::new(event_type_entry(2, "two")))).await;
    change(store, 4, Change::SetAccount(Box::new(declared()))).await;
    for n in 1..=3 {
        scheduled(store, n, lane(1), at(1)).await;
    }
    let held = born(store, 4, lane(1)).await;
    finished(store, 5, lane(1), State::Delivered { at: at(9) }).await;
    assert!(store.create_replay(job(&acme(), 1), Context::default()).await.is_ok());
    super::alerts::fails(store, acme(), &super::alerts::failure(6, lane(1), at(1))).await;
    append(store, super::mailboxes::knowing(angarium_domain::mailbox::Change::Withdrawn(at(1)))).await;
    let keyed = Context { draw: Some(draw(2, DAY)), ..under_key("k", at(1)) };
    append(store, only(keyed)).await;
    let tally = Tally { attempts: 3, ..Tally::default() };
    let counted = Counted { handle: acme(), subscription_id: lane(1), at: at(9), tally: tally.clone() };
    store.count(vec![counted]).await.expect("it writes");
    read_three_items(store, &acme()).await;
    read_three_items(store, &beta()).await;
    let counted_of = async || {
        let of = Lane { handle: acme(), subscription_id: lane(1) };
        store.tally(&of, Grain::Fine, Grain::Fine.begin(at(9))).await.expect("it reads")
    };
    assert_eq!(counted_of().await, tally);
    let other = event(&beta(), 9);
    let theirs = delivery(&other, lane(1));
    append(store, appending(vec![other], vec![theirs.clone()])).await;

    let mut batches = 0;
    while store.clear(&acme(), 2).await.expect("it clears") > 0 {
        batches += 1;
        assert!(batches < 20, "it comes to an end");
    }
    assert!(batches > 2, "a batch is bounded");
    let late = store.settle(settle(birth_lease(&held), State::Delivered { at: at(9) }, ok())).await;
    assert!(matches!(late, Err(StoreError::LeaseLost)));
    let left = store.snapshot(&acme()).await.expect("it reads");
    assert_eq!((left.version, left.subscriptions.len(), left.tokens.len()), (5, 0, 0));
    assert_eq!(
        (left.catalog_version, store.catalog(&acme()).await.expect("it reads").entries().len()),
        (0, 0)
    );
    assert_eq!(left.account, declared());
    assert_eq!(used(store, DAY).await, 0);
    assert!(store.running_replays().await.expect("it reads").is_empty());
    assert_eq!(store.next_alert().await.expect("it reads"), None);
    let answered = store.seen(&super::fixture::answer("k", at(1)).scope, at(2)).await.expect("it reads");
    assert!(answered.is_none());
    let log = store.deliveries(&acme(), LogFilter::default(), first_page(10)).await.expect("it reads");
    assert!(log.items.is_empty());
    assert!(store.attempts(&acme(), held.id).await.expect("it reads").is_empty());
    assert_eq!(counted_of().await, Tally::default());
    visible_inbox(store, &acme()).await;
    let news = store.news(&acme(), 0, 10, vec![super::fixture::reader(1)]).await.expect("it reads");
    assert_eq!((news.items.len(), news.stock.items, news.readings[0].version), (0, 0, 0));
    assert_eq!(counts(store, &beta(), 1).await.unread, 0);

    let expected = Census { events: 1, scheduled: 1, ..Census::default() };
    assert_eq!(store.census().await.expect("it counts"), expected);
    let logged = store.delivery(&beta(), theirs.id).await.expect("it reads").expect("it is there");
    assert_eq!(logged.delivery, theirs);
}

/// Sources, notes and reports that were begun before a handle was made, or that come after its end, are not written:
/// whoever has the name next must not find them.
pub async fn what_was_begun_before_a_handle_s_life_is_not_written(store: &dyn Store) {
    let write = async |n: u64| {
        let source = new_source(&acme(), n);
        let url = "https://docs.example/guide";
        let made = store.create_source(source, config(url), SOURCES_MAX, Context::default()).await;
        let noted = store.create_voice_note(note(&acme(), n), ROOM, Context::default()).await;
        let report = report(n, Kind::Support, Some(acme()));
        let reported = store.create_report(report, 9, Context::default()).await;
        let done = [made.is_ok(), matches!(noted, Ok(Written::Done(Ok(())))), reported.is_ok()];
        let refused = [is_conflict(&made), is_conflict(&noted), is_conflict(&reported)];
        assert!(refused == done.map(|done| !done), "{done:?} {refused:?}");
        done
    };
    assert_eq!(write(5).await, [true; 3], "by virtue of credentials");
    change(store, 0, with(Presence::Leaving { at: at(10) })).await;
    assert_eq!(write(11).await, [false; 3], "while it leaves");
    while store.clear(&acme(), 10).await.expect("it clears") > 0 {}
    change(store, 1, with(Presence::Gone { at: at(12) })).await;
    assert_eq!(write(13).await, [false; 3], "when it is gone");
    change(store, 2, with(Presence::Declared { at: at(20) })).await;
    assert_eq!(write(19).await, [false; 3], "of the life before");
    assert_eq!(write(20).await, [true; 3], "of this one");
    let left = store.sources(&acme(), first_page(10)).await.expect("it reads");
    assert_eq!(left.items.len(), 1);
}

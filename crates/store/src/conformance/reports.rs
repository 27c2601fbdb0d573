//! Promises of reports.

use std::time::Duration;

use angarium_domain::handle::Handle;
use angarium_domain::ids::ReportId;
use angarium_domain::report::{About, Closing, Evidence, Kind, Report, Reporter, Sort, Status, Untold};
use angarium_domain::retention::Cutoffs;

use super::fixture::{acme, at, beta, first_page, is_conflict, is_seen, under_key};
use crate::Store;
use crate::event_log::{Append, Beside};
use crate::page::{Page, PageRequest};
use crate::reports::ReportFilter;
use crate::write::{Context, Written};

const MINUTE: Duration = Duration::from_mins(1);

/// A report made `n` seconds after the start.
pub(super) fn report(n: u64, kind: Kind, handle: Option<Handle>) -> Report {
    let reporter = Reporter {
        actor: Some("tok_1".to_owned()),
        ip: "192.0.2.1".parse().ok(),
        request_id: "r".to_owned(),
    };
    Report {
        id: ReportId::new(at(n as i64), [n as u8; 10]),
        kind,
        handle,
        reporter,
        summary: format!("number {n}"),
        details: "…".to_owned(),
        about: About { session_id: Some("s".to_owned()), ..About::default() },
        evidence: Some(Evidence::default()),
        closing: None,
        created_at: at(n as i64),
    }
}

async fn create(store: &dyn Store, report: &Report) {
    assert!(matches!(
        store.create_report(report.clone(), 9, Context::default()).await,
        Ok(Written::Done(()))
    ));
}

async fn ids(store: &dyn Store, kind: Option<Kind>) -> Vec<ReportId> {
    ids_of(store, ReportFilter { kind, status: None }).await
}

async fn ids_of(store: &dyn Store, filter: ReportFilter) -> Vec<ReportId> {
    let mut seen = Vec::new();
    let mut page = first_page(2);
    loop {
        let Page { items, next } = store.reports(filter, page).await.expect("it reads");
        seen.extend(items.iter().map(|report| report.id));
        let Some(before) = next else { return seen };
        page = PageRequest { before: Some(before), limit: 2 };
    }
}

/// A report is read back as it was written, and made once under its key.
pub async fn a_report_is_read_back_and_made_once(store: &dyn Store) {
    let first = report(1, Kind::Support, Some(acme()));
    let made = store.create_report(first.clone(), 9, under_key("k", at(1))).await;
    assert!(matches!(made, Ok(Written::Done(()))));
    let again = store.create_report(report(2, Kind::Support, None), 9, under_key("k", at(1))).await;
    assert!(is_seen(again, "k", at(1)));
    assert!(is_conflict(&store.create_report(first.clone(), 9, Context::default()).await));
    assert_eq!(store.report(first.id).await.expect("it reads"), Some(first));
    assert_eq!(store.report(report(2, Kind::Support, None).id).await.expect("it reads"), None);
}

/// Newest first, of all kinds or of one.
pub async fn pages_of_reports_have_neither_gaps_nor_duplicates(store: &dyn Store) {
    let kind = |n: u64| Kind::ALL[n as usize % 3];
    for n in 1..=7 {
        create(store, &report(n, kind(n), None)).await;
    }
    let expected =
        |numbers: &[u64]| numbers.iter().map(|n| report(*n, kind(*n), None).id).collect::<Vec<_>>();
    assert_eq!(ids(store, None).await, expected(&[7, 6, 5, 4, 3, 2, 1]));
    assert_eq!(ids(store, Some(Kind::Escalation)).await, expected(&[7, 4, 1]));
    assert_eq!(ids(store, Some(Kind::Content)).await, expected(&[5, 2]));
}

/// A handle takes its own reports with it, and nobody else's.
pub async fn reports_go_with_their_handle(store: &dyn Store) {
    for (n, handle) in [(1, Some(acme())), (2, Some(beta())), (3, None), (4, Some(acme()))] {
        create(store, &report(n, Kind::Support, handle)).await;
    }
    while store.clear(&acme(), 1).await.expect("it clears") > 0 {}
    let left = [report(3, Kind::Support, None).id, report(2, Kind::Support, None).id];
    assert_eq!(ids(store, None).await, left);
}

/// Old reports are forgotten, in bounded batches.
pub async fn old_reports_are_forgotten(store: &dyn Store) {
    for n in 1..=4 {
        create(store, &report(n, Kind::Content, None)).await;
    }
    let forget = async |before: i64, limit| {
        let cutoffs = Cutoffs { reports_before: at(before), ..Cutoffs::default() };
        store.forget(cutoffs, limit).await.expect("it forgets").reports
    };
    assert_eq!(forget(1, 10).await, 0);
    assert_eq!(forget(4, 2).await, 2);
    assert_eq!(forget(4, 2).await, 1);
    assert_eq!(ids(store, None).await.len(), 1);
}

fn of_a_stranger(n: u64) -> Report {
    let known = report(n, Kind::Content, None);
    Report { reporter: Reporter { actor: None, ..known.reporter.clone() }, ..known }
}

/// However many reports of strangers come, so many are kept, and nobody else's goes for them.
pub async fn of_strangers_only_the_newest_reports_are_kept(store: &dyn Store) {
    create(store, &report(1, Kind::Support, None)).await;
    for n in 2..=5 {
        let made = store.create_report(of_a_stranger(n), 2, Context::default()).await;
        assert!(matches!(made, Ok(Written::Done(()))));
    }
    create(store, &report(6, Kind::Support, None)).await;
    let left =
        [report(6, Kind::Support, None), of_a_stranger(5), of_a_stranger(4), report(1, Kind::Support, None)];
    assert_eq!(ids(store, None).await, left.map(|report| report.id));
}

/// Strangers' reports have an age of their own.
pub async fn strangers_reports_are_forgotten_at_their_age(store: &dyn Store) {
    create(store, &report(1, Kind::Content, None)).await;
    for n in 2..=4 {
        create(store, &of_a_stranger(n)).await;
    }
    let forget = async |limit| {
        let cutoffs = Cutoffs { strangers_reports_before: at(4), ..Cutoffs::default() };
        store.forget(cutoffs, limit).await.expect("it forgets").reports
    };
    assert_eq!((forget(1).await, forget(9).await, forget(9).await), (1, 1, 0));
    assert_eq!(ids(store, None).await, [of_a_stranger(4).id, report(1, Kind::Content, None).id]);
}

/// A report is removed once.
pub async fn a_removed_report_is_gone(store: &dyn Store) {
    create(store, &report(1, Kind::Support, None)).await;
    create(store, &report(2, Kind::Support, None)).await;
    let id = report(1, Kind::Support, None).id;
    let removed = store.remove_report(id, under_key("k", at(1))).await;
    assert!(matches!(removed, Ok(Written::Done(()))));
    assert!(is_seen(store.remove_report(id, under_key("k", at(1))).await, "k", at(1)));
    assert!(is_conflict(&store.remove_report(id, Context::default()).await));
    assert_eq!(ids(store, None).await, [report(2, Kind::Support, None).id]);
}

fn closed(report: Report) -> Report {
    let closing = Closing { at: at(90), by: "jwt:admin".to_owned(), note: Some("a typo".to_owned()) };
    Report { closing: Some(closing), ..report }
}

/// Closing is a change of state like any other: once under its key, and refused where it stands differently.
pub async fn a_report_is_closed_and_opened_again(store: &dyn Store) {
    let open = report(1, Kind::Support, Some(acme()));
    create(store, &open).await;
    let close = |context| store.move_report(closed(open.clone()), None, context);
    assert!(matches!(close(under_key("k", at(1))).await, Ok(Written::Done(()))));
    assert!(is_seen(close(under_key("k", at(1))).await, "k", at(1)));
    assert!(is_conflict(&close(Context::default()).await));
    assert_eq!(store.report(open.id).await.expect("it reads"), Some(closed(open.clone())));
    let other = Some(Closing { note: None, ..closed(open.clone()).closing.expect("it is closed") });
    assert!(is_conflict(&store.move_report(open.clone(), other, Context::default()).await));
    let known = closed(open.clone()).closing;
    let reopened = store.move_report(open.clone(), known, Context::default()).await;
    assert!(matches!(reopened, Ok(Written::Done(()))));
    assert_eq!(store.report(open.id).await.expect("it reads"), Some(open));
    let unknown = store.move_report(report(2, Kind::Support, None), None, Context::default()).await;
    assert!(is_conflict(&unknown));
}

/// What is open is found and counted without what is not.
pub async fn open_reports_are_counted_by_kind(store: &dyn Store) {
    let kind = |n: u64| Kind::ALL[n as usize % 2];
    for n in 1..=5 {
        create(store, &report(n, kind(n), None)).await;
    }
    for n in [2, 3] {
        let moved = store.move_report(closed(report(n, kind(n), None)), None, Context::default()).await;
        assert!(matches!(moved, Ok(Written::Done(()))));
    }
    let listed = async |kind, status| {
        let found = ids_of(store, ReportFilter { kind, status: Some(status) }).await;
        found.iter().map(|id| id.as_bytes()[15]).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, Status::Open).await, [5, 4, 1]);
    assert_eq!(listed(None, Status::Closed).await, [3, 2]);
    assert_eq!(listed(Some(Kind::Escalation), Status::Open).await, [5, 1]);
    assert_eq!(listed(Some(Kind::Support), Status::Closed).await, [2]);
    let counted = async |limit| store.open_reports(limit).await.expect("it reads");
    assert_eq!(counted(9).await, [(Kind::Support, 1), (Kind::Escalation, 2)]);
    assert_eq!(counted(2).await, [(Kind::Support, 1), (Kind::Escalation, 1)]);
}

async fn untold(store: &dyn Store) -> Vec<Untold> {
    store.untold_reports().await.expect("it reads")
}

fn telling(untold: &Untold, now: i64) -> Append {
    let told = untold.told(at(now), MINUTE);
    Append { beside: vec![Beside::ReportsTold(told)], ..Append::default() }
}

/// Each sort gathers by itself; what was refused or seen before adds nothing.
pub async fn reports_gather_until_somebody_is_told(store: &dyn Store) {
    assert_eq!(untold(store).await, []);
    for n in [1, 3] {
        create(store, &report(n, Kind::Support, None)).await;
    }
    assert!(is_conflict(&store.create_report(report(3, Kind::Support, None), 9, Context::default()).await));
    let made = store.create_report(of_a_stranger(2), 9, under_key("k", at(2))).await;
    assert!(matches!(made, Ok(Written::Done(()))));
    assert!(is_seen(store.create_report(of_a_stranger(4), 9, under_key("k", at(2))).await, "k", at(2)));
    let known = Untold::of(&report(1, Kind::Support, None)).and(&report(3, Kind::Support, None));
    let strange = Untold::of(&of_a_stranger(2));
    assert_eq!(untold(store).await, [known.clone(), strange.clone()]);

    assert!(matches!(store.append(telling(&known, 10)).await, Ok(Written::Done(()))));
    let told = known.told(at(10), MINUTE);
    assert_eq!(untold(store).await, [known.clone().after(&told), strange.clone()]);
    create(store, &report(5, Kind::Support, None)).await;
    let more = known.after(&told).and(&report(5, Kind::Support, None));
    assert_eq!((more.gathered, more.due_at), (1, at(70)));
    assert_eq!(untold(store).await, [more, strange]);
}

/// Whoever is told twice of one gathering is refused the second time, and nothing of it is written.
pub async fn a_second_telling_of_reports_is_refused(store: &dyn Store) {
    create(store, &report(1, Kind::Content, None)).await;
    let seen = untold(store).await.remove(0);
    assert_eq!(seen.sort, Sort { kind: Kind::Content, of_strangers: false });
    assert!(matches!(store.append(telling(&seen, 10)).await, Ok(Written::Done(()))));
    assert!(is_conflict(&store.append(telling(&seen, 10)).await));
    assert_eq!(untold(store).await[0].gathered, 0);
    let nobody_s = Untold { sort: Sort { kind: Kind::Support, of_strangers: true }, ..seen };
    assert!(is_conflict(&store.append(telling(&nobody_s, 10)).await));
}

//! What [`Chains`](crate::Chains) promises, with the port that writes ledgers and rests.

use angarium_domain::chain::{
    Confidence, Cooldown, Holdings, Metadata, Origins, Progress, Publish, Recorded, Room, Rulebook,
    SessionId, Signal, Source, Value,
};
use angarium_domain::handle::Handle;
use angarium_domain::ids::DecisionId;
use angarium_domain::retention::Cutoffs;
use angarium_domain::time::Timestamp;
use serde_json::json;

use super::fixture::{acme, append, appending, at, beta, change, event, is_conflict, token};
use crate::Store;
use crate::chains::{RuleRests, Session, SignalsCome};
use crate::directory::Change;
use crate::event_log::{Append, Beside, EventFilter};
use crate::page::PageRequest;
use crate::upkeep::Forgotten;

pub(super) fn session(n: u64) -> SessionId {
    format!("sess-{n}").parse().expect("a session's id")
}

/// Number `n` of a ledger; every other one says all that can be said.
fn signal(n: u64) -> Signal {
    let value: Value = serde_json::from_value(json!({ "n": n, "text": "ä" })).expect("a value");
    let metadata: Metadata = serde_json::from_value(json!({ "page": [n] })).expect("metadata");
    let all = n.is_multiple_of(2);
    Signal {
        key: if all { "cart.add" } else { "view" }.parse().expect("a name"),
        value: all.then_some(value),
        confidence: Confidence::try_from(if all { 0.1 } else { 1.0 }).expect("a number"),
        source: all.then(|| Source::try_from("web shop".to_owned()).expect("a source")),
        metadata: all.then_some(metadata),
    }
}

pub(super) fn come(
    handle: &Handle,
    id: &SessionId,
    after: Progress,
    count: usize,
    now: Timestamp,
) -> SignalsCome {
    let numbers = after.sequence + 1..=after.sequence + count as u64;
    let signals: Vec<Recorded> =
        numbers.map(|sequence| Recorded { sequence, at: now, signal: signal(sequence) }).collect();
    let next = Progress { sequence: after.sequence + count as u64, signals: after.signals + count as u32 };
    SignalsCome {
        handle: handle.clone(),
        session_id: id.clone(),
        after,
        next,
        signals,
        room: Room::default(),
    }
}

/// What the sessions of a handle hold, as it is kept and as a recount of these sessions finds it.
pub(super) async fn recounted(store: &dyn Store, handle: &Handle, ids: &[SessionId]) -> Holdings {
    let mut found = Holdings::default();
    for id in ids {
        let Session { signals, cooldowns, progress } = read(store, handle, id).await;
        assert_eq!(progress.signals as usize, signals.len(), "{handle} {id}");
        let bytes = signals.iter().map(|it| it.bytes(id)).chain(cooldowns.iter().map(|it| it.bytes(id)));
        found = found.with(Holdings { sessions: u64::from(!signals.is_empty()), bytes: bytes.sum() });
    }
    let (_, kept) = store.progress(handle, &ids[0]).await.expect("it reads");
    assert_eq!(kept, found, "{handle}");
    kept
}

pub(super) fn rests(
    handle: &Handle,
    id: &SessionId,
    decision: u64,
    after: Option<DecisionId>,
    until: Timestamp,
) -> RuleRests {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&decision.to_be_bytes());
    let cooldown = Cooldown {
        rule_id: "welcome".parse().expect("a name"),
        decision_id: DecisionId::new(at(0), random),
        decided_at: at(1),
        until,
    };
    RuleRests { handle: handle.clone(), session_id: id.clone(), after, cooldown, room: Room::default() }
}

fn beside(beside: Beside) -> Append {
    Append { beside: vec![beside], ..Append::default() }
}

/// Appends so many signals to a session of `acme` at the end of its ledger.
async fn signals(store: &dyn Store, id: &SessionId, count: usize, now: Timestamp) -> SignalsCome {
    let (after, _) = store.progress(&acme(), id).await.expect("it reads");
    let come = come(&acme(), id, after, count, now);
    append(store, beside(Beside::Signals(come.clone()))).await;
    come
}

async fn read(store: &dyn Store, handle: &Handle, id: &SessionId) -> Session {
    store.session(handle, id, at(0)).await.expect("it reads")
}

/// What was appended is there, in its order, for its own session of its own handle; older signals are
/// left out on request.
pub async fn signals_are_read_back_in_their_order(store: &dyn Store) {
    let first = signals(store, &session(1), 3, at(1)).await;
    let second = signals(store, &session(1), 2, at(5)).await;
    signals(store, &session(2), 1, at(5)).await;
    assert_eq!(second.signals[0].sequence, 4);
    let both: Vec<_> = first.signals.iter().chain(&second.signals).cloned().collect();
    let found = read(store, &acme(), &session(1)).await;
    assert_eq!((found.progress, found.signals), (Progress { sequence: 5, signals: 5 }, both.clone()));
    let standing = store.standing(&acme(), &session(1), at(0)).await.expect("it reads");
    assert_eq!(standing.evidence, both.iter().map(Recorded::evidence).collect::<Vec<_>>());
    let young = store.standing(&acme(), &session(1), at(1)).await.expect("it reads");
    assert_eq!(young.evidence.iter().map(|it| it.sequence).collect::<Vec<_>>(), [4, 5]);
    let young = store.session(&acme(), &session(1), at(1)).await.expect("it reads");
    assert_eq!(young.signals, second.signals);
    assert_eq!(read(store, &beta(), &session(1)).await, Session::default());
    assert_eq!(read(store, &acme(), &session(3)).await, Session::default());
}

/// Two who number signals on from the same place do not both write.
pub async fn a_ledger_that_has_moved_on_takes_nothing_that_was_numbered_before(store: &dyn Store) {
    let first = signals(store, &session(1), 2, at(1)).await;
    let again = store.append(beside(Beside::Signals(first.clone()))).await;
    assert!(is_conflict(&again));
    let ahead = come(&acme(), &session(1), Progress { sequence: 3, signals: 3 }, 1, at(1));
    assert!(is_conflict(&store.append(beside(Beside::Signals(ahead))).await));
    assert_eq!(read(store, &acme(), &session(1)).await.signals, first.signals);
}

/// Events that tell of signals are there if and only if the signals are.
pub async fn signals_stand_or_fall_with_the_events_that_tell_of_them(store: &dyn Store) {
    let told = |n: u64, come: SignalsCome| Append {
        beside: vec![Beside::Signals(come)],
        ..appending(vec![event(&acme(), n)], vec![])
    };
    let new = come(&acme(), &session(1), Progress::default(), 1, at(1));
    assert!(is_conflict(
        &store.append(Append { decided_upon: vec![(acme(), 7)], ..told(1, new.clone()) }).await
    ));
    assert_eq!(read(store, &acme(), &session(1)).await, Session::default());
    append(store, told(1, new.clone())).await;
    assert!(is_conflict(&store.append(told(2, new.clone())).await));
    let page = PageRequest { before: None, limit: 10 };
    let events = store.events(&acme(), EventFilter::default(), page).await.expect("it reads");
    assert_eq!((events.items.len(), read(store, &acme(), &session(1)).await.signals), (1, new.signals));
}

/// Of two decisions that a rule makes at once in a session, one is written.
pub async fn a_rule_rests_after_one_decision_and_not_after_two_at_once(store: &dyn Store) {
    let decided = |n, after, until| Beside::Decision(rests(&acme(), &session(1), n, after, until));
    append(store, beside(decided(1, None, at(10)))).await;
    assert!(is_conflict(&store.append(beside(decided(2, None, at(20)))).await));
    let first = rests(&acme(), &session(1), 1, None, at(10)).cooldown;
    let standing = store.standing(&acme(), &session(1), at(0)).await.expect("it reads");
    assert_eq!(standing.cooldowns, std::slice::from_ref(&first));
    append(store, beside(decided(3, Some(first.decision_id), at(30)))).await;
    let third = rests(&acme(), &session(1), 3, None, at(30)).cooldown;
    assert_eq!(read(store, &acme(), &session(1)).await.cooldowns, [third]);
    assert!(read(store, &acme(), &session(2)).await.cooldowns.is_empty());
    assert!(read(store, &beta(), &session(1)).await.cooldowns.is_empty());
}

/// Old signals go, oldest first and so many at a time; the count of a session is that of its signals.
pub async fn signals_are_forgotten_at_their_age_and_a_session_with_its_last(store: &dyn Store) {
    signals(store, &session(1), 3, at(1)).await;
    signals(store, &session(2), 2, at(2)).await;
    signals(store, &session(1), 2, at(9)).await;
    let by = |signals_come_by| Cutoffs { signals_come_by, ..Cutoffs::default() };
    let forget = async |cutoffs, limit| store.forget(cutoffs, limit).await.expect("it writes");
    assert_eq!(forget(by(at(0)), 100).await, Forgotten::default());
    assert_eq!(forget(by(at(2)), 4).await, Forgotten { signals: 4, ..Forgotten::default() });
    let left = async |n| {
        let Session { progress, signals, .. } = read(store, &acme(), &session(n)).await;
        assert_eq!(progress.signals as usize, signals.len());
        (progress, signals.iter().map(|it| it.sequence).collect::<Vec<_>>())
    };
    assert_eq!(left(1).await, (Progress { sequence: 5, signals: 2 }, vec![4, 5]));
    assert_eq!(left(2).await, (Progress { sequence: 2, signals: 1 }, vec![2]));
    assert_eq!(forget(by(at(2)), 4).await.signals, 1);
    assert_eq!(left(2).await, (Progress::default(), vec![]));
    // Numbers go on for as long as there is something to go on from.
    signals(store, &session(1), 1, at(10)).await;
    assert_eq!(left(1).await.1, [4, 5, 6]);
}

/// A decision is remembered for as long as its rule rests.
pub async fn decisions_are_forgotten_when_their_rules_rest_no_more(store: &dyn Store) {
    for (n, until) in [(1, 10), (2, 20)] {
        let rests = rests(&acme(), &session(n), n, None, at(until));
        append(store, beside(Beside::Decision(rests))).await;
    }
    let ended = |keys_ended_by| Cutoffs { keys_ended_by, ..Cutoffs::default() };
    assert_eq!(store.forget(ended(at(9)), 100).await.expect("it writes").cooldowns, 0);
    assert_eq!(store.forget(ended(at(10)), 100).await.expect("it writes").cooldowns, 1);
    assert!(read(store, &acme(), &session(1)).await.cooldowns.is_empty());
    assert_eq!(read(store, &acme(), &session(2)).await.cooldowns.len(), 1);
}

/// What comes, what goes and what is decided anew is counted with it, for each handle.
pub async fn what_the_sessions_of_a_handle_hold_is_what_a_recount_finds(store: &dyn Store) {
    let ids = [session(1), session(2), session(3)];
    assert_eq!(recounted(store, &acme(), &ids).await, Holdings::default());
    for (n, count) in [(1, 3), (2, 2), (1, 2)] {
        signals(store, &session(n), count, at(n as i64)).await;
        recounted(store, &acme(), &ids).await;
    }
    append(store, beside(Beside::Signals(come(&beta(), &session(1), Progress::default(), 1, at(1))))).await;
    let first = rests(&acme(), &session(3), 1, None, at(10));
    append(store, beside(Beside::Decision(first.clone()))).await;
    let held = recounted(store, &acme(), &ids).await;
    let again = rests(&acme(), &session(3), 2, Some(first.cooldown.decision_id), at(20));
    append(store, beside(Beside::Decision(again))).await;
    assert_eq!(recounted(store, &acme(), &ids).await, held, "it took the place of the first one");
    assert_eq!(store.sessions_held().await.expect("it reads"), 3);
    let by = |age, end| Cutoffs { signals_come_by: at(age), keys_ended_by: at(end), ..Cutoffs::default() };
    let mut counted = vec![held];
    for cutoffs in [by(1, 0), by(1, 0), by(1, 20), by(9, 20), by(9, 20)] {
        store.forget(cutoffs, 3).await.expect("it writes");
        counted.push(recounted(store, &acme(), &ids).await);
    }
    assert_eq!(counted.iter().map(|it| it.sessions).collect::<Vec<_>>(), [2, 2, 1, 1, 0, 0]);
    assert_eq!(counted.last(), Some(&Holdings::default()));
    assert_eq!(recounted(store, &beta(), &ids).await, Holdings::default());
}

/// A handle's sessions hold what there is room for, whoever writes at once; others have room of their own.
pub async fn sessions_take_no_more_than_their_handle_has_room_for(store: &dyn Store) {
    let new = |handle: &Handle, n, room| {
        let come = come(handle, &session(n), Progress::default(), 1, at(1));
        beside(Beside::Signals(SignalsCome { room, ..come }))
    };
    let two = Room { sessions_max: 2, ..Room::default() };
    for n in 1..=2 {
        append(store, new(&acme(), n, two)).await;
    }
    assert!(is_conflict(&store.append(new(&acme(), 3, two)).await));
    append(store, new(&beta(), 1, two)).await;
    let more = come(&acme(), &session(1), Progress { sequence: 1, signals: 1 }, 1, at(1));
    append(store, beside(Beside::Signals(SignalsCome { room: two, ..more }))).await;

    let (_, held) = store.progress(&acme(), &session(1)).await.expect("it reads");
    let tight = Room { bytes_max: held.bytes + 70, ..Room::default() };
    assert!(is_conflict(&store.append(new(&acme(), 3, tight)).await));
    let first = RuleRests { room: tight, ..rests(&acme(), &session(1), 1, None, at(10)) };
    assert!(is_conflict(&store.append(beside(Beside::Decision(first.clone()))).await));
    let roomy = RuleRests { room: Room::default(), ..first.clone() };
    append(store, beside(Beside::Decision(roomy))).await;
    // What takes the place of something else needs no room.
    let again = rests(&acme(), &session(1), 2, Some(first.cooldown.decision_id), at(20));
    append(store, beside(Beside::Decision(RuleRests { room: tight, ..again }))).await;
    recounted(store, &acme(), &[session(1), session(2), session(3)]).await;
}

fn rulebook(origins: &[&str]) -> Rulebook {
    let rule = r#"{"ruleId":"welcome","trigger":"checkout","priority":3,"when":{"all":[
        {"signalKey":"view","minCount":1}]},"decision":{"offer":"ten"},"cooldownSeconds":null}"#;
    let rules = vec![serde_json::from_str(rule).expect("a rule")];
    let texts: Vec<String> = origins.iter().map(|text| (*text).to_owned()).collect();
    let publish = Publish { signals: true, decisions: false };
    let book = Rulebook::default().with_rules(rules, publish, at(1)).expect("good rules");
    book.with_origins(Origins::of(&texts).expect("origins"), at(2))
}

/// A rulebook is part of its handle: it has its version, and a snapshot says which.
pub async fn a_rulebook_is_read_back_in_a_version_of_its_handle(store: &dyn Store) {
    let versions = async || {
        let snapshot = store.snapshot(&acme()).await.expect("it reads");
        (snapshot.version, snapshot.rulebook_version)
    };
    assert_eq!(store.rulebook(&acme()).await.expect("it reads").version, 0);
    change(store, 0, Change::AddToken(token(&acme(), 1))).await;
    assert_eq!(versions().await, (1, 0));
    let written = rulebook(&["https://a.example"]);
    change(store, 1, Change::SetRulebook(Box::new(written.clone()))).await;
    assert_eq!(versions().await, (2, 2));
    let found = store.rulebook(&acme()).await.expect("it reads");
    assert_eq!((found.version, found.rules(), found.publish), (2, written.rules(), written.publish));
    assert_eq!((&found.origins, found.updated_at), (&written.origins, Some(at(2))));
    change(store, 2, Change::RevokeToken(super::fixture::token_id(1))).await;
    assert_eq!(versions().await, (3, 2));
    assert_eq!(store.rulebook(&beta()).await.expect("it reads").version, 0);
}

/// An origin is somebody's for as long as a rulebook lists it, or lists all.
pub async fn an_origin_is_found_whoever_lists_it(store: &dyn Store) {
    let listed = async |origin: &str| store.is_origin_of_anybody(origin).await.expect("it reads");
    assert!(!listed("https://a.example").await);
    let both = rulebook(&["https://a.example", "https://b.example"]);
    change(store, 0, Change::SetRulebook(Box::new(both))).await;
    assert!(listed("https://a.example").await && listed("https://b.example").await);
    assert!(!listed("https://a.example:8443").await && !listed("*").await);
    change(store, 1, Change::SetRulebook(Box::new(rulebook(&["https://b.example"])))).await;
    assert!(!listed("https://a.example").await && listed("https://b.example").await);
    change(store, 2, Change::SetRulebook(Box::new(rulebook(&["*"])))).await;
    assert!(listed("https://a.example").await && listed("null").await);
}

/// A handle is known by its account, by an event, or by a session.
pub async fn a_handle_is_known_by_anything_that_it_has(store: &dyn Store) {
    let handle = |name: &str| name.parse::<Handle>().expect("a handle");
    let known = async |handle: Handle| store.is_known(&handle).await.expect("it reads");
    assert!(!known(acme()).await && !known(beta()).await);
    signals(store, &session(1), 1, at(1)).await;
    assert!(known(acme()).await && !known(beta()).await);
    append(store, appending(vec![event(&beta(), 1)], vec![])).await;
    assert!(known(beta()).await && !known(handle("b")).await);
    let gamma = handle("gamma");
    let add = Change::AddToken(token(&gamma, 1));
    assert!(store.change(&gamma, 0, add, at(1), crate::write::Context::default()).await.is_ok());
    assert!(known(gamma).await);
}

/// A handle that is cleared leaves neither rules nor origins, sessions or rests; others lose nothing.
pub async fn chains_go_with_their_handle(store: &dyn Store) {
    change(store, 0, Change::SetRulebook(Box::new(rulebook(&["https://a.example"])))).await;
    for n in 1..=3 {
        signals(store, &session(n), 2, at(1)).await;
        append(store, beside(Beside::Decision(rests(&acme(), &session(n), n, None, at(9))))).await;
    }
    let theirs = come(&beta(), &session(1), Progress::default(), 1, at(1));
    append(store, beside(Beside::Signals(theirs.clone()))).await;
    let mut batches = 0;
    while store.clear(&acme(), 2).await.expect("it clears") > 0 {
        batches += 1;
        assert!(batches < 20, "it comes to an end");
    }
    let ids = [session(1), session(2), session(3)];
    assert_eq!(recounted(store, &acme(), &ids).await, Holdings::default());
    assert_eq!(recounted(store, &beta(), &ids).await.sessions, 1);
    assert_eq!(store.snapshot(&acme()).await.expect("it reads").rulebook_version, 0);
    assert_eq!(store.rulebook(&acme()).await.expect("it reads").rules(), []);
    assert!(!store.is_origin_of_anybody("https://a.example").await.expect("it reads"));
    for n in 1..=3 {
        assert_eq!(read(store, &acme(), &session(n)).await, Session::default());
    }
    assert_eq!(read(store, &beta(), &session(1)).await.signals, theirs.signals);
}

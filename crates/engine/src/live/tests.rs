//! Listeners who keep up, fall behind, come back, and are too many.

use std::sync::atomic::AtomicI64;

use angarium_domain::delivery::DeathCause;

use super::ring::KEPT_MAX;
use super::*;

/// A clock that is set by hand.
#[derive(Default)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + self.0.load(Ordering::Relaxed))
    }
}

struct Scene {
    live: Live,
    clock: Arc<HandClock>,
    stopped: CancellationToken,
}

/// Longer than any test waits: the clock of the runtime stands still until everybody waits.
const PATIENCE: Duration = Duration::from_secs(15);

impl Scene {
    fn new() -> Scene {
        let (clock, stopped) = (Arc::new(HandClock::default()), CancellationToken::new());
        Scene { live: Live::new(clock.clone(), stopped.clone()), clock, stopped }
    }

    fn listen(&self, wish: Wish, after: Option<Place>) -> Listener {
        self.live.listen(&acme(), wish, after).expect("there is room")
    }

    /// The next so many deliveries are delivered at their first attempt.
    fn deliver(&self, numbers: std::ops::Range<u8>) {
        for n in numbers {
            let next = State::Delivered { at: self.clock.now() };
            self.live.settled(&delivery(n), &settlement(next), Some(Duration::from_millis(5)));
        }
    }

    fn wait(&self, span: Duration) {
        self.clock.0.fetch_add(span.as_secs() as i64, Ordering::Relaxed);
    }
}

fn acme() -> Handle {
    "acme".parse().expect("a handle")
}

fn delivery(n: u8) -> Delivery {
    Delivery {
        id: DeliveryId::from_bytes([n; 16]),
        handle: acme(),
        event_id: EventId::from_bytes([n; 16]),
        event_type: if n.is_multiple_of(2) { "order.paid" } else { "order.shipped" }.parse().expect("a type"),
        origin: Origin::Live,
        subscription_id: SubscriptionId::from_bytes([n % 3; 16]),
        ordering_key: None,
        replay_of: None,
        replay_id: None,
        endpoint_override: None,
        state: State::InFlight { lease_until: Timestamp::from_seconds(1_700_000_090) },
        attempts_made: 0,
        interruptions: 0,
        last_outcome: None,
        discarded_at: None,
    }
}

fn settlement(next: State) -> Settlement {
    let outcome = Outcome::Answered { status: 200, retry_after_seconds: None };
    Settlement { attempts_made: 1, next, outcome: Some(outcome), delay: None }
}

/// The deliveries that a listener hears of next, until there is nothing more.
async fn heard(listener: &mut Listener) -> Vec<u8> {
    let mut numbers = Vec::new();
    while let Some(Heard::Happening(_, happening)) = listener.next(PATIENCE).await {
        numbers.push(happening.delivery_id.as_bytes()[0]);
    }
    numbers
}

#[tokio::test(start_paused = true)]
async fn a_listener_hears_what_happens_after_it_began_in_order() {
    let scene = Scene::new();
    scene.deliver(0..2);
    let mut listener = scene.listen(Wish::default(), None);
    scene.deliver(2..5);
    assert_eq!(heard(&mut listener).await, [2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_waits_is_woken() {
    let scene = Scene::new();
    let mut listener = scene.listen(Wish::default(), None);
    let (told, ()) = tokio::join!(listener.next(PATIENCE), async {
        tokio::task::yield_now().await;
        scene.deliver(1..2);
    });
    assert!(matches!(told, Some(Heard::Happening(..))), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_wished_for_is_heard() {
    let scene = Scene::new();
    let wishes = [
        (Wish { subscription_id: Some(SubscriptionId::from_bytes([1; 16])), ..Wish::default() }, vec![1, 4]),
        (Wish { event_type: "order.paid".parse().ok(), ..Wish::default() }, vec![0, 2, 4]),
        (Wish { fate: Some(Fate::Dead), ..Wish::default() }, vec![9]),
    ];
    let mut listeners: Vec<_> =
        wishes.into_iter().map(|(wish, expected)| (scene.listen(wish, None), expected)).collect();
    scene.deliver(0..5);
    let dead = State::Dead { at: scene.clock.now(), cause: DeathCause::AttemptsExhausted };
    scene.live.settled(&delivery(9), &settlement(dead), None);
    for (listener, expected) in &mut listeners {
        assert_eq!(heard(listener).await, *expected);
    }
}

#[tokio::test(start_paused = true)]
async fn every_settlement_is_told_with_what_is_known_about_it() {
    let scene = Scene::new();
    let mut listener = scene.listen(Wish::default(), None);
    let now = scene.clock.now();
    let took = Some(Duration::from_millis(7));
    let outcome = Outcome::Answered { status: 200, retry_after_seconds: None };
    let dead = State::Dead { at: now, cause: DeathCause::AttemptsExhausted };
    scene.live.settled(&delivery(1), &settlement(State::Scheduled { due_at: now }), took);
    scene.live.settled(&delivery(1), &settlement(dead), None);
    scene.live.settled(&delivery(1), &settlement(State::Cancelled { at: now }), None);
    scene.live.attempted(&delivery(1), outcome, Duration::from_millis(7));
    let mut told = Vec::new();
    while let Some(Heard::Happening(_, h)) = listener.next(PATIENCE).await {
        told.push((h.fate, h.attempt, h.outcome, h.took, h.reason, h.next_attempt_at));
    }
    let made = (Some(1), Some(outcome), took);
    assert_eq!(
        told,
        [
            (Fate::Retrying, made.0, made.1, made.2, None, Some(now)),
            (Fate::Dead, None, None, None, Some(DeathCause::AttemptsExhausted), None),
            (Fate::Cancelled, None, None, None, None, None),
            (Fate::Attempted, made.0, made.1, made.2, None, None),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn another_handle_hears_nothing() {
    let scene = Scene::new();
    let beta = "beta".parse().expect("a handle");
    let mut listener = scene.live.listen(&beta, Wish::default(), None).expect("there is room");
    scene.deliver(0..3);
    assert!(matches!(listener.next(PATIENCE).await, Some(Heard::Nothing(_))));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_falls_behind_is_told_of_the_gap_once_and_goes_on() {
    let scene = Scene::new();
    let mut listener = scene.listen(Wish::default(), None);
    for _ in 0..=KEPT_MAX {
        scene.deliver(7..8);
    }
    assert!(matches!(listener.next(PATIENCE).await, Some(Heard::Gap(_))));
    scene.deliver(1..3);
    assert_eq!(heard(&mut listener).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_comes_back_within_a_minute_misses_nothing() {
    let scene = Scene::new();
    let mut listener = scene.listen(Wish::default(), None);
    scene.deliver(1..2);
    let Some(Heard::Happening(place, _)) = listener.next(PATIENCE).await else { panic!("it was told") };
    drop(listener);
    scene.wait(Duration::from_secs(59));
    scene.deliver(2..4);
    let after = place.to_string().parse().ok();
    assert_eq!(heard(&mut scene.listen(Wish::default(), after)).await, [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_comes_back_later_is_told_of_the_gap() {
    let scene = Scene::new();
    let mut listener = scene.listen(Wish::default(), None);
    scene.deliver(1..2);
    let Some(Heard::Happening(place, _)) = listener.next(PATIENCE).await else { panic!("it was told") };
    drop(listener);
    scene.wait(LINGER);
    // The first happening of anybody after a minute: nobody listens, and the ring is forgotten.
    scene.deliver(2..3);
    assert!(scene.live.nobody_listens());
    let mut back = scene.listen(Wish::default(), Some(place));
    assert!(matches!(back.next(PATIENCE).await, Some(Heard::Gap(_))));
    scene.deliver(5..6);
    assert_eq!(heard(&mut back).await, [5]);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_was_never_reached_is_a_gap() {
    let scene = Scene::new();
    let _other = scene.listen(Wish::default(), None);
    for text in ["0-0", "1700000000000-99"] {
        let mut listener = scene.listen(Wish::default(), Some(text.parse().expect("a place")));
        assert!(matches!(listener.next(PATIENCE).await, Some(Heard::Gap(_))), "{text}");
    }
    for broken in ["", "-", "1", "1-", "x-1", "1-2-3"] {
        assert!(broken.parse::<Place>().is_err(), "{broken}");
    }
}

#[tokio::test(start_paused = true)]
async fn listeners_are_counted_for_each_handle_and_in_all() {
    let scene = Scene::new();
    let listen = |n: usize| {
        let handle = format!("handle-{n}").parse().expect("a handle");
        scene.live.listen(&handle, Wish::default(), None)
    };
    let mut listeners = Vec::new();
    for n in 0..LISTENERS_MAX {
        listeners.push(listen(n / LISTENERS_PER_HANDLE_MAX).expect("there is room"));
        if n + 1 == LISTENERS_PER_HANDLE_MAX {
            assert!(listen(0).is_err_and(|error| error.to_string().contains("of this handle")));
        }
    }
    assert!(listen(99).is_err_and(|error| error.to_string().contains("in all")));
    listeners.pop();
    assert!(listen(99).is_ok());
}

#[tokio::test(start_paused = true)]
async fn listening_ends_when_the_process_is_on_its_way_out() {
    let scene = Scene::new();
    let mut listener = scene.listen(Wish::default(), None);
    let (told, ()) = tokio::join!(listener.next(PATIENCE), async {
        tokio::task::yield_now().await;
        scene.stopped.cancel();
    });
    assert_eq!(told, None);
    assert_eq!(listener.next(PATIENCE).await, None);
}

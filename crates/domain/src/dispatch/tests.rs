//! What the dispatcher promises, told through a small world: a store that is a list, and a clock
//! that the test moves.

use super::*;
use crate::health::{AdaptiveLimit, Breaker, Pace};
use crate::outcome::Failure;

const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);
const LEASE: Duration = Duration::from_secs(90);

fn at(seconds: u64) -> Timestamp {
    NOON + Duration::from_secs(seconds)
}

fn lane(n: u8) -> SubscriptionId {
    SubscriptionId::from_bytes([n; 16])
}

fn handle(name: &str) -> Handle {
    name.parse().expect("a handle")
}

const RULES: LaneRules = LaneRules {
    max_concurrency: None,
    rate_per_second: None,
    allowed_per_minute: None,
    paused: false,
    timeout: Duration::from_secs(10),
    mails: false,
    orphaned: false,
};

const MAILS: LaneRules = LaneRules { mails: true, ..RULES };

const OK: Outcome = Outcome::Answered { status: 200, retry_after_seconds: None };
const DOWN: Outcome = Outcome::Answered { status: 500, retry_after_seconds: None };
const SILENT: Outcome = Outcome::Failed { failure: Failure::Timeout };

fn settings() -> Settings {
    Settings {
        in_flight_max: 100,
        held_max: 1000,
        concurrency_max: 64,
        mails_in_flight_max: 2,
        lease_margin: Duration::from_secs(5),
    }
}

/// A dispatcher with the commands that it gave and nobody has carried out.
struct World {
    dispatcher: Dispatcher<u32>,
    commands: Vec<Command<u32>>,
    now: Timestamp,
}

impl World {
    fn new(settings: Settings) -> World {
        World { dispatcher: Dispatcher::new(settings), commands: Vec::new(), now: NOON }
    }

    fn tell(&mut self, input: Input<u32>) -> &mut World {
        self.commands.extend(self.dispatcher.step(input, self.now));
        self
    }

    fn born(&mut self, who: &str, n: u8, rules: LaneRules, work: u32) -> &mut World {
        let ticket = Ticket { handle: handle(who), lane: lane(n), lease_until: self.now + LEASE, work };
        self.tell(Input::Born { rules, ticket })
    }

    fn scheduled(&mut self, n: u8, rules: LaneRules, due_at: Timestamp) -> &mut World {
        self.tell(Input::Scheduled(Head { handle: handle("acme"), lane: lane(n), rules, due_at }))
    }

    fn claimed(&mut self, n: u8, works: &[u32], next_due_at: Option<Timestamp>) -> &mut World {
        let ticket = |work: &u32| Ticket {
            handle: handle("acme"),
            lane: lane(n),
            lease_until: self.now + LEASE,
            work: *work,
        };
        let tickets = works.iter().map(ticket).collect();
        self.tell(Input::Claimed(vec![Claimed { lane: lane(n), tickets, next_due_at }]))
    }

    fn finished(&mut self, n: u8, outcome: Outcome) -> &mut World {
        self.tell(Input::Finished { lane: lane(n), outcome: Some(outcome) })
    }

    /// The works of the attempts asked for since the last look, by lane.
    fn attempts(&mut self) -> Vec<(SubscriptionId, u32)> {
        let mut attempts = Vec::new();
        self.commands.retain(|command| match command {
            Command::Attempt { ticket, .. } => {
                attempts.push((ticket.lane, ticket.work));
                false
            }
            _ => true,
        });
        attempts
    }

    fn claims(&mut self) -> Vec<(SubscriptionId, u32)> {
        let mut wants = Vec::new();
        self.commands.retain(|command| match command {
            Command::Claim(lanes) => {
                wants.extend(lanes.iter().map(|want| (want.lane, want.limit)));
                false
            }
            _ => true,
        });
        wants
    }

    fn released(&mut self) -> Vec<u32> {
        let mut works = Vec::new();
        self.commands.retain(|command| match command {
            Command::Release(tickets) => {
                works.extend(tickets.iter().map(|ticket| ticket.work));
                false
            }
            _ => true,
        });
        works
    }

    fn room(&mut self, n: u8) -> Option<u32> {
        let now = self.now;
        self.dispatcher.rooms(now).into_iter().find(|(id, _)| *id == lane(n)).map(|(_, room)| room)
    }

    /// Opens the breaker of a lane by silence in a row.
    fn break_lane(&mut self, n: u8) {
        for work in 0..Breaker::SILENT_TO_OPEN {
            self.born("acme", n, RULES, work).finished(n, SILENT);
        }
        self.attempts();
    }
}

#[test]
fn a_delivery_that_is_born_leased_starts_at_once() {
    let mut world = World::new(settings());
    assert_eq!(world.born("acme", 1, RULES, 7).attempts(), [(lane(1), 7)]);
}

#[test]
fn a_lane_starts_no_more_than_its_limit_and_goes_on_as_attempts_end() {
    let mut world = World::new(settings());
    for work in 0..20 {
        world.born("acme", 1, RULES, work);
    }
    assert_eq!(world.attempts().len(), AdaptiveLimit::INITIAL as usize);
    // One place for the one that ended, and one because the limit grew.
    assert_eq!(world.finished(1, OK).attempts().len(), 2);
}

#[test]
fn a_hanging_lane_does_not_take_the_places_of_others() {
    let mut world = World::new(settings());
    for work in 0..50 {
        world.born("acme", 1, RULES, work);
    }
    assert_eq!(world.attempts().len(), AdaptiveLimit::INITIAL as usize);
    assert_eq!(world.born("acme", 2, RULES, 99).attempts(), [(lane(2), 99)]);
}

#[test]
fn places_that_all_want_go_round_between_handles() {
    let mut world = World::new(Settings { in_flight_max: 1, ..settings() });
    world.born("big", 1, RULES, 0);
    for work in 1..=3 {
        world.born("big", 1, RULES, work).born("big", 2, RULES, 10 + work);
    }
    world.born("small", 3, RULES, 100);
    let mut order = world.attempts();
    while let Some((lane, _)) = order.last().copied() {
        world.tell(Input::Finished { lane, outcome: Some(OK) });
        let next = world.attempts();
        if next.is_empty() {
            break;
        }
        order.extend(next);
    }
    let works: Vec<u32> = order.iter().map(|(_, work)| *work).collect();
    assert_eq!(works.len(), 8);
    assert!(works.iter().position(|w| *w == 100) <= Some(2), "{works:?}");
}

#[test]
fn a_scheduled_delivery_is_claimed_when_it_is_due_and_not_before() {
    let mut world = World::new(settings());
    assert_eq!(world.scheduled(1, RULES, at(5)).claims(), []);
    assert_eq!(world.dispatcher.next_wake(), Some(at(5)));
    world.now = at(5);
    assert_eq!(world.tell(Input::Woken).claims(), [(lane(1), 16)]);
    assert_eq!(world.dispatcher.next_wake(), None);
    assert_eq!(world.claimed(1, &[1], Some(at(60))).attempts(), [(lane(1), 1)]);
    assert_eq!(world.dispatcher.next_wake(), Some(at(60)));
}

#[test]
fn what_is_scheduled_during_a_claim_is_not_forgotten() {
    let mut world = World::new(settings());
    assert_eq!(world.scheduled(1, RULES, NOON).claims().len(), 1);
    world.scheduled(1, RULES, at(3));
    world.claimed(1, &[], None);
    assert_eq!(world.dispatcher.next_wake(), Some(at(3)));
}

#[test]
fn a_claim_that_failed_is_made_again_later() {
    let mut world = World::new(settings());
    world.scheduled(1, RULES, NOON).claims();
    world.tell(Input::ClaimFailed(vec![lane(1)]));
    assert_eq!(world.claims(), []);
    world.now = world.dispatcher.next_wake().expect("a time");
    assert_eq!(world.tell(Input::Woken).claims().len(), 1);
}

#[test]
fn a_backlog_is_claimed_ahead_but_only_a_window_of_it() {
    let mut world = World::new(settings());
    world.scheduled(1, RULES, NOON);
    let mut held = 0;
    for _ in 0..1000 {
        let claims = world.claims();
        let Some((_, limit)) = claims.first().copied() else { break };
        held += limit;
        world.claimed(1, &vec![0; limit as usize], Some(NOON));
    }
    assert_eq!(held, 2 * AdaptiveLimit::INITIAL);
    assert_eq!(world.attempts().len(), AdaptiveLimit::INITIAL as usize);
}

#[test]
fn nothing_is_born_leased_while_older_deliveries_wait() {
    let mut world = World::new(settings());
    assert_eq!(world.born("acme", 1, RULES, 1).room(1), Some(15));
    assert_eq!(world.scheduled(1, RULES, NOON).room(1), Some(0));
    assert_eq!(world.claimed(1, &[], None).room(1), Some(15));
    assert_eq!(world.scheduled(1, RULES, at(60)).room(1), Some(15));
}

#[test]
fn silence_in_a_row_opens_the_breaker_and_gives_the_window_back() {
    let mut world = World::new(settings());
    for work in 0..Breaker::SILENT_TO_OPEN + 4 {
        world.born("acme", 1, RULES, work);
    }
    for _ in 0..Breaker::SILENT_TO_OPEN {
        world.finished(1, SILENT);
    }
    let started = world.attempts().len();
    let released = world.released().len();
    assert_eq!(started + released, Breaker::SILENT_TO_OPEN as usize + 4);
    assert_eq!(world.room(1), Some(0));
}

#[test]
fn an_open_lane_is_probed_with_one_delivery_at_a_time() {
    let mut world = World::new(settings());
    world.break_lane(1);
    assert_eq!(world.scheduled(1, RULES, NOON).claims(), []);
    assert_eq!(world.dispatcher.next_wake(), Some(at(5)));
    world.now = at(5);
    assert_eq!(world.tell(Input::Woken).claims(), [(lane(1), 1)]);
    assert_eq!(world.claimed(1, &[1], Some(NOON)).attempts().len(), 1);
    assert_eq!(world.claims(), []);
    world.finished(1, SILENT);
    assert_eq!(world.dispatcher.next_wake(), Some(at(15)));
}

#[test]
fn a_lane_that_comes_back_ramps_up_from_one() {
    let mut world = World::new(settings());
    world.break_lane(1);
    world.now = at(5);
    world.scheduled(1, RULES, NOON);
    world.claims();
    world.claimed(1, &[1], Some(NOON));
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let under_way = world.attempts().len();
        rounds.push(under_way);
        for _ in 0..under_way {
            world.finished(1, OK);
            while let Some((_, limit)) = world.claims().first().copied() {
                world.claimed(1, &vec![0; limit as usize], Some(NOON));
            }
        }
    }
    assert_eq!(rounds, [1, 1, 2, 4, 8]);
}

#[test]
fn a_delivery_born_into_an_open_lane_goes_back_to_the_store() {
    let mut world = World::new(settings());
    world.break_lane(1);
    world.born("acme", 1, RULES, 7);
    assert_eq!((world.attempts(), world.released()), (vec![], vec![7]));
}

#[test]
fn what_a_claim_brings_to_a_lane_that_broke_meanwhile_goes_back() {
    let mut world = World::new(settings());
    world.scheduled(1, RULES, NOON).claims();
    for _ in 0..Breaker::SILENT_TO_OPEN {
        let ticket = Ticket { handle: handle("acme"), lane: lane(1), lease_until: at(90), work: 0 };
        world.tell(Input::Born { rules: RULES, ticket }).finished(1, SILENT);
    }
    world.attempts();
    world.claimed(1, &[1, 2, 3], Some(NOON));
    assert_eq!((world.attempts(), world.released()), (vec![], vec![1, 2, 3]));
}

#[test]
fn silence_makes_a_lane_narrow() {
    let mut world = World::new(settings());
    for work in 0..19 {
        world.born("acme", 1, RULES, work);
        world.attempts();
        world.finished(1, SILENT);
    }
    for work in 0..10 {
        world.born("acme", 1, RULES, work);
    }
    assert_eq!(world.attempts().len(), 1);
}

#[test]
fn a_rate_spaces_attempts() {
    let mut world = World::new(settings());
    let rules = LaneRules { rate_per_second: Some(2), ..RULES };
    for work in 0..3 {
        world.born("acme", 1, rules, work);
    }
    assert_eq!(world.attempts().len(), 1);
    world.now = world.dispatcher.next_wake().expect("a time");
    assert_eq!(world.now, NOON + Duration::from_millis(520).saturating_sub(Pace::LATE));
    assert_eq!(world.tell(Input::Woken).attempts().len(), 1);
}

#[test]
fn what_the_receiver_allows_holds_beside_the_owners_rate() {
    let mut world = World::new(settings());
    let rules = LaneRules { rate_per_second: Some(2), allowed_per_minute: Some(6), ..RULES };
    for work in 0..3 {
        world.born("acme", 1, rules, work);
    }
    assert_eq!((world.attempts().len(), world.room(1)), (1, Some(0)));
    world.now = world.dispatcher.next_wake().expect("a time");
    // A little more than ten seconds, and less by how late an attempt may be.
    assert_eq!(world.now, NOON + Duration::from_millis(9_997));
    assert_eq!(world.tell(Input::Woken).attempts().len(), 1);
    let more = LaneRules { allowed_per_minute: None, ..rules };
    world.tell(Input::Changed { handle: handle("acme"), lane: lane(1), rules: more });
    assert_eq!(world.dispatcher.next_wake(), Some(world.now + Duration::from_millis(510)));
}

#[test]
fn a_paused_lane_gives_back_what_it_holds_and_goes_on_when_resumed() {
    let mut world = World::new(settings());
    for work in 0..10 {
        world.born("acme", 1, RULES, work);
    }
    world.attempts();
    let paused = LaneRules { paused: true, ..RULES };
    world.tell(Input::Changed { handle: handle("acme"), lane: lane(1), rules: paused });
    assert_eq!(world.released(), [8, 9]);
    assert_eq!(world.scheduled(1, paused, NOON).claims(), []);
    world.tell(Input::Changed { handle: handle("acme"), lane: lane(1), rules: RULES });
    assert_eq!(world.claims().len(), 1);
}

#[test]
fn a_pause_is_no_time_for_which_the_receiver_was_out() {
    let mut world = World::new(settings());
    world.break_lane(1);
    let change = |rules| Input::Changed { handle: handle("acme"), lane: lane(1), rules };
    world.tell(change(LaneRules { paused: true, ..RULES }));
    world.now = at(1_000_000);
    world.tell(change(RULES)).claims();
    world.claimed(1, &[1], None);
    let probes = |command: &Command<u32>| matches!(command, Command::Attempt { out_since: Some(_), .. });
    assert!(!world.commands.iter().any(probes));
    assert_eq!(world.attempts().len(), 1);
}

#[test]
fn the_deliveries_of_a_removed_lane_are_withdrawn() {
    let mut world = World::new(settings());
    for work in 0..9 {
        world.born("acme", 1, RULES, work);
    }
    world.attempts();
    world.tell(Input::Removed(lane(1)));
    assert!(matches!(&world.commands[..], [Command::Withdraw(tickets)] if tickets.len() == 1));
    for _ in 0..8 {
        world.finished(1, OK);
    }
    assert!(world.dispatcher.is_idle() && world.dispatcher.lanes.is_empty());
}

#[test]
fn a_retry_of_an_attempt_that_outlived_the_removal_is_claimed_to_be_cancelled() {
    let mut world = World::new(settings());
    world.born("acme", 1, RULES, 1);
    assert_eq!(world.attempts(), [(lane(1), 1)]);
    world.tell(Input::Removed(lane(1)));
    world.scheduled(1, LaneRules::orphaned(), at(5)).finished(1, DOWN);
    assert_eq!(world.dispatcher.next_wake(), Some(at(5)));
    world.now = at(5);
    world.tell(Input::Woken);
    assert!(matches!(&world.commands[..], [Command::Claim(wants)] if wants[0].lane == lane(1)));
    // Its attempt finds out that it is to be cancelled, and nothing is left of the lane.
    world.claimed(1, &[1], None);
    assert_eq!(world.attempts(), [(lane(1), 1)]);
    world.tell(Input::Finished { lane: lane(1), outcome: None });
    assert!(world.dispatcher.is_idle() && world.dispatcher.lanes.is_empty());
    assert_eq!(world.dispatcher.next_wake(), None);
}

#[test]
fn a_lane_without_a_subscription_goes_when_a_claim_finds_nothing_in_it() {
    let mut world = World::new(settings());
    world.scheduled(1, LaneRules::orphaned(), NOON).claims();
    world.claimed(1, &[], None);
    assert!(world.dispatcher.is_idle() && world.dispatcher.lanes.is_empty());
}

#[test]
fn a_claim_that_comes_back_after_the_removal_is_withdrawn() {
    let mut world = World::new(settings());
    world.scheduled(1, RULES, NOON).claims();
    world.tell(Input::Removed(lane(1)));
    world.claimed(1, &[1], None);
    assert!(matches!(&world.commands[..], [Command::Withdraw(_)]));
    assert!(world.dispatcher.is_idle());
}

#[test]
fn a_delivery_whose_lease_is_nearly_over_is_not_started() {
    let mut world = World::new(settings());
    let ticket = Ticket { handle: handle("acme"), lane: lane(1), lease_until: at(14), work: 1 };
    world.tell(Input::Born { rules: RULES, ticket });
    assert_eq!((world.attempts(), world.released()), (vec![], vec![1]));
}

#[test]
fn draining_starts_nothing_and_gives_everything_back() {
    let mut world = World::new(settings());
    for work in 0..10 {
        world.born("acme", 1, RULES, work);
    }
    world.attempts();
    assert_eq!(world.tell(Input::Draining).released(), [8, 9]);
    assert_eq!(world.born("acme", 1, RULES, 10).released(), [10]);
    for _ in 0..8 {
        world.finished(1, OK);
    }
    assert!(world.dispatcher.is_idle() && world.attempts().is_empty());
}

#[test]
fn an_attempt_that_was_cut_short_says_nothing_about_the_receiver() {
    let mut world = World::new(settings());
    world.break_lane(1);
    world.now = at(5);
    world.scheduled(1, RULES, NOON).claims();
    world.claimed(1, &[1], Some(NOON)).attempts();
    world.tell(Input::Finished { lane: lane(1), outcome: None });
    assert_eq!(world.claims(), [(lane(1), 1)]);
}

#[test]
fn memory_is_bounded_over_all_lanes() {
    let mut world = World::new(Settings { held_max: 20, ..settings() });
    for n in 1..=5 {
        world.scheduled(n, RULES, NOON);
    }
    let asked: u32 = world.claims().iter().map(|(_, limit)| limit).sum();
    assert_eq!(asked, 20);
    // Births have no claim behind them, and the limit holds for them too.
    for work in 0..50 {
        world.born("beta", 9, RULES, work);
    }
    assert_eq!((world.attempts().len(), world.released().len()), (0, 50));
}

#[test]
fn mails_that_wait_for_a_connection_take_no_place_of_a_webhook() {
    let mut world = World::new(Settings { in_flight_max: 10, held_max: 100, ..settings() });
    for n in 1..=20 {
        world.born("acme", n, MAILS, u32::from(n));
    }
    assert_eq!(world.attempts(), [(lane(1), 1), (lane(2), 2)]);
    for n in 101..=108 {
        world.born("acme", n, RULES, u32::from(n));
    }
    let started: Vec<_> = world.attempts().into_iter().map(|(_, work)| work).collect();
    assert_eq!(started, (101..=108).collect::<Vec<_>>());
    // The next mail begins when one is over, and not before.
    world.finished(101, OK);
    assert_eq!(world.attempts(), []);
    world.finished(1, OK);
    assert_eq!(world.attempts(), [(lane(3), 3)]);
}

#[test]
fn no_more_mails_are_leased_than_can_go_out_soon_and_the_rest_is_claimed_when_there_is_room() {
    let mut world = World::new(settings());
    for n in 1..=20 {
        world.born("acme", n, MAILS, u32::from(n));
    }
    let released: usize = world
        .commands
        .drain(..)
        .map(|command| if let Command::Release(tickets) = command { tickets.len() } else { 0 })
        .sum();
    assert_eq!(released, 20 - settings().mails_held_max());
    world.scheduled(30, MAILS, NOON);
    assert_eq!(world.commands.len(), 0, "there is no room to claim");
    world.finished(1, OK);
    let claims = |command: &Command<u32>| matches!(command, Command::Claim(wants) if wants.len() == 1 && wants[0].lane == lane(30) && wants[0].limit == 1);
    assert!(world.commands.iter().any(claims), "{:?}", world.commands);
}

#[test]
fn mails_and_webhooks_take_turns_where_there_is_little_room() {
    let mut world = World::new(Settings { in_flight_max: 1, mails_in_flight_max: 4, ..settings() });
    world.born("acme", 200, RULES, 200);
    for n in 1..=3 {
        world.born("acme", n, MAILS, u32::from(n));
        world.born("acme", n + 100, RULES, u32::from(n) + 100);
    }
    let mut order = Vec::new();
    while let Some((lane, work)) = world.attempts().pop() {
        order.push(work < 100);
        world.tell(Input::Finished { lane, outcome: Some(OK) });
    }
    assert_eq!(order.len(), 7);
    assert!(!order.windows(3).any(|three| three == [true, true, true]), "{order:?}");
    assert!(order[1..4].contains(&true), "{order:?}");
}

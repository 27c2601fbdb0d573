//! How many requests a caller may make: a token bucket for each credential and class of routes.
//!
//! The buckets are in memory, bounded in number, and full again after a restart: they keep one
//! caller from using up the service, and are no bookkeeping. What a plan allows a day is counted
//! in the store ([decision 0019](../../../../decisions/0019-limits-and-quotas.md)).

mod buckets;
mod sessions;
mod standing;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Clock;
use governor::clock;
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};

use buckets::{Buckets, Key};

pub(crate) use sessions::SessionPace;
pub(crate) use standing::{Refused, Standing};

/// Which requests share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reading.
    Read,
    /// Changing anything but the log of events.
    Write,
    /// Asking what may make a rule rest and publish an event: as often as a credential may change
    /// anything, in the same bucket, and without a draw.
    Decide,
    /// Publishing. The store's queue refuses what is too much, so it has no limit unless set.
    Publish,
    /// Anything through the v1 API.
    V1,
    /// What anybody may ask, without a credential, counted by address.
    Public,
    /// Reports of somebody without a credential, counted by address.
    Reports,
    /// Signals of one session.
    Signals,
    /// Requests whose credential was refused, counted by address.
    Unauthenticated,
}

/// So many requests in so long, and how many of them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many requests a window brings. 0: no limit.
    pub requests: u32,
    /// How long that takes.
    pub window: Duration,
    /// How many may come at once after a silence. 0: as many as a window brings.
    pub burst: u32,
}

/// The rate of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Reading.
    pub read: Rate,
    /// Changing.
    pub write: Rate,
    /// Publishing.
    pub publish: Rate,
    /// The v1 API.
    pub v1: Rate,
    /// What anybody may ask.
    pub public: Rate,
    /// Reports of strangers.
    pub reports: Rate,
    /// Signals of one session.
    pub signals: Rate,
    /// Refused credentials.
    pub unauthenticated: Rate,
}

/// The buckets of every class. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RateLimits {
    read: Option<Arc<Limiter>>,
    write: Option<Arc<Limiter>>,
    publish: Option<Arc<Limiter>>,
    v1: Option<Arc<Limiter>>,
    public: Option<Arc<Limiter>>,
    reports: Option<Arc<Limiter>>,
    signals: Option<Arc<Limiter>>,
    unauthenticated: Option<Arc<Limiter>>,
}

struct Limiter {
    class: Class,
    governor: RateLimiter<Key, Buckets, Steady, StateInformationMiddleware>,
    clock: Steady,
    /// How many requests a full bucket holds, and how long an empty one takes to be full.
    quota: u32,
    window: Duration,
    /// How long one request's place takes to come back.
    each: Duration,
}

/// The engine's clock as the library wants it.
#[derive(Clone)]
struct Steady(Arc<dyn Clock>);

impl clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.steady()
    }
}

impl Class {
    /// The word in headers and figures.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write | Class::Decide => "write",
            Class::Publish => "publish",
            Class::V1 => "v1",
            Class::Public => "public",
            Class::Reports => "reports",
            Class::Signals => "signals",
            Class::Unauthenticated => "unauthenticated",
        }
    }
}

impl Rate {
    /// So many a minute.
    pub const fn per_minute(requests: u32, burst: u32) -> Rate {
        Rate { requests, window: Duration::from_mins(1), burst }
    }

    /// So many an hour.
    pub const fn per_hour(requests: u32, burst: u32) -> Rate {
        Rate { requests, window: Duration::from_hours(1), burst }
    }
}

impl RateLimits {
    pub(crate) fn new(rates: &Rates, clock: &Arc<dyn Clock>) -> RateLimits {
        let limiter = |class, rate| Limiter::new(class, rate, Steady(clock.clone())).map(Arc::new);
        RateLimits {
            read: limiter(Class::Read, rates.read),
            write: limiter(Class::Write, rates.write),
            publish: limiter(Class::Publish, rates.publish),
            v1: limiter(Class::V1, rates.v1),
            public: limiter(Class::Public, rates.public),
            reports: limiter(Class::Reports, rates.reports),
            signals: limiter(Class::Signals, rates.signals),
            unauthenticated: limiter(Class::Unauthenticated, rates.unauthenticated),
        }
    }

    /// Takes a place for one request of a credential. None: the class has no limit.
    ///
    /// Each handle (`owner`) has a bucket of its own, also where one credential is good for many: a busy
    /// tenant takes nothing from the others.
    pub(crate) fn take(&self, class: Class, owner: &str, actor: &str) -> Result<Option<Standing>, Refused> {
        let Some(limiter) = self.limiter(class) else { return Ok(None) };
        limiter.take(&Key::of_credential(owner, actor)).map(Some)
    }

    /// Takes a place for one request of an address. None: the class has no limit, or nobody knows the
    /// address.
    pub(crate) fn take_of_address(
        &self,
        class: Class,
        address: Option<IpAddr>,
    ) -> Result<Option<Standing>, Refused> {
        match (self.limiter(class), address) {
            (Some(limiter), Some(address)) => limiter.take(&Key::of_address(address)).map(Some),
            _ => Ok(None),
        }
    }

    /// Takes places for signals of a session. More than a full bucket holds take all of it.
    fn take_of_session(&self, handle: &str, id: &str, count: u32) -> Result<(), Refused> {
        let Some(limiter) = self.limiter(Class::Signals) else { return Ok(()) };
        let count = NonZeroU32::new(count.min(limiter.quota)).unwrap_or(NonZeroU32::MIN);
        limiter.take_many(&Key::of_session(handle, id), count).map(drop)
    }

    /// Whether an address has shown so many bad credentials that its next one is not looked at.
    pub(crate) fn refuses(&self, address: Option<IpAddr>) -> Result<(), Refused> {
        match (&self.unauthenticated, address) {
            (Some(limiter), Some(address)) => limiter.take(&Key::look_at(address)).map(drop),
            _ => Ok(()),
        }
    }

    /// Counts a bad credential against an address. None: it is not counted.
    pub(crate) fn failed(&self, address: Option<IpAddr>) -> Option<Standing> {
        let limiter = self.unauthenticated.as_ref()?;
        match limiter.take(&Key::of_address(address?)) {
            Ok(standing) | Err(Refused { standing, .. }) => Some(standing),
        }
    }

    fn limiter(&self, class: Class) -> Option<&Limiter> {
        let limiter = match class {
            Class::Read => &self.read,
            Class::Write | Class::Decide => &self.write,
            Class::Publish => &self.publish,
            Class::V1 => &self.v1,
            Class::Public => &self.public,
            Class::Reports => &self.reports,
            Class::Signals => &self.signals,
            Class::Unauthenticated => &self.unauthenticated,
        };
        limiter.as_deref()
    }
}

impl Limiter {
    fn new(class: Class, rate: Rate, clock: Steady) -> Option<Limiter> {
        let requests = NonZeroU32::new(rate.requests)?;
        let burst = NonZeroU32::new(rate.burst).unwrap_or(requests);
        let each = rate.window / requests.get();
        let quota = Quota::with_period(each)?.allow_burst(burst);
        let buckets = Buckets::new(clock.clone());
        let governor = RateLimiter::new(quota, buckets, clock.clone());
        Some(Limiter { class, governor, clock, quota: burst.get(), window: each * burst.get(), each })
    }

    fn take(&self, key: &Key) -> Result<Standing, Refused> {
        self.take_many(key, NonZeroU32::MIN)
    }

    /// Takes so many places, or none; a full bucket must hold them.
    fn take_many(&self, key: &Key, count: NonZeroU32) -> Result<Standing, Refused> {
        let standing = |remaining: u32, reset| Standing {
            class: self.class,
            quota: self.quota,
            window: self.window,
            remaining,
            reset,
        };
        let taken = self.governor.check_key_n(key, count);
        match taken.expect("a full bucket holds them") {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                Ok(standing(remaining, self.each * self.quota.saturating_sub(remaining)))
            }
            Err(until) => {
                let wait = until.wait_time_from(clock::Clock::now(&self.clock));
                Err(Refused { standing: standing(0, wait), wait })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use angarium_domain::time::Timestamp;

    use super::*;

    #[derive(Default)]
    struct Hands(AtomicU64);

    impl Hands {
        fn advance(&self, by: Duration) {
            self.0.fetch_add(by.as_nanos() as u64, Relaxed);
        }
    }

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn steady(&self) -> Duration {
            Duration::from_nanos(self.0.load(Relaxed))
        }
    }

    const OFF: Rate = Rate::per_minute(0, 0);

    fn limits(rates: Rates) -> (RateLimits, Arc<Hands>) {
        let hands = Arc::new(Hands::default());
        let clock: Arc<dyn Clock> = hands.clone();
        (RateLimits::new(&rates, &clock), hands)
    }

    fn only_reads(rate: Rate) -> Rates {
        Rates {
            read: rate,
            write: OFF,
            publish: OFF,
            v1: OFF,
            public: OFF,
            reports: OFF,
            signals: OFF,
            unauthenticated: OFF,
        }
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_at_its_rate() {
        let (limits, hands) = limits(only_reads(Rate::per_minute(6, 2)));
        let take = || limits.take(Class::Read, "acme", "tok_1");
        let first = take().expect("a place").expect("a limit");
        assert_eq!((first.remaining, first.reset), (1, Duration::from_secs(10)));
        assert_eq!((first.quota, first.window), (2, Duration::from_secs(20)));
        assert!(take().is_ok());
        let refused = take().expect_err("no place is left");
        assert_eq!((refused.wait, refused.standing.remaining), (Duration::from_secs(10), 0));
        hands.advance(Duration::from_nanos(9_999_999_999));
        assert_eq!(take().expect_err("still too early").wait, Duration::from_nanos(1));
        hands.advance(Duration::from_nanos(1));
        assert!(take().is_ok());
        assert!(take().is_err());
    }

    #[test]
    fn credentials_handles_and_classes_do_not_take_from_each_other() {
        let rate = Rate::per_minute(1, 0);
        let (limits, _) = limits(Rates { write: rate, ..only_reads(rate) });
        for (class, name, actor) in [
            (Class::Read, "acme", "tok_1"),
            (Class::Read, "acme", "tok_2"),
            (Class::Read, "beta", "tok_1"),
            (Class::Write, "acme", "tok_1"),
        ] {
            assert!(limits.take(class, name, actor).is_ok(), "{name} {actor}");
            assert!(limits.take(class, name, actor).is_err(), "{name} {actor}");
        }
    }

    #[test]
    fn a_class_without_a_limit_has_no_standing() {
        let (limits, _) = limits(only_reads(OFF));
        for _ in 0..10_000 {
            assert!(limits.take(Class::Read, "acme", "tok_1").expect("a place").is_none());
        }
    }

    #[test]
    fn looking_takes_nothing_and_failures_shut_an_address_out_for_a_while() {
        let rates = Rates { unauthenticated: Rate::per_minute(60, 2), ..only_reads(OFF) };
        let (limits, hands) = limits(rates);
        let address: Option<IpAddr> = Some("192.0.2.1".parse().expect("an address"));
        for _ in 0..10 {
            assert!(limits.refuses(address).is_ok());
        }
        assert_eq!(limits.failed(address).expect("counted").remaining, 1);
        assert!(limits.refuses(address).is_ok());
        assert_eq!(limits.failed(address).expect("counted").remaining, 0);
        assert_eq!(limits.refuses(address).expect_err("shut out").wait, Duration::from_secs(1));
        assert!(limits.refuses(Some("192.0.2.2".parse().expect("an address"))).is_ok());
        assert!(limits.refuses(None).is_ok());
        hands.advance(Duration::from_secs(1));
        assert!(limits.refuses(address).is_ok());
    }

    #[test]
    fn an_address_has_its_own_places_and_one_that_nobody_knows_is_not_counted() {
        let (limits, hands) = limits(Rates { public: Rate::per_minute(1, 0), ..only_reads(OFF) });
        let take = |text: Option<&str>| {
            let address = text.map(|text| text.parse().expect("an address"));
            limits.take_of_address(Class::Public, address)
        };
        for address in ["192.0.2.1", "192.0.2.2"] {
            assert_eq!(take(Some(address)).expect("a place").expect("a limit").remaining, 0);
            let refused = take(Some(address)).expect_err("no place is left");
            assert_eq!((refused.standing.class, refused.wait), (Class::Public, Duration::from_mins(1)));
        }
        for _ in 0..3 {
            assert!(take(None).expect("a place").is_none());
        }
        hands.advance(Duration::from_mins(1));
        assert!(take(Some("192.0.2.1")).is_ok());
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_address() {
        let rates = Rates { unauthenticated: Rate::per_minute(60, 1), ..only_reads(OFF) };
        let (limits, _) = limits(rates);
        let address = |text: &str| Some(text.parse().expect("an address"));
        limits.failed(address("2001:db8:1:2::1"));
        assert!(limits.refuses(address("2001:db8:1:2:ffff::9")).is_err());
        assert!(limits.refuses(address("2001:db8:1:3::1")).is_ok());
    }
}

use super::*;

#[track_caller]
fn all_promises_are_kept(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = run(seed, false, None);
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn promises_are_kept_in_a_hundred_and_fifty_worlds() {
    all_promises_are_kept(0..150);
}

#[test]
fn promises_are_kept_in_a_hundred_and_fifty_more_worlds() {
    all_promises_are_kept(150..300);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..10 {
        assert_eq!(run(seed, false, None).digest, run(seed, true, None).digest, "seed {seed}");
    }
    assert_ne!(run(0, false, None).digest, run(1, false, None).digest);
}

/// Some seed must show the lie as this promise broken.
#[track_caller]
fn is_caught(lie: Lie, promise: &str) {
    let caught =
        |seed| run(seed, false, Some(lie)).violations.iter().any(|violation| violation.promise == promise);
    assert!((0..40).any(caught), "nobody noticed {lie:?}");
}

#[test]
fn the_checker_catches_lies() {
    is_caught(Lie::ForgetSettlement, "I3 termination");
    is_caught(Lie::ForgetRecord, "I11 attempts listed");
    is_caught(Lie::SendTwice, "I9 exclusivity");
    is_caught(Lie::SendTwice, "I4 attempt bound");
    is_caught(Lie::TooSoon, "I5 schedule");
    is_caught(Lie::WrongClass, "I7 classification");
    is_caught(Lie::SwallowClaims, "I3 termination");
    is_caught(Lie::Disorder, "order");
    is_caught(Lie::HidePause, "silence of paused and removed lanes");
    is_caught(Lie::HideRate, "rate");
    is_caught(Lie::HideConcurrency, "concurrency");
}

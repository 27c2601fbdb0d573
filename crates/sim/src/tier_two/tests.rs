use super::*;

#[track_caller]
fn all_promises_are_kept(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let report = run(seed, false, None);
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn promises_are_kept_in_twenty_worlds() {
    all_promises_are_kept(0..20);
}

#[test]
fn promises_are_kept_in_twenty_more_worlds() {
    all_promises_are_kept(20..40);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..6 {
        assert_eq!(run(seed, false, None).digest, run(seed, false, None).digest, "seed {seed}");
    }
    assert_ne!(run(0, false, None).digest, run(1, false, None).digest);
}

/// Some seed must show the lie as this promise broken.
#[track_caller]
fn is_caught(lie: Lie, promise: &str) {
    let caught =
        |seed| run(seed, false, Some(lie)).violations.iter().any(|violation| violation.promise == promise);
    assert!((0..20).any(caught), "nobody noticed {lie:?}");
}

#[test]
fn a_store_that_forgets_is_caught() {
    is_caught(Lie::ForgetCommit, "I1 durability");
    is_caught(Lie::HideDeaths, "I11 terminal failures");
    is_caught(Lie::HideDeaths, "inboxes");
    is_caught(Lie::ForgetSettlement, "I11 attempts listed");
    is_caught(Lie::ForgetKeys, "I10 idempotency");
    is_caught(Lie::Dawdle, "I8 isolation");
    is_caught(Lie::Disorder, "order");
    is_caught(Lie::ForgetReplays, "replays");
}

#[test]
fn a_channel_that_lies_is_caught() {
    is_caught(Lie::SendTwice, "I9 exclusivity");
    is_caught(Lie::SendTwice, "I4 attempt bound");
    is_caught(Lie::ChangeBody, "I2 no invention");
    is_caught(Lie::ChangeBody, "I6 identity");
    is_caught(Lie::Mistell, "I11 attempts listed");
    is_caught(Lie::KeepAddress, "consistent snapshot");
}

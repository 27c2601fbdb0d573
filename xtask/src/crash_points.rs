//! `crash-points`: the process ends at every named place in turn, and no accepted event is lost.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::sleep;

use crate::{
    ledger::Verdict,
    producer::Producer,
    product::{self, Running},
    trial::Trial,
};

/// How long a place may take to be reached under load.
const REACHED_WITHIN: Duration = Duration::from_secs(20);

/// Light: a crash is found by its place here, not by its moment.
const RATE: u32 = 50;

/// When a place is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// Again and again while events flow.
    Load,
    /// When a store is made: before the schema's first step, and after each step.
    FirstStart,
    /// Once, when the process is asked to stop.
    Stop,
}

impl Occasion {
    /// How often a place is reached, at least, by a process on this occasion.
    fn times(self) -> u32 {
        match self {
            Occasion::Load => u32::MAX,
            Occasion::FirstStart => 2,
            Occasion::Stop => 1,
        }
    }
}

const POINTS: &[(&str, Occasion)] = &[
    ("before-commit", Occasion::Load),
    ("after-commit-before-reply", Occasion::Load),
    ("mid-batch", Occasion::Load),
    ("after-answer-before-settle", Occasion::Load),
    ("during-migration", Occasion::FirstStart),
    ("during-drain", Occasion::Stop),
];

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct CrashPointsArgs {
    /// Trials for each place: the process ends there the first time, the second time, …
    #[arg(long, default_value_t = 3)]
    hits: u32,
    /// Only this place
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// One trial: where, and at which time of reaching it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    point: &'static str,
    occasion: Occasion,
    hit: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.point, self.hit))
    }
}

/// Runs every case, and fails when a place was not reached or a book does not balance.
pub(crate) async fn run(args: CrashPointsArgs) -> Result<()> {
    let cases = cases(args.hits, args.only.as_deref());
    ensure!(!cases.is_empty(), "no crash point has that name; there are {}", names().join(", "));
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let mut sum = Verdict::default();
    for case in &cases {
        let verdict = crash_at(&binary, *case).await.with_context(|| format!("at {case}"))?;
        println!("{case:<32}{} events, {} faults", verdict.events_accepted, verdict.faults.len());
        sum.absorb(verdict);
    }
    println!("{:<28}{}", "crashes where intended", cases.len());
    println!("{sum}");
    ensure!(sum.faults.is_empty(), "{} faults", sum.faults.len());
    Ok(())
}

fn names() -> Vec<&'static str> {
    POINTS.iter().map(|(name, _)| *name).collect()
}

/// A place that a process reaches fewer times than asked is crashed from its first time again.
fn cases(hits: u32, only: Option<&str>) -> Vec<Case> {
    let wanted = POINTS.iter().filter(|(point, _)| only.is_none_or(|only| only == *point));
    wanted
        .flat_map(|(point, occasion)| {
            (1..=hits).map(|hit| Case { point, occasion: *occasion, hit: (hit - 1) % occasion.times() + 1 })
        })
        .collect()
}

async fn crash_at(binary: &Path, case: Case) -> Result<Verdict> {
    let mut trial = Trial::new(binary).await?;
    let (running, producer) = match case.occasion {
        Occasion::FirstStart => crash_on_first_start(&mut trial, case).await?,
        Occasion::Load | Occasion::Stop => crash_under_load(&mut trial, case).await?,
    };
    sleep(Duration::from_millis(500)).await;
    let accepted = producer.stop().await?;
    trial.conclude(running, accepted).await
}

async fn crash_on_first_start(trial: &mut Trial, case: Case) -> Result<(Running, Producer)> {
    let mut doomed = trial.installation.start(Some(&case.to_string()))?;
    expect_abort(&mut doomed).await?;
    let (running, _) = trial.restart().await?;
    trial.subscribe().await?;
    let producer = trial.publish(RATE);
    Ok((running, producer))
}

async fn crash_under_load(trial: &mut Trial, case: Case) -> Result<(Running, Producer)> {
    // The lanes are subscribed by an unarmed process, so that the crash meets events and not settings.
    let mut calm = trial.installation.start(None)?;
    calm.ready().await?;
    trial.subscribe().await?;
    calm.ask_to_stop()?;
    let status = calm.ended().await?;
    ensure!(status.success(), "an idle server ended with {status} when asked to stop\n{}", calm.last_words());

    let mut doomed = trial.installation.start(Some(&case.to_string()))?;
    let producer = trial.publish(RATE);
    if case.occasion == Occasion::Stop {
        doomed.ready().await?;
        arrivals(trial).await?;
        doomed.ask_to_stop()?;
    }
    expect_abort(&mut doomed).await?;
    let (running, _) = trial.restart().await?;
    Ok((running, producer))
}

/// Waits until deliveries flow, so that there is something to drain.
async fn arrivals(trial: &Trial) -> Result<()> {
    for _ in 0..1_000 {
        if trial.witness.count() >= 20 {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    bail!("nothing arrived within 10 s")
}

async fn expect_abort(doomed: &mut Running) -> Result<()> {
    match doomed.ended_within(REACHED_WITHIN).await? {
        Some(status) if product::aborted(status) => Ok(()),
        Some(status) => {
            bail!("the process ended with {status} instead of at the crash point\n{}", doomed.last_words())
        }
        None => bail!("the crash point was not reached within {REACHED_WITHIN:?}\n{}", doomed.last_words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_crashed_at_each_hit_or_in_as_many_lives() {
        let shown = |only| cases(3, Some(only)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown("mid-batch"), ["mid-batch:1", "mid-batch:2", "mid-batch:3"]);
        assert_eq!(
            shown("during-migration"),
            ["during-migration:1", "during-migration:2", "during-migration:1"]
        );
        assert_eq!(shown("during-drain"), ["during-drain:1", "during-drain:1", "during-drain:1"]);
        assert_eq!(cases(3, None).len(), 18);
        assert_eq!(shown("nowhere"), [""; 0]);
    }
}

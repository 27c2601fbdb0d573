//! `check`: what continuous integration runs, in the order in which failures are cheapest.

use std::{
    future::Future,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, Parser};
use tokio::time::Instant;

use crate::{
    backup::{self, BackupArgs},
    beside::{self, BesideArgs},
    chaos::{self, ChaosArgs},
    crash_points::{self, CrashPointsArgs},
    email::{self, EmailArgs},
    examples::{self, ExamplesArgs},
    fuzz::{self, FuzzArgs},
    ordered::{self, OrderedArgs},
    product,
    replays::{self, ReplaysArgs},
    s3::{self, S3Args},
    schemathesis::{self, SchemathesisArgs},
    ses::{self, SesArgs},
    tidy,
    verify_libraries::{self, VerifyArgs},
    workspace,
};

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Also builds the release binary and tries it: chaos, crash points, order, demo, official libraries
    #[arg(long)]
    full: bool,
}

/// Runs every step, and stops at the first that fails.
pub(crate) async fn run(args: CheckArgs) -> Result<()> {
    let mut steps = Steps::default();
    check_sources(&mut steps).await?;
    if args.full {
        check_binary(&mut steps).await?;
    }
    steps.summarise();
    Ok(())
}

async fn check_sources(steps: &mut Steps) -> Result<()> {
    steps.cargo("format", &["fmt", "--all", "--check"]).await?;
    steps.own("tidy", async { tidy::run() }).await?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
    steps.cargo("clippy", &clippy).await?;
    if has_nextest() {
        steps.cargo("tests", &["nextest", "run", "--workspace"]).await?;
        steps.cargo("documentation tests", &["test", "--workspace", "--doc", "--quiet"]).await?;
    } else {
        steps.cargo("tests", &["test", "--workspace", "--quiet"]).await?;
    }
    // Without arguments: both tiers, on the seeds that never change.
    steps.cargo("simulation", &["run", "--quiet", "--package", "xtask", "--", "sim"]).await
}

async fn check_binary(steps: &mut Steps) -> Result<()> {
    steps.own("release build", async { product::build().map(drop) }).await?;
    let binary = workspace::target_folder("release")?.join("angarium");
    let chaos: ChaosArgs = with_defaults(&["--kills", "10"], &binary)?;
    steps.own("chaos", chaos::run(chaos)).await?;
    let crash_points: CrashPointsArgs = with_defaults(&["--hits", "3"], &binary)?;
    steps.own("crash points", crash_points::run(crash_points)).await?;
    let beside: BesideArgs = with_defaults(&["--kills", "20"], &binary)?;
    steps.own("chaos beside webhooks", beside::run(beside)).await?;
    let backup: BackupArgs = with_defaults(&[], &binary)?;
    steps.own("backup and restore", backup::run(backup)).await?;
    let ordered: OrderedArgs = with_defaults(&["--events", "5000", "--keys", "100"], &binary)?;
    steps.own("order by key", ordered::run(ordered)).await?;
    let replays: ReplaysArgs = with_defaults(&["--deliveries", "1000", "--rate", "250"], &binary)?;
    steps.own("replays", replays::run(replays)).await?;
    let demo = async { workspace::run(Command::new(&binary).args(["demo", "--once", "--events", "200"])) };
    steps.own("demo", demo).await?;
    let scripts: ExamplesArgs = with_defaults(&[], &binary)?;
    steps.own("examples", examples::run(scripts)).await?;
    let schemathesis: SchemathesisArgs = with_defaults(&[], &binary)?;
    steps.own("schemathesis", schemathesis::run(schemathesis)).await?;
    let mails: EmailArgs = with_defaults(&[], &binary)?;
    steps.own("e-mail", email::run(mails)).await?;
    let amazon: SesArgs = with_defaults(&[], &binary)?;
    steps.own("Amazon SES", async { ses::run(&amazon) }).await?;
    let bucket: S3Args = with_defaults(&[], &binary)?;
    steps.own("S3", s3::run(bucket)).await?;
    let libraries: VerifyArgs = with_defaults(&[], &binary)?;
    steps.own("official libraries", verify_libraries::run(libraries)).await?;
    let inputs = FuzzArgs { target: None, seconds: 0, inputs: Some(400_000) };
    steps.own("fuzzing", async { fuzz::run(&inputs) }).await
}

/// A subcommand's arguments as its own parser reads them, so that defaults stand in one place.
fn with_defaults<A: Args>(arguments: &[&str], binary: &Path) -> Result<A> {
    #[derive(Parser)]
    struct Alone<A: Args> {
        #[command(flatten)]
        args: A,
    }

    let program = PathBuf::from("xtask");
    let words = std::iter::once(program).chain(arguments.iter().map(PathBuf::from));
    let words = words.chain([PathBuf::from("--binary"), binary.to_owned()]);
    Ok(Alone::try_parse_from(words)?.args)
}

fn has_nextest() -> bool {
    workspace::cargo().args(["nextest", "--version"]).output().is_ok_and(|answer| answer.status.success())
}

/// What was done, and how long it took.
#[derive(Debug, Default)]
struct Steps {
    done: Vec<(&'static str, Duration)>,
}

impl Steps {
    async fn cargo(&mut self, name: &'static str, arguments: &[&str]) -> Result<()> {
        self.own(name, async { workspace::run(workspace::cargo().args(arguments)) }).await
    }

    async fn own(&mut self, name: &'static str, work: impl Future<Output = Result<()>>) -> Result<()> {
        println!("── {name}");
        let began = Instant::now();
        work.await.with_context(|| format!("step {name} failed after {:.0?}", began.elapsed()))?;
        self.done.push((name, began.elapsed()));
        println!("── {name}: {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    }

    fn summarise(&self) {
        println!();
        for (name, time) in &self.done {
            println!("{name:<22} {:>7.1} s", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time)| *time).sum();
        println!("{:<22} {:>7.1} s", "all", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_step_is_named_and_not_counted_as_done() {
        let mut steps = Steps::default();
        steps.own("first", async { Ok(()) }).await.unwrap();
        let failure = steps.own("second", async { anyhow::bail!("because") }).await.unwrap_err();
        assert!(failure.to_string().starts_with("step second failed after"), "{failure}");
        assert_eq!(steps.done.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["first"]);
    }

    #[test]
    fn subcommands_get_their_defaults_from_their_own_parser() {
        let parsed: ChaosArgs = with_defaults(&["--kills", "3"], Path::new("angarium")).unwrap();
        assert_eq!(
            format!("{parsed:?}"),
            r#"ChaosArgs { kills: 3, rate: 100, seed: None, binary: Some("angarium") }"#
        );
        with_defaults::<ChaosArgs>(&["--kills", "many"], Path::new("angarium")).unwrap_err();
    }
}

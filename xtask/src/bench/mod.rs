//! `bench`: what the release binary does on this machine, beside what the machine itself can do.
//!
//! Slowness never fails a bench; a lost delivery does.

mod chain;
mod inbox;
mod load;
mod policies;
mod report;
mod scenarios;
mod stage;
mod tally;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use self::report::Report;
use crate::product;

/// What to measure, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Only these scenarios, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Seconds of load in each measurement
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Deliveries that wait for a dead receiver in scenario backlog
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    backlog: u32,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// One measurement with a fresh store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Raw requests a second of generator and receiver, and durable appends a second of the disk
    Ceilings,
    /// From the start of the process to its first answer, on a fresh store
    Start,
    /// Events accepted and delivered a second, their cost in processor time, and memory
    Throughput,
    /// The same at 64 connections, with each thing that a subscription can ask for
    Policies,
    /// From publishing to arrival, at 50 events a second and at half of the greatest throughput
    Latency,
    /// One event to fifty subscriptions
    FanOut,
    /// A healthy subscription beside one whose receiver never answers
    Isolation,
    /// From posting an item to each of a thousand listeners of the inbox
    Inbox,
    /// Throughput while many deliveries wait for a dead receiver
    Backlog,
    /// Decisions upon a full session by a hundred rules, at 1,000 a second
    Chain,
}

/// Runs the chosen scenarios, prints their figures, and writes them to `target/bench`.
pub(crate) async fn run(args: BenchArgs) -> Result<()> {
    let binary = args.binary.clone().map_or_else(product::build, Ok)?;
    let chosen = if args.only.is_empty() { Scenario::value_variants() } else { &args.only };
    let mut report = Report::begin();
    for scenario in chosen {
        let name = format!("{scenario:?}");
        play(*scenario, &args, &binary, &mut report).await.with_context(|| format!("scenario {name}"))?;
    }
    println!("\nraw figures: {}", report.write()?.display());
    ensure!(report.losses().is_empty(), "something was lost:\n{}", report.losses().join("\n"));
    Ok(())
}

async fn play(scenario: Scenario, args: &BenchArgs, binary: &Path, report: &mut Report) -> Result<()> {
    let time = Duration::from_secs(args.seconds);
    match scenario {
        Scenario::Ceilings => scenarios::ceilings(binary, time, report).await,
        Scenario::Start => scenarios::start(binary, report).await,
        Scenario::Throughput => scenarios::throughput(binary, time, report).await,
        Scenario::Policies => policies::policies(binary, time, report).await,
        Scenario::Latency => scenarios::latency(binary, time, report).await,
        Scenario::FanOut => scenarios::fan_out(binary, report).await,
        Scenario::Isolation => scenarios::isolation(binary, time, report).await,
        Scenario::Inbox => inbox::inbox(binary, report).await,
        Scenario::Chain => chain::chain(binary, time, report).await,
        Scenario::Backlog => scenarios::backlog(binary, time, args.backlog, report).await,
    }
}

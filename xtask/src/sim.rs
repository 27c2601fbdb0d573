//! `sim`: many seeds under the weather, or one seed and its whole story.

use angarium_sim::{Report, Tier};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use tokio::time::Instant;

/// Seeds of a check: the ones that never change.
const SEEDS_OF_TIER_ONE: u64 = 1_000;
const SEEDS_OF_TIER_TWO: u64 = 60;

/// Which seeds to run.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// How many seeds; without it as many as a check runs
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,

    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,

    /// Only this seed
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,

    /// Only this tier
    #[arg(long, value_enum)]
    tier: Option<TierArg>,

    /// Tells the whole story of each seed
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TierArg {
    /// The dispatcher and the decisions alone
    One,
    /// The whole engine over the memory store
    Two,
}

/// Runs the seeds of each tier, and fails if one of them broke a promise.
pub(crate) async fn run(args: SimArgs) -> Result<()> {
    // Each life of tier two is a runtime of its own, which cannot begin inside of another.
    tokio::task::spawn_blocking(move || run_seeds(&args)).await?
}

fn run_seeds(args: &SimArgs) -> Result<()> {
    let tiers = match args.tier {
        None => vec![Tier::One, Tier::Two],
        Some(TierArg::One) => vec![Tier::One],
        Some(TierArg::Two) => vec![Tier::Two],
    };
    let mut failed = Vec::new();
    for tier in tiers {
        failed.extend(run_tier(args, tier));
    }
    for report in &failed {
        println!("{report}\n");
    }
    match failed.len() {
        0 => Ok(()),
        count => bail!("{count} seeds broke a promise"),
    }
}

fn run_tier(args: &SimArgs, tier: Tier) -> Vec<Report> {
    let of_check = match tier {
        Tier::One => SEEDS_OF_TIER_ONE,
        Tier::Two => SEEDS_OF_TIER_TWO,
    };
    let seeds = match args.seed {
        Some(seed) => seed..seed + 1,
        None => args.from..args.from + args.seeds.unwrap_or(of_check),
    };
    let began = Instant::now();
    let (mut requests, mut crashes, mut failed) = (0, 0, Vec::new());
    for seed in seeds.clone() {
        let report = angarium_sim::run(tier, seed, args.verbose);
        requests += report.figures.sends;
        crashes += report.figures.crashes;
        if !report.is_clean() {
            failed.push(report);
        } else if args.verbose {
            println!("{report}");
        }
    }
    let (count, took) = (seeds.end - seeds.start, began.elapsed().as_secs_f64());
    println!(
        "tier {}: {count} seeds, {requests} requests, {crashes} crashes, {} failed, {took:.1} s",
        tier.as_str(),
        failed.len()
    );
    failed
}

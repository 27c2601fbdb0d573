//! `chaos`: the release binary under load, killed at random moments, and no accepted event lost.

use std::{path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::{
    clock, product,
    random::Random,
    statistics::{micros, millis},
    trial::Trial,
};

/// The load goes on for so long after the last restart.
const LAST_STRETCH: Duration = Duration::from_secs(2);

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct ChaosArgs {
    /// How often the process is killed, half a second to five seconds apart
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// Events published a second; each is delivered to four subscriptions
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Repeats the moments of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs it, and fails on anything lost, stuck, invented or changed.
pub(crate) async fn run(args: ChaosArgs) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let seed = args.seed.unwrap_or_else(|| clock::since_epoch().as_secs());
    println!("chaos: {} kills at {} events/s; repeat with --seed {seed}", args.kills, args.rate);

    let mut trial = Trial::new(&binary).await?;
    let mut running = trial.installation.start(None)?;
    running.ready().await?;
    trial.subscribe().await?;
    let producer = trial.publish(args.rate);

    let mut random = Random::seeded(seed);
    let mut first_answers = Vec::new();
    for _ in 0..args.kills {
        sleep(random.between(Duration::from_millis(500), Duration::from_secs(5))).await;
        running.kill()?;
        let took;
        (running, took) = trial.restart().await?;
        first_answers.push(took);
    }
    sleep(LAST_STRETCH).await;
    let accepted = producer.stop().await?;
    let first_deliveries = trial.witness.first_deliveries();
    let verdict = trial.conclude(running, accepted).await?;

    println!("{verdict}");
    print_outages("restart to first answer", &first_answers);
    print_outages("restart to first delivery", &first_deliveries);
    ensure!(verdict.faults.is_empty(), "{} faults; repeat with --seed {seed}", verdict.faults.len());
    Ok(())
}

fn print_outages(name: &str, times: &[Duration]) {
    let sorted = micros(times);
    println!(
        "{name:<28}{} in the middle, {} at worst",
        millis(sorted.percentile(50.0)),
        millis(sorted.greatest())
    );
}

//! `backup`: a copy taken under load, the store lost, the copy restored, and nothing missing that was accepted
//! before the copy was begun.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::{Instant, sleep};

use crate::{
    lane::{End, Lane},
    ledger::{Accepted, Listed},
    product::{self},
    trial::Trial,
};

/// The load goes on for so long after the copy, so that the copy is not the newest state.
const AFTER: Duration = Duration::from_secs(1);

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Events published a second; each is delivered to four subscriptions
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// Backups taken, one after another under the same load; the last one is restored
    #[arg(long, default_value_t = 3)]
    backups: u32,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs it, and fails on anything missing, stuck, or wrongly ended.
pub(crate) async fn run(args: BackupArgs) -> Result<()> {
    ensure!(args.backups > 0, "--backups is 0, the least is 1");
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let mut trial = Trial::new(&binary).await?;
    let mut running = trial.installation.start(None)?;
    running.ready().await?;
    trial.subscribe().await?;
    let producer = trial.publish(args.rate);

    let mut before = Vec::new();
    let mut file = PathBuf::new();
    for number in 1..=args.backups {
        sleep(AFTER).await;
        before = producer.accepted();
        file = trial.installation.folder().join(format!("backup-{number}.db"));
        let took = Instant::now();
        trial.installation.command(&["backup", path_text(&file)?])?;
        let bytes = fs::metadata(&file)?.len();
        println!(
            "backup {number}: {} events accepted before it, {bytes} bytes, {:.0?}",
            before.len(),
            took.elapsed()
        );
    }
    sleep(AFTER).await;
    let accepted = producer.stop().await?;
    ensure!(accepted.len() > before.len(), "nothing was accepted after the last backup");

    running.kill()?;
    trial.installation.lose_store()?;
    trial.installation.command(&["restore", path_text(&file)?])?;
    let (running, _) = trial.restart().await?;
    let listed = trial.settled().await.with_context(|| running.last_words())?;
    let faults = faults(&before, &listed);
    println!(
        "restored: {} events accepted before the backup, {} after it; {} deliveries listed, {} faults",
        before.len(),
        accepted.len() - before.len(),
        listed.len(),
        faults.len(),
    );
    if let Some(first) = faults.first() {
        println!("store and log are kept in {}", trial.installation.keep().display());
        bail!("{} faults, the first: {first}", faults.len());
    }
    Ok(())
}

fn path_text(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("the target folder's path is text")
}

/// Every event that was accepted in time has a delivery in every lane, ended as the lane means it to end.
fn faults(before: &[Accepted], listed: &[Listed]) -> Vec<String> {
    let mut found: HashMap<(&str, Lane), &Listed> = HashMap::new();
    for listed in listed {
        found.insert((&listed.event_id, listed.lane), listed);
    }
    let events: HashSet<&str> = before.iter().map(|accepted| accepted.event_id.as_str()).collect();
    let mut faults = Vec::new();
    for event in events {
        for lane in Lane::ALL {
            let status = found.get(&(event, *lane)).map(|listed| listed.status.as_str());
            let intended = match lane.end() {
                End::Delivered => "delivered",
                End::Dead { .. } => "dead",
            };
            if status != Some(intended) {
                faults.push(format!("{event} in lane {lane} is {status:?} and not {intended}"));
            }
        }
    }
    faults
}

//! `angarium replay`: delivers past events again, one or many.

use std::time::Duration;

use angarium_domain::delivery::Status;
use angarium_domain::ids::{DeliveryId, ReplayId};
use angarium_domain::replay::{DeliveryFilter, JobStatus, Target};
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::answers::{Replay, ReplayCreated, Replayed, deliveries, word};
use crate::cli::client::{Client, ClientError, ConnectionArgs};
use crate::cli::filter::FilterArgs;
use crate::cli::table::show;

/// How often the service is asked how far it is.
const POLL_EVERY: Duration = Duration::from_millis(250);

/// Deliver past events again: one delivery by its id, or all that match
///
/// The receiver gets the same event under the same id, and attempts count from 1. What was
/// replayed or discarded already, or is not finished, does not match. With --missing, a webhook gets
/// for the first time what was accepted before it was made.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Which delivery: dlv_…
    #[arg(conflicts_with_all = ["status", "subscription", "event", "event_type", "since", "until", "missing", "dry_run", "rate"])]
    delivery_id: Option<DeliveryId>,
    /// dead or delivered, or both if given twice; the dead letters if not given
    #[arg(long, value_name = "STATUS", value_parser = word::<Status>)]
    status: Vec<Status>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Deliver what the webhook wants and has no delivery of; needs --subscription and --since
    #[arg(long, requires_all = ["subscription", "since"], conflicts_with_all = ["status", "event"])]
    missing: bool,
    /// Only count what would be replayed
    #[arg(long)]
    dry_run: bool,
    /// The most deliveries a second; the service chooses if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// current: the webhook's address of today; original: where it went the first time
    #[arg(long, value_name = "WHICH", default_value = "current", value_parser = word::<Target>)]
    to: Target,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let client = args.connection.client()?;
    if let Some(id) = args.delivery_id {
        let path = format!("/deliveries/{id}/replay");
        let Replayed { delivery_id } = client.post(&path, &json!({ "to": args.to })).await?;
        show(&format!(
            "{delivery_id} replays {id}; `angarium deliveries {delivery_id}` tells what becomes of it\n"
        ));
        return Ok(());
    }
    let filter = args.filter.conditions(None, SystemClock.now());
    if filter == DeliveryFilter::default() && args.status.is_empty() {
        bail!("say what to replay: the id of a delivery, or conditions such as --status dead --since 1h");
    }
    let ReplayCreated { replay_id, matched } = client.post("/replays", &request(&args, &filter)).await?;
    if let Some(id) = replay_id {
        return follow(&client, id, matched).await;
    }
    let made = if args.missing { "made" } else { "made again" };
    show(&format!("{} would be {made}; nothing was replayed\n", deliveries(matched)));
    Ok(())
}

fn request(args: &ReplayArgs, filter: &DeliveryFilter) -> serde_json::Value {
    let mut request = json!({ "filter": filter, "to": args.to, "dryRun": args.dry_run });
    if !args.status.is_empty() {
        request["filter"]["status"] = json!(args.status);
    }
    if args.missing {
        request["missing"] = true.into();
    }
    if let Some(rate) = args.rate {
        request["ratePerSecond"] = rate.into();
    }
    request
}

/// Shows a job's progress until it ends. An interrupt asks the service to end it.
async fn follow(client: &Client, id: ReplayId, matched: u64) -> anyhow::Result<()> {
    let bar = progress(matched);
    let interrupted = tokio::signal::ctrl_c();
    let ended = tokio::select! {
        ended = end_of(client, id, &bar) => ended?,
        caught = interrupted => {
            caught.context("cannot wait for an interrupt")?;
            cancel(client, id).await?
        }
    };
    bar.finish_and_clear();
    let words = outcome(&ended);
    if ended.status == JobStatus::Cancelled {
        bail!("{words}");
    }
    show(&format!("{words}\n"));
    Ok(())
}

async fn end_of(client: &Client, id: ReplayId, bar: &ProgressBar) -> Result<Replay, ClientError> {
    loop {
        let replay: Replay = client.get(&format!("/replays/{id}")).await?;
        bar.set_position(replay.replayed + replay.skipped);
        if replay.status != JobStatus::Running {
            return Ok(replay);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// Ends a job, and says how it ended: it may have come to its end by itself meanwhile.
async fn cancel(client: &Client, id: ReplayId) -> Result<Replay, ClientError> {
    match client.post(&format!("/replays/{id}/cancel"), &json!({})).await {
        Err(error) if error.code() == Some("conflict") => client.get(&format!("/replays/{id}")).await,
        ended => ended,
    }
}

/// A bar on standard error; it hides itself where nobody looks.
fn progress(matched: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} replayed, {per_sec}, {eta} left")
        .expect("the template is valid");
    ProgressBar::new(matched).with_style(style)
}

fn outcome(replay: &Replay) -> String {
    let Replay { status, missing, matched, replayed, skipped } = *replay;
    let made = if missing { "made" } else { "made again" };
    let rest = if skipped == 0 {
        String::new()
    } else {
        format!(
            "; {skipped} were skipped, since their webhook or event is gone or somebody else replayed them"
        )
    };
    match status {
        JobStatus::Cancelled => {
            format!("cancelled after {replayed} of {}{rest}; those go on", deliveries(matched))
        }
        JobStatus::Running | JobStatus::Completed => {
            format!("{made}: {replayed} of {}{rest}", deliveries(matched))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_replay_is_told_with_what_was_left_out() {
        let ended =
            |status, skipped| outcome(&Replay { status, missing: false, matched: 5, replayed: 3, skipped });
        assert_eq!(ended(JobStatus::Completed, 0), "made again: 3 of 5 deliveries");
        assert_eq!(ended(JobStatus::Cancelled, 0), "cancelled after 3 of 5 deliveries; those go on");
        assert_eq!(
            ended(JobStatus::Completed, 2),
            "made again: 3 of 5 deliveries; 2 were skipped, since their webhook or event is gone or somebody \
             else replayed them"
        );
    }
}

//! `angarium stats`: a webhook in figures.

use std::time::Duration;

use angarium_domain::dispatch::Condition;
use angarium_domain::ids::SubscriptionId;
use angarium_domain::statistics::Window;
use clap::Args;

use crate::cli::answers::{Percentiles, Stats, deliveries, word};
use crate::cli::client::ConnectionArgs;
use crate::cli::span::in_words;
use crate::cli::table::show;

/// Show what came of a webhook's attempts, what waits, and how its receiver does
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Which webhook: sub_…
    subscription_id: SubscriptionId,
    /// 1h, 24h or 7d
    #[arg(long, value_name = "SPAN", default_value = "24h", value_parser = word::<Window>)]
    window: Window,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: StatsArgs) -> anyhow::Result<()> {
    let window = serde_json::to_value(args.window).expect("a window is a word");
    let window = window.as_str().expect("a window is a word");
    let path = format!("/webhooks/{}/stats?window={window}", args.subscription_id);
    let stats: Stats = args.connection.client()?.get(&path).await?;
    show(&page(&stats));
    Ok(())
}

fn page(stats: &Stats) -> String {
    let rate =
        stats.success_rate.map_or_else(String::new, |rate| format!(", {:.1} % accepted", rate * 100.0));
    let answers: Vec<String> =
        stats.answers.iter().map(|(answer, count)| format!("{count} {answer}")).collect();
    let lines = [
        ("since", stats.since.to_string()),
        ("attempts", format!("{}{rate}", stats.attempts)),
        ("came back", if answers.is_empty() { "-".to_owned() } else { answers.join(", ") }),
        ("deliveries", format!("{} delivered, {} dead", stats.delivered, stats.dead)),
        ("tried again", stats.retried.to_string()),
        ("attempt", percentiles(&stats.attempt_ms)),
        ("to delivery", percentiles(&stats.delivery_ms)),
        ("lane", lane(stats)),
        ("waiting", backlog(stats)),
    ];
    lines.iter().map(|(name, value)| format!("{name:<12}{value}")).collect::<Vec<_>>().join("\n") + "\n"
}

fn percentiles(times: &Percentiles) -> String {
    let span = |millis: f64| in_words(Duration::from_secs_f64(millis / 1_000.0));
    match (times.p50, times.p90, times.p99) {
        (Some(p50), Some(p90), Some(p99)) => {
            format!("{} in the middle, {} at 90 %, {} at 99 %", span(p50), span(p90), span(p99))
        }
        _ => "-".to_owned(),
    }
}

fn lane(stats: &Stats) -> String {
    let doing = match stats.lane.state {
        Condition::Active => "active",
        Condition::Idle => "idle",
        Condition::Open => "open: the receiver is out, and only probes go",
        Condition::Paused => "paused",
    };
    let limit = stats.lane.limit.map_or_else(String::new, |limit| format!(", {limit} at a time at most"));
    format!("{doing}; {} under way{limit}", stats.lane.in_flight)
}

fn backlog(stats: &Stats) -> String {
    let more = if stats.backlog.more { "more than " } else { "" };
    let count = deliveries(stats.backlog.scheduled.into());
    match stats.backlog.oldest_age_seconds {
        Some(age) => format!("{more}{count}, the oldest for {}", in_words(Duration::from_secs(age))),
        None => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_line_by_line() {
        let stats = serde_json::json!({
            "since": "2026-02-25T12:00:00Z", "attempts": 200, "delivered": 190, "retried": 7, "dead": 3,
            "successRate": 0.95, "answers": { "2xx": 190, "timeout": 10 },
            "attemptMs": { "p50": 12.0, "p90": 80.0, "p99": 1_500.0 },
            "deliveryMs": { "p50": null, "p90": null, "p99": null },
            "lane": { "state": "open", "limit": 8, "inFlight": 1 },
            "backlog": { "scheduled": 10_000, "more": true, "oldestAgeSeconds": 125 },
        });
        let expected = "\
since       2026-02-25T12:00:00Z
attempts    200, 95.0 % accepted
came back   190 2xx, 10 timeout
deliveries  190 delivered, 3 dead
tried again 7
attempt     12 ms in the middle, 80 ms at 90 %, 1.5 s at 99 %
to delivery -
lane        open: the receiver is out, and only probes go; 1 under way, 8 at a time at most
waiting     more than 10000 deliveries, the oldest for 2 min 5 s
";
        assert_eq!(page(&serde_json::from_value(stats).expect("stats")), expected);
    }
}

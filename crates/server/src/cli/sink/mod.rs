//! `angarium sink`: a receiver that shows what it gets, checks it, and fails on request.

mod answer;
mod behaviour;
mod consent;
mod log;
pub(super) mod message;
mod server;
mod show;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use angarium_domain::time::Timestamp;
use angarium_verify::VerifyKey;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

pub(crate) use behaviour::Behaviour;
use log::KEEP_DEFAULT;
pub(crate) use server::{RunningSink, Sink, SinkSettings};
use show::Show;

/// What help says about paths.
const PATHS: &str = "\
A path can say how it answers, and its parts combine with each other and with names:
  /status/503  /delay/3s  /hang  /drip  /fail-first/2  /fail-status/500  /retry-after/7
  /orders/status/429/retry-after/7

It says yes to whoever asks whether it wants webhooks, by a challenge or by OPTIONS,
unless it is told to fail.

The sink's own routes:
  GET /requests          the last requests as JSON; ?since=N for those after request N
  GET /requests/summary  the counts
  DELETE /requests       clears both";

/// Receive webhooks: print each request, check its signatures, and answer as told.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = PATHS)]
pub(crate) struct SinkArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// A secret to check signatures with: whsec_… or whpk_…; may be given several times
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<SecretString>,
    /// The status of every answer
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    status: u16,
    /// How long every answer takes: 250ms, 3s, 2m
    #[arg(long, default_value = "0s", value_parser = behaviour::delay)]
    delay: Duration,
    /// Fail each event so often before it is accepted, counted by path and webhook-id
    #[arg(long, value_name = "N", default_value_t = 0)]
    fail_first: u64,
    /// The status of those failures
    #[arg(long, value_name = "STATUS", default_value_t = 503, value_parser = clap::value_parser!(u16).range(200..=599))]
    fail_status: u16,
    /// Ask for this many seconds in Retry-After, with every status but 2xx
    #[arg(long, value_name = "SECONDS")]
    retry_after: Option<u64>,
    /// Never answer
    #[arg(long)]
    hang: bool,
    /// Answer with the status at once, and a body of one byte a second
    #[arg(long)]
    drip: bool,
    /// How many of the last requests GET /requests can show; 10000, or none with --quiet
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    print: PrintArgs,
}

/// What is printed of each request; one line if nothing is said.
#[derive(Debug, Clone, Copy, clap::Args)]
struct PrintArgs {
    /// Print headers and body of each request too
    #[arg(short, long)]
    verbose: bool,
    /// Print one JSON object for each request
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    /// Print nothing but the counts at the end
    #[arg(long, conflicts_with_all = ["verbose", "json"])]
    quiet: bool,
}

/// Listens until it is interrupted.
pub(crate) async fn run(args: SinkArgs) -> anyhow::Result<()> {
    let listen = args.listen;
    let sink = Sink::start(args.settings()?).await.with_context(|| format!("cannot listen on {listen}"))?;
    eprintln!("sink listens on {}", sink.url());
    tokio::signal::ctrl_c().await.context("cannot wait for an interrupt")?;
    eprintln!("{}", serde_json::to_string_pretty(&sink.summary())?);
    sink.stop().await;
    Ok(())
}

impl SinkArgs {
    fn settings(self) -> anyhow::Result<SinkSettings> {
        Ok(SinkSettings {
            listen: self.listen,
            keys: keys(&self.secrets)?,
            behaviour: Behaviour {
                status: self.status,
                delay: self.delay,
                fail_first: self.fail_first,
                fail_status: self.fail_status,
                retry_after: self.retry_after,
                hang: self.hang,
                drip: self.drip,
            },
            keep: self.keep.unwrap_or(if self.print.quiet { 0 } else { KEEP_DEFAULT }),
            show: self.print.show(),
        })
    }
}

impl PrintArgs {
    fn show(self) -> Show {
        let colour = std::io::stdout().is_terminal();
        match (self.quiet, self.json, self.verbose) {
            (true, _, _) => Show::Nothing,
            (_, true, _) => Show::Json,
            (_, _, true) => Show::Whole { colour },
            _ => Show::Line { colour },
        }
    }
}

/// The keys behind `--secret`.
pub(super) fn keys(secrets: &[SecretString]) -> anyhow::Result<Vec<VerifyKey>> {
    let keys = secrets.iter().map(|secret| VerifyKey::parse(secret.expose_secret()));
    keys.collect::<Result<_, _>>().context("--secret cannot be used")
}

/// A time as signatures have it.
pub(super) fn unix_seconds(time: Timestamp) -> u64 {
    time.as_seconds().max(0) as u64
}

/// The wall clock. Signatures carry Unix time, and this is the receiver's side of the wire.
#[expect(clippy::disallowed_methods, reason = "a receiver has a clock of its own, apart from the engine's")]
pub(super) fn now() -> Timestamp {
    // A clock before 1970 is a clock at 1970: every signature will be far ahead of it.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as i64)
}

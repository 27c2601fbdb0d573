//! `angarium demo`: the whole service on one machine, with receivers that behave and misbehave.
//!
//! Events are published, and everything else is asked, through the public HTTP
//! API, as a customer would. At the end a ledger compares what was accepted
//! with what the receivers saw and what the delivery log says.

mod folder;
mod happening;
mod ledger;
mod memory;
mod publisher;
mod receivers;
mod stage;
mod theatre;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::table::show;
use crate::logging;
use crate::settings::LogSettings;

pub use ledger::Ledger;

use folder::Folder;
use publisher::Publisher;
use stage::Stage;
use theatre::{Theatre, Voice};

/// How many events a demo publishes before it stops by itself: it remembers every one of them.
const EVENTS_MAX: u64 = 1_000_000;
/// How many accepted events may wait to be shown.
const WAITING_MAX: usize = 64;

/// Watch the service at work: four receivers on this machine and a stream of events
///
/// Starts the service on an embedded store in a temporary or named folder, with a handle `gharart`
/// and four receivers: healthy; flaky, which fails each event twice; broken, which answers 404; and
/// slow, which takes 3 s. Events are published through the public API, and what happens to them
/// is shown until an interrupt ends it with a ledger.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the data in this folder; a demo that finds data there goes on with them
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Publish, wait until all has come to an end, print the ledger; fails if anything is lost or stuck
    #[arg(long)]
    once: bool,
    /// How many events to publish; 20 with --once, without end otherwise
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    events: Option<u64>,
    /// How many events to publish a second; 2, or as fast as they are accepted with --once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// Shorten the waits before a retry (5, 10, 20 and 40 s) to this share of them
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    retry_waits_percent: u32,
    /// Where the service listens; any free port if not given
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// How a demo runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the data stay; a temporary folder if none.
    pub data: Option<PathBuf>,
    /// Whether it ends by itself once everything has come to an end.
    pub once: bool,
    /// How many events are published.
    pub events: u64,
    /// How many of them a second; none is as fast as they are accepted.
    pub rate: Option<u32>,
    /// The share of a policy's waits that is really waited.
    pub retry_waits_percent: u32,
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Whether what happens is told on standard output.
    pub told: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            data: None,
            once: true,
            events: 20,
            rate: None,
            retry_waits_percent: 100,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            told: false,
        }
    }
}

impl From<DemoArgs> for Settings {
    fn from(args: DemoArgs) -> Settings {
        let (events, rate) = if args.once { (20, None) } else { (EVENTS_MAX, Some(2)) };
        Settings {
            data: args.data,
            once: args.once,
            events: args.events.unwrap_or(events),
            rate: args.rate.or(rate),
            retry_waits_percent: args.retry_waits_percent,
            listen: args.listen.unwrap_or(Settings::default().listen),
            told: true,
        }
    }
}

/// Runs the command.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    // What the demo shows is on standard output; of the service's own log only trouble is of interest.
    logging::start(&LogSettings { level: "error".to_owned(), ..LogSettings::default() })?;
    let settings = Settings::from(args);
    let ledger = perform(&settings).await?;
    show(&ledger.to_string());
    if ledger.open > 0 && !settings.once {
        show(match settings.data {
            Some(_) => "the open ones go on with the next demo in this folder\n",
            None => {
                "the open ones went with the temporary folder; with --data they would go on the next time\n"
            }
        });
    }
    ledger.verdict()
}

/// Runs a demo to its end, and draws up its ledger.
pub async fn perform(settings: &Settings) -> anyhow::Result<Ledger> {
    let folder = match &settings.data {
        Some(path) => Folder::named(path.clone())?,
        None => Folder::temporary()?,
    };
    let stage = Stage::set(settings, &folder).await?;
    let voice = Voice::new(settings.told);
    voice.say(&stage.introduction(settings, &folder));
    let played = play(settings, &stage, voice).await;
    // Also after a failure: attempts under way end in order, and the folder is left as a stop leaves it.
    stage.clear().await;
    played
}

/// Publishes and watches until the end.
async fn play(settings: &Settings, stage: &Stage, voice: Voice) -> anyhow::Result<Ledger> {
    let stop = CancellationToken::new();
    let (sender, inbox) = mpsc::channel(WAITING_MAX);
    let publisher = Publisher::new(stage.client().clone(), settings.events, settings.rate);
    let mut theatre = Theatre::new(stage, voice, settings.once)?;
    let publishing_fails = async {
        publisher.run(sender, &stop).await.context("an event was not accepted")?;
        std::future::pending().await
    };
    let interrupted = async {
        tokio::signal::ctrl_c().await.context("cannot wait for an interrupt")?;
        stop.cancel();
        std::future::pending().await
    };
    tokio::select! {
        ended = theatre.run(inbox, &stop) => ended?,
        failed = publishing_fails => return failed,
        failed = interrupted => return failed,
    }
    theatre.ledger().await
}

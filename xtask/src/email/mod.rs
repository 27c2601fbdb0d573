//! `email`: what readers, owners and operators see of mails, with a mail server that others built.
//!
//! A reader's consent and its end, a server that is away, mailboxes that do not exist, and an owner
//! without an address. Each is looked at in the API, in the log and in the figures.

mod lifecycle;
mod outage;
mod scene;
mod storm;
mod unset;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use crate::product;
use outage::Outage;
use scene::Scene;

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct EmailArgs {
    /// How long the mail server is away
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    outage_seconds: u64,
    /// Whether it refuses connections meanwhile, or takes them and says nothing
    #[arg(long, value_enum, default_value_t = Away::Refusing)]
    outage: Away,
    /// How much of the waits between attempts is waited: with 100 the second attempt comes after a minute
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    retry_waits_percent: u32,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// How a mail server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Away {
    /// Nobody listens.
    Refusing,
    /// Connections are taken, and nothing is said.
    Silent,
}

/// Runs every part, and fails at the first thing that is not as it should be.
pub(crate) async fn run(args: EmailArgs) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let mut scene = Scene::start(&binary, args.retry_waits_percent).await?;
    let outage = Outage {
        how: args.outage,
        lasts: Duration::from_secs(args.outage_seconds),
        retry_waits_percent: args.retry_waits_percent,
    };
    let tried = try_all(&scene, outage).await;
    if tried.is_err() {
        println!("store and log are kept in {}", scene.keep().display());
    }
    tried?;
    scene.stop().await
}

async fn try_all(scene: &Scene, outage: Outage) -> Result<()> {
    lifecycle::run(scene).await.context("a reader's consent")?;
    unset::run(scene).await.context("an owner without an address")?;
    outage.run(scene).await.context("a mail server that is away")?;
    storm::run(scene).await.context("mailboxes that do not exist")
}

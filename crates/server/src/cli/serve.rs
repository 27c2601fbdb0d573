//! `angarium serve`: the service itself.

use std::net::SocketAddr;

use angarium_engine::Drained;
use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::settings_file::SettingsFile;
use crate::logging;
use crate::service::Service;
use crate::settings::{Environment, Settings};

/// Run the service until SIGTERM or SIGINT.
///
/// Settings come from the file, over it from variables such as `ANGARIUM_LISTEN_ADDRESS`, over them
/// from these flags. Without any, the service listens on 127.0.0.1:8080, keeps its data in
/// ./angarium-data, and makes its master key and a secret for JWTs there on the first start.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsFile,
    /// Where to listen; over `listen.address`
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// Runs the command.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let environment = Environment::of_the_process();
    let listen = args.listen.map(|address| ("listen.address", address.to_string()));
    let settings = args.settings.load(&environment, listen.into_iter().collect())?;
    logging::start(&settings.log)?;
    if let Some(place) = environment.get("crash_at") {
        angarium_store::crash_point::arm(place)?;
        tracing::warn!(place, "this process will end itself at a crash point: it is under test");
    }
    // The signals are caught before the first request, so that an early stop is an orderly one.
    let stop = StopSignals::catch()?;
    let mut service = Service::start(&settings).await.context("the service did not start")?;
    announce(&service, &settings);
    tokio::select! {
        () = stop.wait() => {}
        reason = service.store_ended() => {
            bail!("the store cannot be written any more, start the service again: {reason}");
        }
    }
    tracing::info!("stopping: no new requests and attempts, those under way may end");
    match service.stop().await {
        Drained::InTime => tracing::info!("stopped"),
        Drained::CutShort => tracing::warn!("stopped: attempts were cut short and will be made again"),
    }
    Ok(())
}

fn announce(service: &Service, settings: &Settings) {
    tracing::info!(
        address = %service.address(),
        store = %settings.store.path.display(),
        version = env!("CARGO_PKG_VERSION"),
        "angarium listens",
    );
}

struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn catch() -> std::io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

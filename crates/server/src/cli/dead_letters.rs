//! `angarium dead-letters`: what was given up on, until somebody replays or discards it.

use angarium_domain::ids::DeliveryId;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use clap::{Args, Subcommand};

use crate::cli::answers::DeliveryLife;
use crate::cli::client::ConnectionArgs;
use crate::cli::deliveries::{listed, page};
use crate::cli::filter::{FilterArgs, parameters};
use crate::cli::table::show;

/// Show and discard what was given up on
#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List dead letters, newest first
    List(ListArgs),
    /// Tell all that is known about one
    Show(OneArgs),
    /// Take one off the list for good; the delivery log keeps it
    Discard(OneArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// The most lines
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Which: dlv_…
    delivery_id: DeliveryId,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: DeadLettersArgs) -> anyhow::Result<()> {
    let now = SystemClock.now();
    match args.what {
        What::List(ListArgs { filter, limit, connection }) => {
            let filter = filter.conditions(None, now);
            let letters = connection.client()?.list("/dead-letters", &parameters(&filter), limit).await?;
            show(&listed(&letters, now));
        }
        What::Show(OneArgs { delivery_id, connection }) => {
            let life: DeliveryLife =
                connection.client()?.get(&format!("/dead-letters/{delivery_id}")).await?;
            show(&page(&life, now));
        }
        What::Discard(OneArgs { delivery_id, connection }) => {
            connection.client()?.delete(&format!("/dead-letters/{delivery_id}")).await?;
            show(&format!("{delivery_id} is discarded\n"));
        }
    }
    Ok(())
}

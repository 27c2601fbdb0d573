//! `angarium key`: API keys, for programs that speak the v1 API.

use std::time::Duration;

use angarium_domain::access::{Mode, Scope};
use angarium_domain::ids::ApiKeyId;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::answers::{ApiKey, word};
use crate::cli::client::ConnectionArgs;
use crate::cli::span::span;
use crate::cli::table::{Table, show};

/// Make, list and revoke API keys for the v1 API; needs a JWT of an OWNER
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an API key, and print its text, which is shown this once
    Create(CreateArgs),
    /// List API keys
    List(ConnectionArgs),
    /// End an API key at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What the key is for, to know it by
    #[arg(long, value_name = "NAME")]
    name: String,
    /// live, or test: events published with a test key are recorded and matched, and never sent
    #[arg(long, value_name = "MODE", default_value = "live", value_parser = word::<Mode>)]
    mode: Mode,
    /// What it may do: webhooks:manage or events:manage; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = word::<Scope>)]
    scopes: Vec<Scope>,
    /// How long it is good; for ever if not given
    #[arg(long, value_name = "SPAN", value_parser = span)]
    ttl: Option<Duration>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Which key: key_…
    key_id: ApiKeyId,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub(crate) async fn run(args: KeyArgs) -> anyhow::Result<()> {
    match args.what {
        What::Create(args) => show(&format!("{}\n", create(&args).await?)),
        What::List(connection) => {
            let keys = connection.client()?.list("/api-keys", &[], usize::MAX).await?;
            show(&listed(&keys));
        }
        What::Revoke(RevokeArgs { key_id, connection }) => {
            connection.client()?.delete(&format!("/api-keys/{key_id}")).await?;
            show(&format!("{key_id} is revoked\n"));
        }
    }
    Ok(())
}

async fn create(args: &CreateArgs) -> anyhow::Result<String> {
    let mut new = json!({ "name": args.name, "mode": args.mode, "scopes": args.scopes });
    if let Some(ttl) = args.ttl {
        new["expiresAt"] = json!(SystemClock.now() + ttl);
    }
    let made: ApiKey = args.connection.client()?.post("/api-keys", &new).await?;
    made.key.context("the service made a key and did not say its text")
}

fn listed(keys: &[ApiKey]) -> String {
    let mut table = Table::with_headings(&["KEY", "NAME", "MODE", "SCOPES", "MADE", "EXPIRES", "LAST USED"]);
    let or_never = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        table.row([
            key.key_id.to_string(),
            key.name.clone(),
            key.mode.as_str().to_owned(),
            scopes.join(","),
            key.created_at.to_string(),
            or_never(key.expires_at),
            or_never(key.last_used_at),
        ]);
    }
    table.text()
}

//! `angarium handles`: what platform admins do with handles.

use std::fmt::Write as _;

use angarium_domain::account::Zone;
use angarium_domain::handle::Handle;
use angarium_domain::quota::Plan;
use angarium_domain::time::Timestamp;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use crate::cli::answers::word;
use crate::cli::client::Client;
use crate::cli::table::{Table, harmless, show};

/// List, make, change, suspend and remove handles; needs a JWT of a platform admin
#[derive(Debug, Args)]
pub(crate) struct HandlesArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List handles by name
    List(ListArgs),
    /// Show one, with what it uses
    Show(OneArgs),
    /// Make one, or declare one that exists by virtue of credentials
    Create(CreateArgs),
    /// Change its plan or its time zone
    Set(SetArgs),
    /// Let it read, and nothing else; its deliveries are held
    Suspend(SuspendArgs),
    /// Let it go on
    Resume(OneArgs),
    /// Remove it with everything that it has; there is no way back
    Delete(DeleteArgs),
}

/// Which service, as which platform admin.
#[derive(Debug, Args)]
struct AdminArgs {
    /// The service's address
    #[arg(long, value_name = "URL", env = "ANGARIUM_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// A JWT of a platform admin
    #[arg(long, value_name = "TOKEN", env = "ANGARIUM_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The most lines
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Which
    handle: Handle,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Its name
    handle: Handle,
    #[command(flatten)]
    settings: AccountArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// Which
    handle: Handle,
    #[command(flatten)]
    settings: AccountArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
struct AccountArgs {
    /// free, pro, enterprise or unlimited
    #[arg(long, value_name = "PLAN", value_parser = word::<Plan>)]
    plan: Option<Plan>,
    /// Where its day begins, such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<Zone>,
}

#[derive(Debug, Args)]
struct SuspendArgs {
    /// Which
    handle: Handle,
    /// What its people are told
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Which
    handle: Handle,
    /// Its name again, to be sure
    #[arg(long, value_name = "HANDLE")]
    confirm: Handle,
    #[command(flatten)]
    admin: AdminArgs,
}

/// A handle, as our API shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    handle: Handle,
    status: String,
    plan: Plan,
    time_zone: Zone,
    created_at: Option<Timestamp>,
    suspension: Option<Suspension>,
}

#[derive(Debug, Deserialize)]
struct Suspension {
    reason: String,
    since: Timestamp,
}

/// A handle with what it uses.
#[derive(Debug, Deserialize)]
struct Life {
    #[serde(flatten)]
    handle: Shown,
    counts: Counts,
    usage: Usage,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    webhooks: u64,
    tokens: u64,
    api_keys: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    writes_today: u32,
    writes_day: String,
}

/// Runs the command.
pub(crate) async fn run(args: HandlesArgs) -> anyhow::Result<()> {
    match args.what {
        What::List(ListArgs { limit, admin }) => {
            let handles: Vec<Shown> = admin.client()?.list("/handles", &[], limit).await?;
            show(&listed(&handles));
        }
        What::Show(OneArgs { handle, admin }) => {
            let life: Life = admin.client()?.get(&format!("/handles/{handle}")).await?;
            show(&page(&life));
        }
        What::Create(CreateArgs { handle, settings, admin }) => {
            let mut body = settings.body();
            body.insert("handle".to_owned(), json!(handle));
            let made: Shown = admin.client()?.post("/handles", &body).await?;
            show(&listed(&[made]));
        }
        What::Set(SetArgs { handle, settings, admin }) => {
            let body = settings.body();
            if body.is_empty() {
                bail!("nothing to change: give --plan or --time-zone");
            }
            show(&listed(&[changed(&admin, &handle, body).await?]));
        }
        What::Suspend(SuspendArgs { handle, reason, admin }) => {
            let mut body = Map::from_iter([("suspended".to_owned(), json!(true))]);
            body.extend(reason.map(|reason| ("reason".to_owned(), json!(reason))));
            show(&listed(&[changed(&admin, &handle, body).await?]));
        }
        What::Resume(OneArgs { handle, admin }) => {
            let body = Map::from_iter([("suspended".to_owned(), json!(false))]);
            show(&listed(&[changed(&admin, &handle, body).await?]));
        }
        What::Delete(DeleteArgs { handle, confirm, admin }) => {
            if handle != confirm {
                bail!("--confirm names {confirm}, and not {handle}: nothing was deleted");
            }
            admin.client()?.delete_later(&format!("/handles/{handle}")).await?;
            show(&format!("{handle} is deleted; what it had is removed in the background\n"));
        }
    }
    Ok(())
}

async fn changed(admin: &AdminArgs, handle: &Handle, body: Map<String, Value>) -> anyhow::Result<Shown> {
    Ok(admin.client()?.patch(&format!("/handles/{handle}"), &body).await?)
}

impl AdminArgs {
    fn client(&self) -> anyhow::Result<Client> {
        let token = self.token.as_ref().context(
            "no token: give --token or set ANGARIUM_TOKEN; beside the service, \
             `angarium token mint --platform-admin` makes one",
        )?;
        Ok(Client::for_admins(&self.url, token)?)
    }
}

impl AccountArgs {
    fn body(&self) -> Map<String, Value> {
        let plan = self.plan.map(|plan| ("plan".to_owned(), json!(plan)));
        let time_zone = self.time_zone.as_ref().map(|zone| ("timeZone".to_owned(), json!(zone)));
        plan.into_iter().chain(time_zone).collect()
    }
}

fn listed(handles: &[Shown]) -> String {
    let mut table = Table::with_headings(&["HANDLE", "STATUS", "PLAN", "TIME ZONE", "DECLARED"]);
    for shown in handles {
        table.row([
            shown.handle.to_string(),
            shown.status.clone(),
            shown.plan.as_str().to_owned(),
            shown.time_zone.to_string(),
            shown.created_at.map_or_else(|| "by credentials".to_owned(), |at| at.to_string()),
        ]);
    }
    table.text()
}

fn page(life: &Life) -> String {
    let Life { handle, counts, usage } = life;
    let mut text = listed(std::slice::from_ref(handle));
    if let Some(Suspension { reason, since }) = &handle.suspension {
        let _ = writeln!(text, "\nsuspended since {since}: {}", harmless(reason));
    }
    let limit = handle.plan.writes_per_day();
    let of_limit =
        limit.map_or_else(|| "not counted".to_owned(), |limit| format!("{} of {limit}", usage.writes_today));
    let Counts { webhooks, tokens, api_keys } = counts;
    let day = harmless(&usage.writes_day);
    let _ = writeln!(
        text,
        "\nwebhooks: {webhooks}, tokens: {tokens}, API keys: {api_keys}, writes on {day}: {of_limit}"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspended_handle_is_shown_with_its_reason_and_its_usage() {
        let life: Life = serde_json::from_value(json!({
            "handle": "acme", "status": "suspended", "plan": "free", "timeZone": "Europe/Berlin",
            "declared": true, "createdAt": "2026-02-25T12:00:00Z", "version": 4,
            "suspension": { "reason": "unpaid\u{1b}[31m", "since": "2026-03-01T00:00:00Z" },
            "counts": { "webhooks": 3, "tokens": 1, "apiKeys": 0 }, "limits": { "writesPerDay": 2 },
            "usage": { "writesToday": 2, "writesDay": "20260301" },
        }))
        .expect("a life");
        assert_eq!(
            page(&life),
            "HANDLE  STATUS     PLAN  TIME ZONE      DECLARED\n\
             acme    suspended  free  Europe/Berlin  2026-02-25T12:00:00Z\n\n\
             suspended since 2026-03-01T00:00:00Z: unpaid\\u{1b}[31m\n\n\
             webhooks: 3, tokens: 1, API keys: 0, writes on 20260301: 2 of 2\n"
        );
    }
}

//! An agent of the official library for the Model Context Protocol, asking the release binary.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    api::{Api, HANDLE},
    product::Installation,
    workspace,
};

const READ_WITHIN: Duration = Duration::from_secs(30);

/// Lets it search, look after a webhook, and be refused. `python` has the library.
pub(crate) async fn check(binary: &Path, python: &Path) -> Result<()> {
    let installation = Installation::new(binary, 100)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let api = Api::at(installation.address())?;
    let text = "A lighthouse says where the harbour is.";
    let source = json!({ "name": "Notes", "kind": "inline", "documents": [{ "text": text }] });
    api.call(Method::POST, "/context-sources", Some(&source)).await?;
    searchable(&api).await?;
    let whole = [
        "mcp.connect",
        "context_store.manage",
        "webhooks.read",
        "webhooks.write",
        "deliveries.read",
        "deliveries.write",
    ];
    let (whole, reading) = (api.token(&whole).await?, api.token(&["mcp.connect", "webhooks.read"]).await?);
    workspace::run(
        Command::new(python)
            .arg(workspace::root().join("xtask/python/agent.py"))
            .arg(format!("http://{}/mcp/{HANDLE}/mcp", installation.address()))
            .args([whole.text, reading.text]),
    )
}

/// Waits until the documents are found.
async fn searchable(api: &Api) -> Result<()> {
    let deadline = Instant::now() + READ_WITHIN;
    loop {
        let sources = api.call(Method::GET, "/context-sources", None).await?;
        if sources["items"][0]["status"] == "READY" {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "not read after {READ_WITHIN:?}: {sources}");
        sleep(Duration::from_millis(20)).await;
    }
}

//! `verify-libraries`: real deliveries in every payload format, verified by the official Standard Webhooks
//! libraries, by the official CloudEvents library and by plain HMAC.
//!
//! Our own verifier shares our misunderstandings; libraries written by others
//! in Python and JavaScript do not. Then an agent of the official MCP library asks, and the receivers in
//! `examples/` come last.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use data_encoding::BASE64;
use hyper::{StatusCode, http::request::Parts};
use serde::Serialize;
use serde_json::json;

use crate::{
    agent,
    api::Api,
    example_receivers::{self, Libraries},
    product::{self, Installation},
    receiver::{Guest, Receiver, Reply},
    workspace,
};

/// The libraries, at the versions that the scripts were written for.
const PYTHON_LIBRARY: &str = "standardwebhooks==1.0.1";
const PYTHON_CLOUD_EVENTS: &str = "cloudevents==2.2.0";
const PYTHON_MCP: &str = "mcp==2.3.0";
const NODE_LIBRARY: &str = "standardwebhooks@1.0.0";

/// The profiles with a shared secret.
const PROFILES: &[&str] = &["arjun", "standard", "platformxe"];
/// The payload formats. A subscription's path is its profile's name and its format's.
const FORMATS: &[&str] = &["native", "standard", "cloudevents", "cloudevents-binary"];

const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// A delivery as it came, and the secrets that must and must not fit it.
#[derive(Debug, Serialize)]
struct Captured {
    profile: String,
    format: String,
    headers: BTreeMap<String, String>,
    body: String,
    /// Must fit `webhook-signature`, each of them.
    live: Vec<String>,
    /// Must not fit anything.
    foreign: Vec<String>,
}

#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Captured>>);

impl Guest for Recorder {
    fn receive(&self, head: &Parts, body: &Bytes) -> Reply {
        let text =
            |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let path = head.uri.path().trim_start_matches('/');
        let (profile, format) = path.split_once('/').unwrap_or((path, ""));
        self.0.lock().expect("recording does not panic").push(Captured {
            profile: profile.to_owned(),
            format: format.to_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: BASE64.encode(body),
            live: Vec::new(),
            foreign: Vec::new(),
        });
        Reply::Now(StatusCode::OK)
    }
}

/// Delivers before and during a rotation of secrets, and lets others verify.
pub(crate) async fn run(args: VerifyArgs) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let captured = deliver(&binary).await?;
    let folder = workspace::target_folder("verify")?;
    let file = folder.join("deliveries.json");
    fs::write(&file, serde_json::to_vec_pretty(&captured)?)?;
    let count = captured.len();
    println!("{count} deliveries captured, {PROFILES:?} in {FORMATS:?} before and after a rotation");

    let python = verify_with_python(&folder, &file)?;
    let node = verify_with_node(&folder, &file)?;
    agent::check(&binary, &python).await?;
    example_receivers::check(&binary, &Libraries { python, node }).await
}

async fn deliver(binary: &Path) -> Result<Vec<Captured>> {
    let installation = Installation::new(binary, 100)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let recorder = Arc::new(Recorder::default());
    let receiver = Receiver::start(Arc::clone(&recorder)).await?;
    let api = Api::at(installation.address())?;

    let mut subscriptions = BTreeMap::new();
    let mut first_secrets = BTreeMap::new();
    for (profile, format) in cases() {
        let url = receiver.url(&format!("/{profile}/{format}"));
        let wish = json!({ "signingProfile": profile, "payloadFormat": format });
        let made = api.subscribe(&url, &["*"], wish).await?;
        subscriptions.insert((profile, format), made.subscription_id);
        first_secrets.insert((profile, format), made.secret);
    }
    let mut before = publish_and_capture(&api, &recorder).await?;

    let mut second_secrets = BTreeMap::new();
    for (case, subscription_id) in &subscriptions {
        second_secrets.insert(*case, api.rotate_secret(subscription_id).await?);
    }
    let mut after = publish_and_capture(&api, &recorder).await?;

    for delivery in &mut before {
        let case = delivery.case();
        delivery.live = vec![first_secrets[&case].clone()];
        delivery.foreign = vec![second_secrets[&case].clone()];
    }
    for delivery in &mut after {
        let case = delivery.case();
        delivery.live = vec![second_secrets[&case].clone(), first_secrets[&case].clone()];
        let others = first_secrets.iter().chain(&second_secrets).filter(|(other, _)| **other != case);
        delivery.foreign = others.map(|(_, secret)| secret.clone()).collect();
    }
    before.extend(after);
    Ok(before)
}

/// Every profile with every format.
fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    PROFILES.iter().flat_map(|profile| FORMATS.iter().map(|format| (*profile, *format)))
}

impl Captured {
    /// Which subscription it was sent for.
    fn case(&self) -> (&'static str, &'static str) {
        let ours = |(profile, format): &(&str, &str)| *profile == self.profile && *format == self.format;
        cases().find(ours).expect("only the subscriptions made here have this receiver")
    }
}

async fn publish_and_capture(api: &Api, recorder: &Recorder) -> Result<Vec<Captured>> {
    let payload = json!({ "text": "käse \u{2028} \"quoted\" 🧀", "number": 1e21, "list": [null, true, []] });
    let event = json!({ "type": "library.check", "payload": payload, "orderingKey": "k \"é\" 100%" });
    api.publish(&event).await?;
    api.quiet_within(DELIVERED_WITHIN).await?;
    let captured = std::mem::take(&mut *recorder.0.lock().expect("recording does not panic"));
    let (found, expected) = (captured.len(), cases().count());
    ensure!(found == expected, "{found} deliveries came, expected {expected}");
    Ok(captured)
}

/// Answers the interpreter that has the library.
fn verify_with_python(folder: &Path, file: &Path) -> Result<PathBuf> {
    let environment = folder.join("venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    workspace::run(Command::new(&python).args(install).args([
        PYTHON_LIBRARY,
        PYTHON_CLOUD_EVENTS,
        PYTHON_MCP,
    ]))?;
    workspace::run(
        Command::new(&python).arg(workspace::root().join("xtask/python/verify_deliveries.py")).arg(file),
    )?;
    Ok(python)
}

/// Answers the folder that has the library.
fn verify_with_node(folder: &Path, file: &Path) -> Result<PathBuf> {
    let prefix = folder.join("node");
    fs::create_dir_all(&prefix)?;
    let install = ["install", "--silent", "--no-audit", "--no-fund", NODE_LIBRARY, "--prefix"];
    workspace::run(Command::new("npm").args(install).arg(&prefix))?;
    let script = workspace::root().join("xtask/node/verify_deliveries.mjs");
    workspace::run(Command::new("node").arg(script).arg(file).arg(&prefix))?;
    Ok(prefix)
}

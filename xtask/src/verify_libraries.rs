//! `verify-libraries`: real deliveries, verified by the official Standard Webhooks libraries and by plain HMAC.
//!
//! Our own verifier shares our misunderstandings; libraries written by others
//! in Python and JavaScript do not.

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
    api::Api,
    product::{self, Installation},
    receiver::{Guest, Receiver, Reply},
    workspace,
};

/// The libraries, at the versions that the scripts were written for.
const PYTHON_LIBRARY: &str = "standardwebhooks==1.0.1";
const NODE_LIBRARY: &str = "standardwebhooks@1.0.0";

/// The profiles with a shared secret; a subscription's path is its profile's name.
const PROFILES: &[&str] = &["arjun", "standard", "platformxe"];

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
        self.0.lock().expect("recording does not panic").push(Captured {
            profile: head.uri.path().trim_start_matches('/').to_owned(),
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
    println!("{} deliveries captured, {PROFILES:?} before and after a rotation", captured.len());

    verify_with_python(&folder, &file)?;
    verify_with_node(&folder, &file)
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
    for profile in PROFILES {
        let url = receiver.url(&format!("/{profile}"));
        let made = api.subscribe(&url, &["*"], json!({ "signingProfile": profile })).await?;
        subscriptions.insert(*profile, made.subscription_id);
        first_secrets.insert(*profile, made.secret);
    }
    let mut before = publish_and_capture(&api, &recorder).await?;

    let mut second_secrets = BTreeMap::new();
    for (profile, subscription_id) in &subscriptions {
        second_secrets.insert(*profile, api.rotate_secret(subscription_id).await?);
    }
    let mut after = publish_and_capture(&api, &recorder).await?;

    for delivery in &mut before {
        let profile = delivery.profile.as_str();
        delivery.live = vec![first_secrets[profile].clone()];
        delivery.foreign = vec![second_secrets[profile].clone()];
    }
    for delivery in &mut after {
        let profile = delivery.profile.as_str();
        delivery.live = vec![second_secrets[profile].clone(), first_secrets[profile].clone()];
        let others = first_secrets.iter().chain(&second_secrets).filter(|(other, _)| **other != profile);
        delivery.foreign = others.map(|(_, secret)| secret.clone()).collect();
    }
    before.extend(after);
    Ok(before)
}

async fn publish_and_capture(api: &Api, recorder: &Recorder) -> Result<Vec<Captured>> {
    let payload = json!({ "text": "käse \u{2028} \"quoted\" 🧀", "number": 1e21, "list": [null, true, []] });
    api.publish("library.check", &payload).await?;
    api.quiet_within(DELIVERED_WITHIN).await?;
    let captured = std::mem::take(&mut *recorder.0.lock().expect("recording does not panic"));
    let (found, expected) = (captured.len(), PROFILES.len());
    ensure!(found == expected, "{found} deliveries came, expected {expected}");
    Ok(captured)
}

fn verify_with_python(folder: &Path, file: &Path) -> Result<()> {
    let environment = folder.join("venv");
    let python = environment.join("bin/python");
    if !python.exists() {
        workspace::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_LIBRARY];
    workspace::run(Command::new(&python).args(install))?;
    workspace::run(
        Command::new(&python).arg(workspace::root().join("xtask/python/verify_deliveries.py")).arg(file),
    )
}

fn verify_with_node(folder: &Path, file: &Path) -> Result<()> {
    let prefix = folder.join("node");
    fs::create_dir_all(&prefix)?;
    let install = ["install", "--silent", "--no-audit", "--no-fund", NODE_LIBRARY, "--prefix"];
    workspace::run(Command::new("npm").args(install).arg(&prefix))?;
    let script = workspace::root().join("xtask/node/verify_deliveries.mjs");
    workspace::run(Command::new("node").arg(script).arg(file).arg(&prefix))
}

//! `ses`: mails through Amazon SES as others built it: moto's server, which verifies signatures by botocore.
//!
//! Our own tests say what SES answers; this asks somebody who did not read our code. `angarium doctor`
//! sends the mails, since it sends as the service does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{cloud_peer::CloudPeer, product, workspace};

/// Whom mails are from; the peer knows the address as one that was verified.
const SENDER: &str = "events@mail.example";
const READER: &str = "anna@example.com";

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct SesArgs {
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Sends a mail that is taken, one that is signed with another key, and one of a sender that is not verified.
pub(crate) fn run(args: &SesArgs) -> Result<()> {
    let binary = args.binary.clone().map_or_else(product::build, Ok)?;
    let folder = workspace::target_folder("ses")?;
    let mut peer = CloudPeer::start("ses_peer.py", &[SENDER])?;

    let said = sent(&binary, &folder, &settings(&peer, SENDER, None))?;
    let mails = taken(&mut peer)?;
    let id = mails.first().and_then(|mail| mail["id"].as_str());
    let id = id.with_context(|| format!("the peer has no mail: {said}"))?;
    ensure!(mails.len() == 1 && said.contains("(mail_2xx)") && said.contains(id), "{said}\n{mails:?}");
    ensure!(mails[0]["to"][0] == READER && mails[0]["subject"] == "Test e-mail from Angarium", "{mails:?}");
    ensure!(mails[0]["text"].as_str().is_some_and(|text| text.contains("This is a test")), "{mails:?}");
    println!("ses: a mail was signed, verified and taken as {id}");

    let said = sent(&binary, &folder, &settings(&peer, SENDER, Some("another secret")))?;
    ensure!(said.contains("(relay_refused)") && said.contains("403"), "{said}");
    println!("ses: one with another secret was refused, and will be tried again");

    let said = sent(&binary, &folder, &settings(&peer, "stranger@other.example", None))?;
    ensure!(said.contains("(mail_5xx)") && said.contains("MessageRejected"), "{said}");
    println!("ses: one of a sender that is not verified was refused for good");
    ensure!(taken(&mut peer)?.len() == 1, "the peer took a mail that it refused");
    Ok(())
}

/// What the doctor says of one mail.
fn sent(binary: &Path, folder: &Path, settings: &str) -> Result<String> {
    let file = folder.join("angarium.toml");
    fs::write(&file, settings)?;
    let mut command = Command::new(binary);
    command.args(["doctor", "--mail-to", READER, "--config"]).arg(&file).stdin(Stdio::null());
    // Other things are wrong here, such as that no service runs: what it says of the mail is what counts.
    let output = command.output().with_context(|| format!("cannot start {}", binary.display()))?;
    let said = String::from_utf8(output.stdout)?;
    let line = said.lines().find(|line| line.contains(READER));
    Ok(line.with_context(|| format!("the doctor says nothing of a mail:\n{said}"))?.to_owned())
}

/// The mails that the peer took so far.
fn taken(peer: &mut CloudPeer) -> Result<Vec<Value>> {
    Ok(serde_json::from_value(peer.ask(&json!({ "ask": "mails" }))?)?)
}

/// Settings that lead to the peer.
fn settings(peer: &CloudPeer, sender: &str, secret: Option<&str>) -> String {
    let secret = secret.unwrap_or_else(|| peer.about("secretAccessKey"));
    format!(
        "[listen]\npublic_url = \"https://events.example.com\"\n\n\
         [email]\ntransport = \"ses\"\nfrom = \"Angarium <{sender}>\"\n\n\
         [ses]\nregion = \"{}\"\nendpoint = \"{}\"\naccess_key_id = \"{}\"\nsecret_access_key = \"{secret}\"\n\n\
         [store]\npath = \"{}\"\n",
        peer.about("region"),
        peer.about("endpoint"),
        peer.about("accessKeyId"),
        workspace::root().join("target/ses/angarium.db").display(),
    )
}

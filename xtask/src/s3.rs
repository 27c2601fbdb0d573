//! `s3`: voice notes in an S3-compatible store as others built it: moto's server, and signatures of botocore's.
//!
//! The product announces, somebody uploads to the store itself, the product listens, and a reader reads from the
//! store itself. What is uploaded after that changes nothing that anybody was told of.

use std::{fs::OpenOptions, io::Write, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, Uri, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    api::Api,
    cloud_peer::CloudPeer,
    product::{self, Installation},
    wire::Line,
    workspace,
};

/// A recording.
const SOUND: &str = "crates/server/tests/it/sounds/sine.m4a";
const TYPE: &str = "audio/mp4";
/// How long a note may take to be listened to.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct S3Args {
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Sends a note, reads it, replaces what was uploaded, sends what is no recording, and removes the note.
pub(crate) async fn run(args: S3Args) -> Result<()> {
    let binary = args.binary.map_or_else(product::build, Ok)?;
    let mut peer = CloudPeer::start("s3_peer.py", &[])?;
    let installation = Installation::new(&binary, 100)?;
    configure(&installation, &peer)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let api = Api::at(installation.address())?;
    let sound = std::fs::read(workspace::root().join(SOUND))?;

    let (id, url) = announce(&api, sound.len()).await?;
    ensure!(is_signed(&mut peer, "PUT", &url, sound.len())?, "botocore signs another address than {url}");
    ensure!(!is_signed(&mut peer, "PUT", &url, sound.len() + 1)?, "the address is good for another size");
    ensure!(lasts(&url, 15 * 60), "an upload has another time than a quarter of an hour: {url}");
    println!("s3: the address of an upload is signed as botocore signs it, for one type and one size");

    let early = api.call(Method::POST, &complete(&id), Some(&json!({}))).await;
    ensure!(
        early.is_err_and(|error| error.to_string().contains("upload_missing")),
        "it was complete too early"
    );
    put(&url, &sound).await?;
    api.call(Method::POST, &complete(&id), Some(&json!({}))).await?;
    let ready = settled(&api, &id).await?;
    ensure!(ready["status"] == "ready", "{ready}");
    put(&url, &vec![0; sound.len()]).await?;
    let read = read(&api, &id).await?;
    ensure!(read.body() == &sound, "what is read is not what was judged");
    let shown = |name| read.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ensure!(
        shown("content-type") == TYPE && shown("content-disposition").starts_with("attachment"),
        "{read:?}"
    );
    println!("s3: a note was uploaded, listened to and read, and what was uploaded later changed nothing");

    let (bad, url) = announce(&api, 64).await?;
    put(&url, &[b'x'; 64]).await?;
    api.call(Method::POST, &complete(&bad), Some(&json!({}))).await?;
    let failed = settled(&api, &bad).await?;
    ensure!(failed["failure"]["reason"] == "type_mismatch", "{failed}");
    let (larger, url) = announce(&api, 64).await?;
    // The peer does not hold senders to what was signed; a store that does would refuse it.
    put(&url, &[b'x'; 65]).await?;
    api.call(Method::POST, &complete(&larger), Some(&json!({}))).await?;
    let failed = settled(&api, &larger).await?;
    ensure!(failed["failure"]["reason"] == "size_mismatch", "{failed}");
    left_when(&mut peer, &[".store", "incoming/", "notes/"], 3).await?;
    println!("s3: what is no recording, and what has another size, was refused and removed");

    api.call(Method::DELETE, &format!("/mobile/voice-notes/{id}"), None).await?;
    left_when(&mut peer, &[".store"], 1).await?;
    println!("s3: a removed note left nothing");
    running.ask_to_stop()?;
    running.ended().await?;
    Ok(())
}

async fn announce(api: &Api, bytes: usize) -> Result<(String, String)> {
    let wish = json!({ "contentType": TYPE, "sizeBytes": bytes });
    let announced = api.call(Method::POST, "/mobile/voice-notes", Some(&wish)).await?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let both = text(&announced["voiceNoteId"]).zip(text(&announced["upload"]["url"]));
    both.with_context(|| format!("the announcement says nothing of an upload: {announced}"))
}

fn complete(id: &str) -> String {
    format!("/mobile/voice-notes/{id}/upload-complete")
}

async fn settled(api: &Api, id: &str) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let note = api.call(Method::GET, &format!("/mobile/voice-notes/{id}"), None).await?;
        if note["status"] != "processing" {
            return Ok(note);
        }
        if Instant::now() >= deadline {
            bail!("the note was still processing after {PATIENCE:?}: {note}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn put(url: &str, bytes: &[u8]) -> Result<()> {
    let answer = ask(Method::PUT, url, Bytes::copy_from_slice(bytes)).await?;
    ensure!(answer.status().is_success(), "the upload was answered {answer:?}");
    Ok(())
}

async fn read(api: &Api, id: &str) -> Result<Response<Bytes>> {
    let note = api.call(Method::GET, &format!("/mobile/voice-notes/{id}"), None).await?;
    let url = note["audio"]["url"].as_str().with_context(|| format!("there is nothing to read: {note}"))?;
    ensure!(lasts(url, 5 * 60), "reading has another time than five minutes: {url}");
    let answer = ask(Method::GET, url, Bytes::new()).await?;
    ensure!(answer.status().is_success(), "reading was answered {answer:?}");
    Ok(answer)
}

/// Asks the store itself.
async fn ask(method: Method, url: &str, body: Bytes) -> Result<Response<Bytes>> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().context("the address names no host")?;
    let request = Request::builder()
        .method(method)
        .uri(uri.path_and_query().context("the address has no path")?.as_str())
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, TYPE)
        .body(Full::new(body))?;
    Line::to(authority.as_str().parse()?).send(request).await
}

/// Lets an installation use the store.
fn configure(installation: &Installation, peer: &CloudPeer) -> Result<()> {
    let mut file = OpenOptions::new().append(true).open(installation.folder().join("angarium.toml"))?;
    write!(
        file,
        "\n[voice]\nstore = \"s3\"\n\n[s3]\nbucket = \"{}\"\nregion = \"{}\"\nendpoint = \"{}\"\n\
         access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
        peer.about("bucket"),
        peer.about("region"),
        peer.about("endpoint"),
        peer.about("accessKeyId"),
        peer.about("secretAccessKey"),
    )?;
    Ok(())
}

fn is_signed(peer: &mut CloudPeer, method: &str, url: &str, bytes: usize) -> Result<bool> {
    let headers = json!({ "content-type": TYPE, "content-length": bytes.to_string() });
    let answer =
        peer.ask(&json!({ "ask": "signature", "method": method, "url": url, "headers": headers }))?;
    answer.as_bool().with_context(|| format!("the peer said {answer}"))
}

/// Whether an address is good for so many seconds, by its own word, which is signed with it.
fn lasts(url: &str, seconds: u32) -> bool {
    let lasts = format!("X-Amz-Expires={seconds}");
    url.split(['?', '&']).any(|part| part == lasts)
}

/// Waits until so many objects are left, each of which begins with one of these.
async fn left_when(peer: &mut CloudPeer, begins: &[&str], count: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let objects: Vec<String> = serde_json::from_value(peer.ask(&json!({ "ask": "objects" }))?)?;
        let known = |name: &String| begins.iter().any(|begin| name.starts_with(begin));
        if objects.len() == count && objects.iter().all(known) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("the store holds {objects:?}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

//! `s3`: voice notes in an S3-compatible store as others built it: moto's server, and signatures of botocore's.
//!
//! The product announces, somebody uploads to the store itself, the product listens, and a reader reads from the
//! store itself. What is uploaded after that changes nothing that anybody was told of.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, Uri, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    api::Api,
    product::{self, Installation},
    wire::Line,
    workspace,
};

/// The packages of the peer, by version.
const PACKAGES: &str = "xtask/python/ses.txt";
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
    let tools = workspace::python_tools(&workspace::target_folder("ses")?, PACKAGES)?;
    let mut peer = Peer::start(&tools.join("python"))?;
    let installation = Installation::new(&binary, 100)?;
    peer.configure(&installation)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let api = Api::at(installation.address())?;
    let sound = std::fs::read(workspace::root().join(SOUND))?;

    let (id, url) = announce(&api, sound.len()).await?;
    ensure!(peer.is_signed("PUT", &url, sound.len())?, "botocore signs another address than {url}");
    ensure!(!peer.is_signed("PUT", &url, sound.len() + 1)?, "the address is good for another size");
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
    peer.left_when(&[".store", "incoming/", "notes/"], 3).await?;
    println!("s3: what is no recording, and what has another size, was refused and removed");

    api.call(Method::DELETE, &format!("/mobile/voice-notes/{id}"), None).await?;
    peer.left_when(&[".store"], 1).await?;
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

/// Somebody else's store, as a child process.
struct Peer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    about: Value,
}

impl Peer {
    fn start(python: &Path) -> Result<Peer> {
        let script = workspace::root().join("xtask/python/s3_peer.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start the peer")?;
        let questions = child.stdin.take().context("the peer has no input")?;
        let answers = BufReader::new(child.stdout.take().context("the peer has no output")?);
        let mut peer = Peer { child, questions, answers, about: Value::Null };
        peer.about = peer.line()?;
        Ok(peer)
    }

    /// Lets an installation use it.
    fn configure(&self, installation: &Installation) -> Result<()> {
        let known = |name: &str| self.about[name].as_str().unwrap_or_default();
        let mut file = OpenOptions::new().append(true).open(installation.folder().join("angarium.toml"))?;
        write!(
            file,
            "\n[voice]\nstore = \"s3\"\n\n[s3]\nbucket = \"{}\"\nregion = \"{}\"\nendpoint = \"{}\"\n\
             access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
            known("bucket"),
            known("region"),
            known("endpoint"),
            known("accessKeyId"),
            known("secretAccessKey"),
        )?;
        Ok(())
    }

    fn is_signed(&mut self, method: &str, url: &str, bytes: usize) -> Result<bool> {
        let headers = json!({ "content-type": TYPE, "content-length": bytes.to_string() });
        let answer =
            self.ask(&json!({ "ask": "signature", "method": method, "url": url, "headers": headers }))?;
        answer.as_bool().with_context(|| format!("the peer said {answer}"))
    }

    /// Waits until so many objects are left, each of which begins with one of these.
    async fn left_when(&mut self, begins: &[&str], count: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let objects: Vec<String> = serde_json::from_value(self.ask(&json!({ "ask": "objects" }))?)?;
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

    fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.questions, "{question}")?;
        self.line()
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the peer said {line:?}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().ok();
    }
}

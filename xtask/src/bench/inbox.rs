//! One item, and a thousand people who hear of it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Barrier, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{report::Report, stage::Stage};
use crate::{api::Api, statistics::micros};

const LISTENERS: usize = 1_000;
const ITEMS: usize = 20;
/// How each announcement of an item begins.
const ITEM: &[u8] = b"event: item\n";
/// As many bytes as an announcement has, more or less.
const RAW_BYTES: usize = 400;
const PATIENCE: Duration = Duration::from_secs(30);

/// From posting an item to each listener, beside what sockets and scheduler take for as many.
pub(super) async fn inbox(binary: &Path, report: &mut Report) -> Result<()> {
    let scenario = "inbox";
    let ceiling = raw().await?;
    add(report, scenario, "bytes to 1,000 sockets, without the product", &ceiling);
    let stage = Stage::new(binary, 0).await?;
    let (heard, mut hearings) = mpsc::channel(LISTENERS);
    let mut listeners = JoinSet::new();
    let begun = Instant::now();
    for n in 0..LISTENERS {
        let api = Api::of_person(stage.installation.address(), &format!("person {n}"))?;
        let stream = open(stage.installation.address(), &api).await?;
        listeners.spawn(listen(stream, heard.clone()));
    }
    let opened = begun.elapsed();
    report.add(scenario, "streams opened one after another", LISTENERS as f64 / opened.as_secs_f64(), "/s");
    report.add(scenario, "memory with 1,000 streams", stage.running.resident_mib()?, "MiB");
    let cpu_before = stage.running.cpu_seconds()?;
    let mut times = Vec::new();
    for n in 0..ITEMS {
        let item = json!({ "type": "bench.item", "title": format!("Item {n}"), "body": "x".repeat(200) });
        let sent = Instant::now();
        stage.api.call(Method::POST, "/mobile/inbox", Some(&item)).await?;
        times.extend(all(&mut hearings, sent).await?);
    }
    let cpu = stage.running.cpu_seconds()? - cpu_before;
    add(report, scenario, "post to each of 1,000 listeners", &times);
    report.add(scenario, "processor time for one item", cpu * 1_000.0 / ITEMS as f64, "ms");
    report.expect_all(scenario, (LISTENERS * ITEMS) as u64, times.len() as u64);
    Ok(())
}

/// A stream that is open, up to the end of its head.
async fn open(address: SocketAddr, api: &Api) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /v2/handles/{}/mobile/inbox/stream HTTP/1.1\r\nhost: angarium\r\nauthorization: {}\r\n\r\n",
        crate::api::HANDLE,
        api.bearer()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|part| part == b"\r\n\r\n") {
        let mut part = [0; 2_048];
        let count = stream.read(&mut part).await?;
        ensure!(count > 0, "a stream ended before it began");
        head.extend_from_slice(&part[..count]);
    }
    ensure!(head.starts_with(b"HTTP/1.1 200"), "a stream was answered {:?}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// Says when each item came, for as long as anybody wants to know.
async fn listen(mut stream: TcpStream, heard: mpsc::Sender<Instant>) {
    let (mut part, mut rest) = (vec![0; 16 * 1024], Vec::new());
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        let now = Instant::now();
        rest.extend_from_slice(&part[..count]);
        while let Some(at) = rest.windows(ITEM.len()).position(|window| window == ITEM) {
            rest.drain(..at + ITEM.len());
            if heard.send(now).await.is_err() {
                return;
            }
        }
        // The beginning of an announcement may be at the end of what came.
        let kept = rest.len().min(ITEM.len() - 1);
        rest.drain(..rest.len() - kept);
    }
}

/// How long it took until each listener had heard.
async fn all(hearings: &mut mpsc::Receiver<Instant>, sent: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(LISTENERS);
    while times.len() < LISTENERS {
        let heard = timeout(PATIENCE, hearings.recv()).await.context("an item did not reach everybody")?;
        times.push(heard.context("the listeners have ended")?.duration_since(sent));
    }
    Ok(times)
}

/// The same number of bytes to as many sockets, by a task for each.
async fn raw() -> Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (heard, mut hearings) = mpsc::channel(LISTENERS);
    let (start, mut tasks) = (Arc::new(Barrier::new(LISTENERS + 1)), JoinSet::new());
    for _ in 0..LISTENERS {
        let reading = TcpStream::connect(address).await?;
        let (mut writing, _) = listener.accept().await?;
        let start = Arc::clone(&start);
        let mut announcement = ITEM.to_vec();
        announcement.resize(RAW_BYTES, b'x');
        tasks.spawn(async move {
            for _ in 0..ITEMS {
                start.wait().await;
                if writing.write_all(&announcement).await.is_err() {
                    return;
                }
            }
            // The socket stays open until everybody has read.
            start.wait().await;
        });
        tasks.spawn(listen(reading, heard.clone()));
    }
    let mut times = Vec::new();
    for _ in 0..ITEMS {
        let sent = Instant::now();
        start.wait().await;
        times.extend(all(&mut hearings, sent).await?);
    }
    start.wait().await;
    Ok(times)
}

fn add(report: &mut Report, scenario: &str, name: &str, times: &[Duration]) {
    let sorted = micros(times);
    for percent in [50.0, 99.0] {
        report.add(
            scenario,
            format!("{name}, {percent} %"),
            sorted.percentile(percent) as f64 / 1_000.0,
            "ms",
        );
    }
    report.add(scenario, format!("{name}, the last"), sorted.greatest() as f64 / 1_000.0, "ms");
}

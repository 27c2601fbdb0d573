//! The receivers in `examples/`: real events are delivered to each, and a forged one is not believed.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{
    api::Api,
    product::{self, Installation},
    wire::Line,
    workspace,
};

const DELIVERED_WITHIN: Duration = Duration::from_secs(30);
const STARTED_WITHIN: Duration = Duration::from_secs(30);

/// Where the libraries of others were installed.
pub(crate) struct Libraries {
    pub(crate) python: PathBuf,
    pub(crate) node: PathBuf,
}

/// A receiver as a child process; killed when dropped.
struct Started {
    name: &'static str,
    address: SocketAddr,
    subscription_id: String,
    child: Child,
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself, which its test has noticed.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// Delivers to all of them before and during a rotation, and sends each a forged event.
pub(crate) async fn check(binary: &Path, libraries: &Libraries) -> Result<()> {
    workspace::run(workspace::cargo().args(["build", "--quiet", "--package", "angarium-example-receiver"]))?;
    let installation = Installation::new(binary, 100)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let api = Api::at(installation.address())?;

    let mut receivers = Vec::new();
    for (name, command) in examples(libraries)? {
        receivers.push(start(&api, name, command).await?);
    }
    deliver(&api, &receivers, 1).await?;
    for receiver in &receivers {
        // The receiver knows the old secret alone, which signs beside the new one.
        api.rotate_secret(&receiver.subscription_id).await?;
    }
    deliver(&api, &receivers, 2).await?;
    for receiver in &receivers {
        forge(receiver).await?;
    }
    let names: Vec<&str> = receivers.iter().map(|receiver| receiver.name).collect();
    println!("examples: {names:?} accepted real deliveries before and during a rotation, and no forged one");
    Ok(())
}

fn examples(libraries: &Libraries) -> Result<Vec<(&'static str, Command)>> {
    let folder = workspace::root().join("examples/receivers");
    let script = |program: &Path, path: &str| {
        let mut command = Command::new(program);
        command.arg(folder.join(path));
        command
    };
    let mut official_node = script(Path::new("node"), "node/receiver_official.cjs");
    official_node.env("NODE_PATH", libraries.node.join("node_modules"));
    let rust = workspace::target_folder("debug")?.join("angarium-example-receiver");
    Ok(vec![
        ("python", script(Path::new("python3"), "python/receiver.py")),
        ("python with the official library", script(&libraries.python, "python/receiver_official.py")),
        ("node", script(Path::new("node"), "node/receiver.mjs")),
        ("node with the official library", official_node),
        ("rust", Command::new(rust)),
    ])
}

async fn start(api: &Api, name: &'static str, mut command: Command) -> Result<Started> {
    let address = product::free_address()?;
    let url = format!("http://{address}/");
    let subscribed = api.subscribe(&url, &["*"], json!({ "signingProfile": "standard" })).await?;
    command.arg(address.port().to_string()).env("WEBHOOK_SECRET", subscribed.secret);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().with_context(|| format!("cannot start {}", workspace::shown(&command)))?;
    let started = Started { name, address, subscription_id: subscribed.subscription_id, child };
    let deadline = Instant::now() + STARTED_WITHIN;
    while TcpStream::connect(address).await.is_err() {
        ensure!(Instant::now() < deadline, "{name} does not listen after {STARTED_WITHIN:?}");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(started)
}

/// Publishes one event; so many deliveries must have reached each receiver then.
async fn deliver(api: &Api, receivers: &[Started], expected: usize) -> Result<()> {
    let payload = json!({ "text": "käse \u{2028} \"quoted\" 🧀", "number": 1e21, "list": [null, true, []] });
    api.publish(&json!({ "type": "library.check", "payload": payload })).await?;
    api.quiet_within(DELIVERED_WITHIN).await?;
    let deliveries = api.deliveries().await?;
    for receiver in receivers {
        let own = deliveries.iter().filter(|delivery| delivery.subscription_id == receiver.subscription_id);
        let delivered =
            own.filter(|delivery| delivery.status == "delivered" && delivery.attempts == 1).count();
        let name = receiver.name;
        ensure!(delivered == expected, "{name} accepted {delivered} of {expected} deliveries at once");
    }
    Ok(())
}

/// Sends what anybody could send who knows the address.
async fn forge(receiver: &Started) -> Result<()> {
    let now = crate::clock::since_epoch().as_secs().to_string();
    let guess = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let all = [("webhook-id", "evt_forged"), ("webhook-timestamp", &now), ("webhook-signature", guess)];
    for headers in [&all[..], &all[..2], &[]] {
        let mut request = Request::builder().method(Method::POST).uri("/").header("host", "receiver");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(r#"{"type":"order.paid"}"#))?;
        let status = Line::to(receiver.address).send(request).await?.status();
        ensure!(
            status == StatusCode::UNAUTHORIZED,
            "{} answered {status} to a forged event with {} headers",
            receiver.name,
            headers.len()
        );
    }
    Ok(())
}

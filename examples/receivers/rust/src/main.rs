//! A receiver of webhooks, with `angarium-verify`.
//!
//! `WEBHOOK_SECRET=whsec_… angarium-example-receiver 9000`

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use angarium_verify::Verifier;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing};

/// What the requests share.
struct Receiver {
    verifier: Verifier,
    /// Delivery is at least once. A real receiver keeps these where a restart does not lose them.
    seen: Mutex<HashSet<String>>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "9000".to_owned());
    #[expect(clippy::disallowed_methods, reason = "an example has no settings but these")]
    let secret = std::env::var("WEBHOOK_SECRET")?;
    // While a rotation overlaps, both: new([new_secret, old_secret]).
    let receiver = Receiver { verifier: Verifier::new([secret])?, seen: Mutex::default() };
    // axum reads bodies of 2 MB at most.
    let router = Router::new().route("/", routing::post(receive)).with_state(Arc::new(receiver));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

/// The body is raw here: verify it before anything parses it.
async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    if let Err(refusal) = receiver.verifier.verify(&header, &body, unix_seconds()) {
        eprintln!("refused: {refusal}");
        return StatusCode::UNAUTHORIZED;
    }
    let id = header("webhook-id").unwrap_or_default();
    let first = receiver.seen.lock().expect("no panic holds it").insert(id.to_owned());
    if first {
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        println!("received {} {id}", event["type"]);
    }
    StatusCode::NO_CONTENT
}

#[expect(clippy::disallowed_methods, reason = "a receiver has a clock of its own")]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

//! What the log says of a request, and what it must never say.

use std::io;
use std::sync::{Arc, Mutex};

use http::Method;
use tracing_subscriber::fmt::MakeWriter;

use crate::receiver::Receiver;
use crate::world::{World, id_of};

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Pages(Arc<Mutex<Vec<u8>>>);

impl Pages {
    /// Writes what this thread logs, for as long as the first of both is kept.
    pub(crate) fn begin() -> (tracing::subscriber::DefaultGuard, Pages) {
        let pages = Pages::default();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(pages.clone()).finish();
        (tracing::subscriber::set_default(log), pages)
    }

    /// What was written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("a lock").clone()).expect("text")
    }
}

impl io::Write for Pages {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Pages {
    type Writer = Pages;

    fn make_writer(&'a self) -> Pages {
        self.clone()
    }
}

#[tokio::test]
async fn the_log_names_requests_and_handles_and_no_secret_of_anybody() {
    let pages = Pages::default();
    let log = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(pages.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(log);

    let (world, receiver) = (World::start().await, Receiver::start().await);
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook?access_token=urlsecret", &["*"]).await;
    let holder = world.token_holder(&["events.write"]).await;
    let event = r#"{"type":"a","payload":{"x":"payloadsecret"}}"#;
    holder.with("x-request-id", "trace-me").send(Method::POST, "/events?token=querysecret", event).await;
    receiver.received(1).await;
    owner.deliveries_when("?status=delivered", 1).await;
    owner.post(&format!("/webhooks/{}/rotate-secret", id_of(&webhook)), &serde_json::json!({})).await;

    let text = pages.text();
    let line =
        text.lines().find(|line| line.contains("trace-me") && line.contains("/events")).expect("a line");
    for part in ["acme", "POST", "status=202", "duration_ms"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let token = holder.bearer.expect("a token");
    let secrets = [
        "urlsecret",
        "querysecret",
        "payloadsecret",
        token.split('.').nth(1).expect("a half"),
        webhook["secret"].as_str().expect("a secret"),
        owner.bearer.as_deref().expect("a JWT"),
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

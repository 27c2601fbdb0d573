//! What every scenario stands on: a fresh installation, a running process, a counting receiver, a generator.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    load::{Load, MakeRequest, Numbers},
    tally::Tally,
};
use crate::{
    api::Api,
    product::{Installation, Running},
    receiver::Receiver,
};

/// The type of the events that the generator sends.
pub(super) const EVENT_TYPE: &str = "bench.tick";

/// How long the last deliveries may take after the last event.
const DELIVERED_WITHIN: Duration = Duration::from_mins(3);

/// One scenario's surroundings; everything stops when it is dropped.
pub(super) struct Stage {
    pub(super) installation: Installation,
    pub(super) running: Running,
    pub(super) api: Api,
    pub(super) receiver: Receiver,
    pub(super) tally: Arc<Tally>,
    pub(super) numbers: Arc<Numbers>,
    /// From the start of the process to its first answer.
    pub(super) cold_start: Duration,
}

impl Stage {
    /// Starts everything; the receiver counts at `paths` paths, and nobody is subscribed yet.
    pub(super) async fn new(binary: &Path, paths: usize) -> Result<Stage> {
        let installation = Installation::new(binary, 100)?;
        let mut running = installation.start(None)?;
        let cold_start = running.ready().await?;
        let numbers = Arc::new(Numbers::starting_now());
        let tally = Arc::new(Tally::new(Arc::clone(&numbers), paths));
        let receiver = Receiver::start(Arc::clone(&tally)).await?;
        let api = Api::at(installation.address())?;
        Ok(Stage { installation, running, api, receiver, tally, numbers, cold_start })
    }

    /// The same, with one subscription for each path.
    pub(super) async fn subscribed(binary: &Path, paths: usize) -> Result<Stage> {
        let stage = Stage::new(binary, paths).await?;
        for path in 0..paths {
            stage.subscribe(&stage.receiver.url(&format!("/{path}")), &[EVENT_TYPE], json!({})).await?;
        }
        Ok(stage)
    }

    /// Subscribes an address.
    pub(super) async fn subscribe(&self, url: &str, event_types: &[&str], more: Value) -> Result<()> {
        self.api.subscribe(url, event_types, more).await.map(drop)
    }

    /// A load of events on the product.
    pub(super) fn load(&self) -> Load<impl MakeRequest + use<>> {
        let api = self.api.clone();
        let make = move |payload: String| {
            let body = format!(r#"{{"type":"{EVENT_TYPE}","payload":{payload}}}"#);
            api.request(Method::POST, "/events", body)
        };
        Load { address: self.installation.address(), numbers: Arc::clone(&self.numbers), make }
    }

    /// The same load straight to the receiver, for the ceiling.
    pub(super) fn load_on_receiver(&self) -> Load<impl MakeRequest + use<>> {
        let make = |payload: String| -> Request<Full<Bytes>> {
            let request =
                Request::post("/0").header("host", "receiver").header("content-type", "application/json");
            request.body(Full::from(payload)).expect("a request of constants is well formed")
        };
        Load { address: self.receiver.address(), numbers: Arc::clone(&self.numbers), make }
    }

    /// Waits until `due` different deliveries have arrived, and says how many did in time.
    pub(super) async fn delivered(&self, due: u64) -> u64 {
        let deadline = Instant::now() + DELIVERED_WITHIN;
        loop {
            let arrived = self.tally.different_everywhere();
            if arrived >= due || Instant::now() >= deadline {
                return arrived;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

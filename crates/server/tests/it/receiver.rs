//! A webhook receiver on loopback that remembers what it got and answers as it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A running receiver; it ends with the value.
pub(crate) struct Receiver {
    address: SocketAddr,
    memory: Memory,
    _serving: JoinSet<()>,
}

#[derive(Clone)]
struct Memory {
    arrivals: Arc<watch::Sender<Vec<Arrival>>>,
    status: Arc<Mutex<StatusCode>>,
    refused: Arc<Mutex<Option<&'static str>>>,
}

impl Receiver {
    /// A receiver that answers 204 until it is told otherwise.
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let memory = Memory {
            arrivals: Arc::default(),
            status: Arc::new(Mutex::new(StatusCode::NO_CONTENT)),
            refused: Arc::default(),
        };
        let router = Router::new().fallback(take).with_state(memory.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.expect("a running receiver") });
        Receiver { address, memory, _serving: serving }
    }

    /// The address of one of its paths.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers this from now on.
    pub(crate) fn answer(&self, status: u16) {
        *self.memory.status.lock().expect("a lock") = StatusCode::from_u16(status).expect("a status");
    }

    /// Answers 503 from now on to bodies that hold a text, or to none in particular.
    pub(crate) fn refuse(&self, text: Option<&'static str>) {
        *self.memory.refused.lock().expect("a lock") = text;
    }

    /// Waits until at least so many requests came, and says which.
    pub(crate) async fn received(&self, count: usize) -> Vec<Arrival> {
        let mut arrivals = self.memory.arrivals.subscribe();
        let waited = tokio::time::timeout(PATIENCE, arrivals.wait_for(|all| all.len() >= count)).await;
        waited.unwrap_or_else(|_| panic!("{count} requests did not come")).expect("a receiver").clone()
    }

    /// How many came so far.
    pub(crate) fn count(&self) -> usize {
        self.memory.arrivals.borrow().len()
    }
}

impl Arrival {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn take(State(memory): State<Memory>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let refused = memory
        .refused
        .lock()
        .expect("a lock")
        .is_some_and(|text| body.windows(text.len()).any(|window| window == text.as_bytes()));
    let status =
        if refused { StatusCode::SERVICE_UNAVAILABLE } else { *memory.status.lock().expect("a lock") };
    memory.arrivals.send_modify(|all| all.push(Arrival { path: uri.path().to_owned(), headers, body }));
    status
}

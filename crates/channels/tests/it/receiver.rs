//! A receiver on a loopback socket that does exactly what a test says, however rude.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Long enough for anything on a loaded machine; reached only by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Handles each connection by a script.
    pub(crate) async fn start<F>(script: impl Fn(TcpStream, Received) -> F + Send + 'static) -> Receiver
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Receiver::start_at("127.0.0.1:0".parse().expect("an address"), script).await
    }

    pub(crate) async fn start_at<F>(
        address: SocketAddr,
        script: impl Fn(TcpStream, Received) -> F + Send + 'static,
    ) -> Receiver
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a loopback port");
        let address = listener.local_addr().expect("it is bound");
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (count, received) = (Arc::clone(&connections), Received(Arc::clone(&requests)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(script(stream, received.clone()));
            }
        });
        Receiver { address, connections, requests, _tasks: tasks }
    }

    /// Gives the same bytes for every request, on connections that stay open.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Receiver {
        let answer: Arc<[u8]> = answer.into().into();
        Receiver::start(move |mut stream, received| {
            let answer = Arc::clone(&answer);
            async move {
                while received.request_from(&mut stream).await {
                    if stream.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            }
        })
        .await
    }

    /// Gives these bytes for the first request of each connection, then closes.
    pub(crate) async fn answering_once(answer: impl Into<Vec<u8>>) -> Receiver {
        let answer: Arc<[u8]> = answer.into().into();
        Receiver::start(move |mut stream, received| {
            let answer = Arc::clone(&answer);
            async move {
                if received.request_from(&mut stream).await {
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                    linger(&mut stream).await;
                }
            }
        })
        .await
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Connections that were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The requests that came in so far, whole.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic holds it").clone()
    }
}

/// Where a script notes the requests that it read.
#[derive(Clone)]
pub(crate) struct Received(Arc<Mutex<Vec<String>>>);

impl Received {
    /// Reads one request. False when the other side closed.
    pub(crate) async fn request_from(&self, stream: &mut (impl AsyncRead + Unpin)) -> bool {
        let Some(request) = read_request(stream).await else { return false };
        self.0.lock().expect("no panic holds it").push(request);
        true
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.and_then(|length| length.parse().ok()).unwrap_or(0) <= body.len() {
                return Some(text.into_owned());
            }
        }
    }
}

/// Waits until the other side has closed, so that closing first does not reset what is on its way.
pub(crate) async fn linger(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// Writes a piece again and again, with a pause, until the other side has closed.
pub(crate) async fn drip(stream: &mut (impl AsyncWrite + Unpin), piece: &[u8], pause: Duration) {
    while stream.write_all(piece).await.is_ok() && stream.flush().await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}

/// Waits until something becomes true.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never became true: {what}");
}

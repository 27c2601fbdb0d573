//! The receiver itself: an HTTP/1.1 server with keep-alive that does as little as it can.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_verify::{InvalidVerifyKey, Received, TOLERANCE, VerifyKey, verify};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answer::Answer;
use super::behaviour::Behaviour;
use super::consent::Question;
use super::log::{KEEP_DEFAULT, Log, Record, Signatures, Summary};
use super::message::Message;
use super::show::Show;

/// The largest body that is read: twice what an operator may let a publisher send.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The most connections at a time.
const CONNECTIONS_MAX: usize = 10_000;
/// How long a sender may take for its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait after a failed accept: out of files, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a sink is set up.
pub(crate) struct SinkSettings {
    /// Port 0 takes any free one.
    pub(crate) listen: SocketAddr,
    /// What signatures are checked with.
    pub(crate) keys: Vec<VerifyKey>,
    /// How requests are answered whose path does not say otherwise.
    pub(crate) behaviour: Behaviour,
    /// How many of the last requests are kept in full.
    pub(crate) keep: usize,
    /// What is printed.
    pub(crate) show: Show,
}

impl Default for SinkSettings {
    fn default() -> SinkSettings {
        SinkSettings {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            keys: Vec::new(),
            behaviour: Behaviour::default(),
            keep: KEEP_DEFAULT,
            show: Show::Nothing,
        }
    }
}

/// What the connections of one sink share.
pub(crate) struct Sink {
    /// Signatures are not checked while there is none.
    keys: RwLock<Vec<VerifyKey>>,
    behaviour: Behaviour,
    show: Show,
    log: Mutex<Log>,
    total: watch::Sender<u64>,
}

/// A sink that listens until it is stopped or dropped.
pub(crate) struct RunningSink {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    sink: Arc<Sink>,
    tasks: JoinSet<()>,
}

impl Sink {
    /// Listens and answers from now on.
    pub(crate) async fn start(settings: SinkSettings) -> io::Result<RunningSink> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let sink = Arc::new(Sink {
            keys: RwLock::new(settings.keys),
            behaviour: settings.behaviour,
            show: settings.show,
            log: Mutex::new(Log::new(settings.keep)),
            total: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&sink)));
        Ok(RunningSink { address, sink, tasks })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A panic while counting leaves numbers that are off by one, which is no reason to stop.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Answer> {
        let (head, body) = request.into_parts();
        if let Some(answer) = self.control(&head) {
            return answer;
        }
        let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
            let words = format!("the body broke off or has more than {BODY_BYTES_MAX} bytes");
            return text(StatusCode::PAYLOAD_TOO_LARGE, words);
        };
        match self.behaviour.at(head.uri.path()) {
            Ok(behaviour) => {
                let body = body.to_bytes();
                let question = Question::of(&head, &body);
                let signed = question.as_ref().is_none_or(Question::is_signed);
                let status = self.record(&head, body, &behaviour, signed);
                let mut answer = answer_as(&behaviour, status).await;
                if let Some(question) = question {
                    question.consent(&mut answer);
                }
                answer
            }
            Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }

    /// The sink's own routes. They answer to no other method, so endpoints may have these paths.
    fn control(&self, head: &request::Parts) -> Option<Response<Answer>> {
        match (&head.method, head.uri.path()) {
            (&Method::GET, "/requests") => Some(self.requests(head.uri.query())),
            (&Method::GET, "/requests/summary") => Some(json(&self.log().summary())),
            (&Method::DELETE, "/requests") => {
                let mut log = self.log();
                log.clear();
                self.total.send_replace(0);
                Some(with_status(StatusCode::NO_CONTENT, Answer::empty()))
            }
            _ => None,
        }
    }

    fn requests(&self, query: Option<&str>) -> Response<Answer> {
        let since = query.and_then(|query| query.strip_prefix("since="));
        match since.map_or(Ok(0), str::parse) {
            Ok(since) => json(&serde_json::json!({ "requests": self.log().records(since) })),
            Err(_) => text(StatusCode::BAD_REQUEST, "since is not the number of a request".to_owned()),
        }
    }

    /// Counts a request, shows it, and says with which status it is answered. Signatures are looked
    /// for only where there should be some.
    fn record(&self, head: &request::Parts, body: Bytes, behaviour: &Behaviour, signed: bool) -> StatusCode {
        let at = super::now();
        let signatures = if signed { self.judge(&head.headers, &body, at) } else { None };
        let bad_signature = signatures.as_ref().is_some_and(|signatures| !signatures.hold());
        let event =
            ["webhook-id", "x-event-id"].iter().find_map(|name| head.headers.get(*name)?.to_str().ok());

        let mut log = self.log();
        let status = behaviour.status_after(log.see(head.uri.path(), event));
        let answered = (!behaviour.hang).then_some(status);
        let n = log.count(at, answered, bad_signature);
        if log.keeps() || self.show != Show::Nothing {
            let record = Arc::new(Record {
                n,
                at,
                method: head.method.to_string(),
                path: head.uri.to_string(),
                message: Message { headers: in_text(&head.headers), body },
                signatures: signatures.unwrap_or_default(),
                status: answered,
            });
            // Under the lock, so that lines come in the order of their numbers.
            self.show.print(&record);
            log.keep(record);
        }
        // Under the lock too: a lower number must not come after a higher one.
        self.total.send_replace(n);
        StatusCode::from_u16(status).expect("statuses were checked when they were read")
    }

    /// What the signatures are worth; none if there is no key to check them with.
    fn judge(&self, headers: &HeaderMap, body: &[u8], at: Timestamp) -> Option<Signatures> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if keys.is_empty() {
            return None;
        }
        let received = Received { header: &|name| headers.get(name)?.to_str().ok(), body };
        Some(Signatures(verify(&keys, &received, super::unix_seconds(at), TOLERANCE).to_vec()))
    }
}

impl RunningSink {
    /// Where requests go: `http://127.0.0.1:9000`, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Checks signatures with this secret too from now on.
    pub(crate) fn trust(&self, secret: &str) -> Result<(), InvalidVerifyKey> {
        let key = VerifyKey::parse(secret)?;
        self.sink.keys.write().unwrap_or_else(PoisonError::into_inner).push(key);
        Ok(())
    }

    /// The counts so far.
    pub(crate) fn summary(&self) -> Summary {
        self.sink.log().summary()
    }

    /// The kept requests, oldest first.
    pub(crate) fn requests(&self) -> Vec<Arc<Record>> {
        self.sink.log().records(0)
    }

    /// Waits until so many requests have come.
    #[cfg(test)]
    pub(crate) async fn received(&self, total: u64) {
        let mut seen = self.sink.total.subscribe();
        seen.wait_for(|seen| *seen >= total).await.expect("the sink holds the sender");
    }

    /// Stops listening and drops all connections, in the middle of an answer if need be.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn accept(listener: TcpListener, sink: Arc<Sink>) {
    // Dropped with this task: no connection outlives the sink.
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&sink)));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, sink: Arc<Sink>) {
    // Without it, a small answer may wait for the sender's delayed acknowledgement. If it cannot be
    // set, the connection is gone and says so itself.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let sink = &sink;
        async move { Ok::<_, Infallible>(sink.handle(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // A sender that breaks off has only itself to tell.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer_as(behaviour: &Behaviour, status: StatusCode) -> Response<Answer> {
    if behaviour.hang {
        std::future::pending::<()>().await;
    }
    if !behaviour.delay.is_zero() {
        tokio::time::sleep(behaviour.delay).await;
    }
    let body = if behaviour.drip { Answer::drip() } else { Answer::empty() };
    let mut response = with_status(status, body);
    if let Some(seconds) = behaviour.retry_after.filter(|_| !status.is_success()) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn with_status(status: StatusCode, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

fn text(status: StatusCode, words: String) -> Response<Answer> {
    with_status(status, Answer::Whole(words.into()))
}

fn json(value: &impl serde::Serialize) -> Response<Answer> {
    let bytes = serde_json::to_vec(value).expect("our own values have text keys");
    let mut response = Response::new(Answer::Whole(bytes.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn in_text(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[cfg(test)]
mod tests;

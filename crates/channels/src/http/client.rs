//! The client: one request, one deadline, one [`Exchange`].

use std::sync::Arc;
use std::time::Duration;

use ::http::{Extensions, HeaderMap, Request, Response};
use angarium_domain::attempt::Exchange;
use angarium_domain::outcome::{Failure, Outcome};
use angarium_domain::time::Timestamp;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Kept};
use super::dial::{Connector, Limits};
use super::fault::Fault;
use super::retry_after;
use super::tls::{InvalidRoots, client_config};
use super::transport::Established;
use crate::egress::Guard;

/// Tells the time of day, for dates in `Retry-After`.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How far the parser reads ahead. That a head has 100 lines at most is its own limit.
const READ_AHEAD_BYTES_MAX: usize = 64 * 1024;
/// No attempt takes longer, whatever its caller says.
const DEADLINE_MAX: Duration = Duration::from_hours(1);

/// Sends requests over pooled connections. Cheap to share, not to make.
pub struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    connection_age: Duration,
    body_kept_bytes: usize,
    now: Clock,
}

impl Client {
    /// A client that dials by the guard's word, and trusts the system's certificate authorities and these.
    pub fn new(
        guard: Arc<Guard>,
        extra_roots: Vec<CertificateDer<'static>>,
        now: Clock,
        limits: &Limits,
    ) -> Result<Client, InvalidRoots> {
        let connector = Connector::new(guard, client_config(extra_roots)?, limits);
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle)
            .pool_max_idle_per_host(limits.idle_per_host)
            // The pool would send a request again whose connection closed; an attempt is counted once.
            .retry_canceled_requests(false)
            .http1_max_buf_size(READ_AHEAD_BYTES_MAX)
            .build(connector);
        Ok(Client {
            pool,
            connection_age: limits.connection_age,
            body_kept_bytes: limits.body_kept_bytes,
            now,
        })
    }

    /// Sends one request, within one deadline from the lookup to the last byte of the answer.
    ///
    /// Never sends twice. `endpoint` is what the record shows: the address without its query.
    pub async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        endpoint: &str,
        deadline: Duration,
    ) -> Exchange {
        let started_at = Instant::now();
        let ends_at = started_at + deadline.min(DEADLINE_MAX);
        let connection = capture_connection(&mut request);

        let answered = timeout_at(ends_at, self.pool.request(request)).await;
        let first_byte_at = Instant::now();
        let read = match answered {
            Ok(Ok(response)) => self.read(response, endpoint, ends_at).await,
            Ok(Err(error)) => Err(Fault::of_request(&error)),
            Err(_) => Err(Fault::late(unanswered(&connection), deadline)),
        };
        let mut exchange =
            read.unwrap_or_else(|fault| Exchange::failed(fault.failure, endpoint, fault.detail));

        exchange.timing.total_us = micros(started_at.elapsed());
        if let Some(connected) = connection.connection_metadata().as_ref() {
            self.look_after(connected, &exchange);
            describe(&mut exchange, connected, started_at, first_byte_at);
        }
        exchange
    }

    /// Sends one request and reads the whole answer, within one deadline, if its body is not longer
    /// than `bytes_max`.
    pub(crate) async fn fetch(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Duration,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, Unread> {
        let ends_at = Instant::now() + deadline.min(DEADLINE_MAX);
        let connection = capture_connection(&mut request);
        let fetched = timeout_at(ends_at, self.whole(request, bytes_max)).await;
        fetched.unwrap_or_else(|_| Err(Fault::late(unanswered(&connection), deadline).into()))
    }

    async fn whole(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: usize,
    ) -> Result<Response<Bytes>, Unread> {
        let response = self.pool.request(request).await.map_err(|error| Fault::of_request(&error))?;
        answer::check_head(&response)?;
        let (head, body) = response.into_parts();
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(Unread::TooLarge);
        }
        let body = Limited::new(body, bytes_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return Unread::TooLarge;
            }
            let fault = error.downcast::<hyper::Error>().map(|error| Fault::of_exchange(&error));
            let lost = || Fault::new(Failure::ConnectionLost, "the connection was lost");
            fault.unwrap_or_else(|_| lost()).into()
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// What an answer asks for in `Retry-After`, in seconds.
    pub(crate) fn retry_after(&self, headers: &HeaderMap) -> Option<u64> {
        retry_after::seconds(headers, &*self.now)
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        endpoint: &str,
        ends_at: Instant,
    ) -> Result<Exchange, Fault> {
        let status = answer::check_head(&response)?;
        let (head, body) = response.into_parts();
        let retry_after_seconds = retry_after::seconds(&head.headers, &*self.now);
        let outcome = Outcome::Answered { status, retry_after_seconds };
        let mut exchange = answer::from_head(&head.headers, outcome, endpoint);
        let kept = Kept::of(body, self.body_kept_bytes, ends_at).await;
        (exchange.response_body, exchange.response_truncated) = kept.into_text();
        Ok(exchange)
    }

    /// Takes a connection out of use that is old, or whose answers cannot be trusted to end where we think.
    fn look_after(&self, connected: &Connected, exchange: &Exchange) {
        let broken = exchange.outcome == Outcome::Failed { failure: Failure::ProtocolError };
        let old = established(connected).is_some_and(|known| known.ready_at.elapsed() >= self.connection_age);
        if broken || old {
            connected.poison();
        }
    }
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(crate) enum Unread {
    /// There is none, or not all of it, for a reason that an attempt may have, too.
    Failed {
        failure: Failure,
        /// For whoever named the address.
        detail: String,
    },
    /// Its body is longer than it may be.
    TooLarge,
}

impl From<Fault> for Unread {
    fn from(fault: Fault) -> Unread {
        Unread::Failed { failure: fault.failure, detail: fault.detail.into_owned() }
    }
}

fn unanswered(connection: &CaptureConnection) -> &'static str {
    if connection.connection_metadata().is_some() { "no answer" } else { "no connection" }
}

fn established(connected: &Connected) -> Option<Arc<Established>> {
    let mut extras = Extensions::new();
    connected.get_extras(&mut extras);
    extras.remove()
}

/// Adds what the connection tells: where it leads, and what it cost the request that it was made for.
fn describe(exchange: &mut Exchange, connected: &Connected, started_at: Instant, first_byte_at: Instant) {
    let Some(known) = established(connected) else { return };
    exchange.remote_address = Some(known.remote_address.clone());
    if let Some(spent) = known.spent_since(started_at) {
        exchange.timing.dns_us = spent.dns.map(micros);
        exchange.timing.connect_us = Some(micros(spent.connect));
        exchange.timing.tls_us = spent.tls.map(micros);
    }
    if exchange.outcome.status().is_some() {
        let sent_at = started_at.max(known.ready_at);
        exchange.timing.first_byte_us = Some(micros(first_byte_at.saturating_duration_since(sent_at)));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

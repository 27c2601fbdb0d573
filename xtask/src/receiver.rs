//! A small receiver of our own: the product's behaviour is not judged by the product's receiver.

use std::{convert::Infallible, future::pending, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, net::TcpStream, task::JoinSet};

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Answer at once.
    Now(StatusCode),
    /// Answer with a plain text.
    Text(&'static str),
    /// Answer after a while.
    After(Duration, StatusCode),
    /// Keep the request and never answer.
    Never,
}

/// Looks at a request and chooses a reply.
pub(crate) trait Guest: Send + Sync + 'static {
    /// Called once for each request that arrived whole.
    fn receive(&self, head: &Parts, body: &Bytes) -> Reply;
}

/// A listening receiver; stops when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Listens on a free port of this machine.
    pub(crate) async fn start(guest: Arc<impl Guest>) -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, guest));
        Ok(Receiver { address, _tasks: tasks })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a path, for a subscription.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

async fn accept(listener: TcpListener, guest: Arc<impl Guest>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&guest)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, guest: Arc<impl Guest>) {
    // Without it, small answers wait for delayed acknowledgements and measure the kernel's patience.
    stream.set_nodelay(true).unwrap_or_default();
    let answer = service_fn(|request| answer(request, guest.as_ref()));
    // A sender that was killed breaks its connections; that is what it was killed for.
    http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await.unwrap_or_default();
}

async fn answer(request: Request<Incoming>, guest: &impl Guest) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    Ok(match guest.receive(&head, &body.to_bytes()) {
        Reply::Now(code) => status(code),
        Reply::Text(text) => plain(text),
        Reply::After(wait, code) => {
            tokio::time::sleep(wait).await;
            status(code)
        }
        Reply::Never => pending().await,
    })
}

fn plain(text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Line;

    struct Echo;

    impl Guest for Echo {
        fn receive(&self, head: &Parts, body: &Bytes) -> Reply {
            let asked = if body.is_empty() { head.uri.path()[1..].parse() } else { Ok(200) };
            Reply::Now(StatusCode::from_u16(asked.unwrap_or(400)).unwrap())
        }
    }

    #[tokio::test]
    async fn one_connection_carries_many_requests_to_the_guest() {
        let receiver = Receiver::start(Arc::new(Echo)).await.unwrap();
        let mut line = Line::to(receiver.address());
        for (path, body, expected) in [("/503", "", 503), ("/404", "", 404), ("/404", "text", 200)] {
            let request = Request::post(path).header("host", "receiver").body(Full::from(body)).unwrap();
            assert_eq!(line.send(request).await.unwrap().status(), expected, "{path} {body:?}");
        }
    }
}

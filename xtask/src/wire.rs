//! One keep-alive HTTP/1.1 connection, and a new one when it ends.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// A connection to one address. Nothing is pooled and nothing is retried: who measures or keeps a
/// ledger must know of every request that may have been sent.
#[derive(Debug)]
pub(crate) struct Line {
    address: SocketAddr,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Drives the connection; ends with it or when the line is dropped.
    _driver: JoinSet<()>,
}

impl Line {
    /// A line to `address`, opened by the first request.
    pub(crate) fn to(address: SocketAddr) -> Line {
        Line { address, open: None }
    }

    /// Sends one request and reads the whole answer.
    ///
    /// An error says nothing about whether the request was carried out.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        let answer = self.exchange(request).await;
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>> {
        if self.open.as_ref().is_none_or(|open| open.sender.is_closed()) {
            self.open = Some(Open::to(self.address).await?);
        }
        let open = self.open.as_mut().expect("a connection was opened above");
        open.sender.ready().await?;
        let (head, body) = open.sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

impl Open {
    async fn to(address: SocketAddr) -> Result<Open> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        // How a connection ends is told to whoever waits for an answer on it.
        driver.spawn(async { connection.await.unwrap_or_default() });
        Ok(Open { sender, _driver: driver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// Answers one request on each connection with `answer`, and closes it.
    async fn answer_once_each(listener: TcpListener, answer: &'static str) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            assert_ne!(stream.read(&mut request).await.unwrap(), 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn line_to_a_listener_that_answers(answer: &'static str) -> (Line, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Line::to(listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(answer_once_each(listener, answer));
        (line, tasks)
    }

    fn request() -> Request<Full<Bytes>> {
        Request::post("/").header("host", "listener").body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn a_closed_connection_is_replaced_by_the_next_request() {
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        let (mut line, _tasks) = line_to_a_listener_that_answers(answer).await;
        for _ in 0..3 {
            assert_eq!(line.send(request()).await.unwrap().body(), "ok");
        }
    }

    #[tokio::test]
    async fn a_cut_answer_is_an_error_and_is_not_asked_for_again() {
        let (mut line, mut tasks) = line_to_a_listener_that_answers("HTTP/1.1 200 OK\r\ncontent-le").await;
        line.send(request()).await.unwrap_err();
        assert!(line.open.is_none());
        tasks.abort_all();
    }
}

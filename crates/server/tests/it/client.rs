//! A caller of the API: one request, one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::contract::{self, Asked};

/// Somebody with a credential, or without one.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    /// What stands before every path.
    pub(crate) root: String,
    pub(crate) bearer: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// What the text was made of.
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PATCH, path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "").await
    }

    /// The same caller with one header more.
    pub(crate) fn with(&self, name: &'static str, value: impl Into<String>) -> Client {
        let mut client = self.clone();
        client.headers.push((name, value.into()));
        client
    }

    /// The same caller with another credential.
    pub(crate) fn bearing(&self, bearer: impl Into<String>) -> Client {
        Client { bearer: Some(bearer.into()), ..self.clone() }
    }

    /// The same caller at another place of the API.
    pub(crate) fn at(&self, root: &str) -> Client {
        Client { root: root.to_owned(), ..self.clone() }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let target = format!("{}{path}", self.root);
        let mut request =
            Request::builder().method(method.clone()).uri(&target).header("host", "angarium.test");
        if !body.is_empty() && !self.headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        if let Some(bearer) = &self.bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = self.exchange(request.body(Full::new(body.clone())).expect("a request")).await;
        contract::check(&Asked { method: &method, target: &target, body: &body }, &answer);
        answer
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("the service listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let exchange = async {
            let response = sender.send_request(request).await.expect("an answer");
            let (head, body) = response.into_parts();
            let body = body.collect().await.expect("a whole body").to_bytes();
            drop(sender);
            Answer {
                status: head.status,
                headers: head.headers,
                text: String::from_utf8_lossy(&body).into_owned(),
                body,
            }
        };
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{} {:?}: {error}", self.status, self.text))
    }

    /// A text field of the body.
    #[track_caller]
    pub(crate) fn text_of(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.text)).to_owned()
    }

    /// The items of a list.
    #[track_caller]
    pub(crate) fn items(&self) -> Vec<Value> {
        self.expect(StatusCode::OK);
        self.json()["items"].as_array().expect("items").clone()
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: StatusCode) -> &Answer {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts that this is a problem of the published shape (contract 9).
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> &Answer {
        let body = self.json();
        assert_eq!((self.status.as_u16(), body["error"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", self.text);
        assert_eq!(body["requestId"].as_str(), self.headers["x-request-id"].to_str().ok(), "{}", self.text);
        self
    }

    /// Asserts that this is a success of the v1 API, and answers what it holds.
    #[track_caller]
    pub(crate) fn data(&self, status: u16) -> Value {
        let body = self.json();
        assert_eq!((self.status.as_u16(), &body["success"]), (status, &Value::Bool(true)), "{}", self.text);
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(2), "{}", self.text);
        body["data"].clone()
    }

    /// Asserts that this is a problem in the shape of the v1 API.
    #[track_caller]
    pub(crate) fn expect_refusal(&self, status: u16, code: &str) -> &Answer {
        let body = self.json();
        let error = &body["error"];
        assert_eq!((self.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(
            (self.header("content-type"), &body["success"]),
            (Some("application/json"), &Value::Bool(false))
        );
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", self.text);
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{}", self.text);
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The fields that a problem names, in order.
    pub(crate) fn fields_at_fault(&self) -> Vec<String> {
        let body = self.json();
        let details = body["details"].as_array().or_else(|| body["error"]["details"].as_array());
        let details = details.cloned().unwrap_or_default();
        details.iter().map(|detail| detail["field"].as_str().expect("a field").to_owned()).collect()
    }
}

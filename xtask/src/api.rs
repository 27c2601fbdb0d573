//! The few API calls that trials make, over HTTP and by the published contract alone.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use jsonwebtoken::{EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{clock, product, wire::Line};

/// The tenant of every trial.
pub(crate) const HANDLE: &str = "trial";

/// States in which a delivery still waits for something.
const UNSETTLED: &[&str] = &["pending", "in_flight", "retrying", "held"];

/// A caller with a token.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    handle: String,
    bearer: HeaderValue,
}

/// A subscription as created.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subscribed {
    pub(crate) subscription_id: String,
    pub(crate) secret: String,
}

/// A token or key as made.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Credential {
    #[serde(alias = "tokenId", alias = "keyId")]
    pub(crate) id: String,
    #[serde(alias = "token", alias = "key")]
    pub(crate) text: String,
}

/// A delivery as listed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    #[serde(rename = "deliveryId")]
    pub(crate) id: String,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) subscription_id: String,
    pub(crate) status: String,
    pub(crate) attempts: u32,
    pub(crate) reason: Option<String>,
    pub(crate) replay_of: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(alias = "items")]
    deliveries: Vec<Delivery>,
    next_cursor: Option<String>,
}

impl Api {
    /// A caller with every right on [`HANDLE`], and on handles as such.
    pub(crate) fn at(address: SocketAddr) -> Result<Api> {
        Api::on(address, HANDLE, "xtask")
    }

    /// The same in the name of a person.
    pub(crate) fn of_person(address: SocketAddr, name: &str) -> Result<Api> {
        Api::on(address, HANDLE, name)
    }

    /// The same on another handle.
    pub(crate) fn on(address: SocketAddr, handle: &str, subject: &str) -> Result<Api> {
        let expires = clock::since_epoch() + Duration::from_hours(12);
        let claims = json!({ "sub": subject, "exp": expires.as_secs(), "handles": { handle: "OWNER" }, "platform_admin": true });
        let key = EncodingKey::from_secret(product::JWT_SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::default(), &claims, &key)?;
        Ok(Api {
            address,
            handle: handle.to_owned(),
            bearer: HeaderValue::try_from(format!("Bearer {token}"))?,
        })
    }

    /// The same with another credential.
    pub(crate) fn with_token(&self, token: &str) -> Result<Api> {
        Ok(Api { bearer: HeaderValue::try_from(format!("Bearer {token}"))?, ..self.clone() })
    }

    /// Which handle it is about.
    pub(crate) fn handle(&self) -> &str {
        &self.handle
    }

    /// What stands in the header `authorization` of its requests.
    pub(crate) fn bearer(&self) -> &str {
        self.bearer.to_str().expect("a JWT is ASCII")
    }

    /// A new personal access token with these scopes.
    pub(crate) async fn token(&self, scopes: &[&str]) -> Result<Credential> {
        let body = json!({ "name": "trial", "scopes": scopes });
        Ok(serde_json::from_value(self.call(Method::POST, "/tokens", Some(&body)).await?)?)
    }

    /// A new live API key with these scopes.
    pub(crate) async fn api_key(&self, scopes: &[&str]) -> Result<Credential> {
        let body = json!({ "name": "trial", "mode": "live", "scopes": scopes });
        Ok(serde_json::from_value(self.call(Method::POST, "/api-keys", Some(&body)).await?)?)
    }

    /// A request on the handle, ready to send.
    pub(crate) fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request_to(method, &format!("/v2/handles/{}{path}", self.handle), body)
    }

    /// A request to a whole path, ready to send.
    pub(crate) fn request_to(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = path.try_into().expect("paths of trials are written in ASCII");
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("angarium"));
        headers.insert(AUTHORIZATION, self.bearer.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// One call on a connection of its own; anything but success is an error with the answer in it.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let shown = format!("{method} {path}");
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer =
            Line::to(self.address).send(self.request(method, path, body)).await.context(shown.clone())?;
        let text = String::from_utf8_lossy(answer.body());
        ensure!(answer.status().is_success(), "{shown} was answered {}: {text}", answer.status());
        if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text).context(shown) }
    }

    /// Makes a handle, which a platform admin may.
    pub(crate) async fn create_handle(&self, handle: &str) -> Result<()> {
        self.post_to("/v2/operator/handles", &json!({ "handle": handle })).await.map(drop)
    }

    /// Posts to a route that is below no handle.
    pub(crate) async fn post_to(&self, path: &'static str, body: &Value) -> Result<Value> {
        let mut request = self.request(Method::POST, "", body.to_string());
        *request.uri_mut() = Uri::from_static(path);
        let answer = Line::to(self.address).send(request).await?;
        let text = String::from_utf8_lossy(answer.body());
        ensure!(answer.status().is_success(), "POST {path} was answered {}: {text}", answer.status());
        serde_json::from_str(&text).context(path)
    }

    /// Subscribes `url` to `event_types`; `more` holds further fields of the request.
    pub(crate) async fn subscribe(&self, url: &str, event_types: &[&str], more: Value) -> Result<Subscribed> {
        let mut body = json!({ "endpointUrl": url, "eventTypes": event_types });
        if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
            body.extend(more);
        }
        Ok(serde_json::from_value(self.call(Method::POST, "/webhooks", Some(&body)).await?)?)
    }

    /// Gives a subscription a new secret; the old one signs beside it for a day.
    pub(crate) async fn rotate_secret(&self, subscription_id: &str) -> Result<String> {
        let path = format!("/webhooks/{subscription_id}/rotate-secret");
        let answer = self.call(Method::POST, &path, Some(&json!({}))).await?;
        Ok(answer["secret"].as_str().context("the rotation's answer has no secret")?.to_owned())
    }

    /// Publishes one event and returns its id.
    pub(crate) async fn publish(&self, event: &Value) -> Result<String> {
        let answer = self.call(Method::POST, "/events", Some(event)).await?;
        Ok(answer["eventId"].as_str().context("the answer has no eventId")?.to_owned())
    }

    /// Waits until no delivery waits for anything; fails with the state that does not empty.
    pub(crate) async fn quiet_within(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while let Some(state) = self.unsettled().await? {
            if Instant::now() >= deadline {
                bail!("some deliveries were still {state} after {limit:?}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn unsettled(&self) -> Result<Option<&'static str>> {
        for state in UNSETTLED {
            let page = self.page(&format!("/deliveries?limit=1&status={state}")).await?;
            if !page.deliveries.is_empty() {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Every delivery of the handle.
    pub(crate) async fn deliveries(&self) -> Result<Vec<Delivery>> {
        let mut all = Vec::new();
        let mut path = "/deliveries?limit=100".to_owned();
        loop {
            let page = self.page(&path).await?;
            all.extend(page.deliveries);
            let Some(cursor) = page.next_cursor else { return Ok(all) };
            path = format!("/deliveries?limit=100&cursor={cursor}");
        }
    }

    async fn page(&self, path: &str) -> Result<Page> {
        Ok(serde_json::from_value(self.call(Method::GET, path, None).await?)?)
    }
}

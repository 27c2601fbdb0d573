//! A delivery is given up, and no address is set to tell of it: the inbox says so, and so does the log.

use anyhow::{Context, Result, ensure};
use hyper::{Method, StatusCode, http::request::Parts};
use serde_json::json;
use std::sync::Arc;

use super::scene::{SOON, Scene};
use crate::{
    patience::eventually,
    receiver::{Guest, Receiver, Reply},
};

/// Knows of nothing.
struct Nothing;

impl Guest for Nothing {
    fn receive(&self, _head: &Parts, _body: &bytes::Bytes) -> Reply {
        Reply::Now(StatusCode::NOT_FOUND)
    }
}

pub(super) async fn run(scene: &Scene) -> Result<()> {
    let api = scene.owner("unset")?;
    let shown = api.call(Method::GET, "/notifications", None).await?;
    let default = &shown["ownerDefaultEmail"];
    ensure!(default["status"] == "unset" && default["warning"].is_string(), "{default}");

    let receiver = Receiver::start(Arc::new(Nothing)).await?;
    let webhook = api.subscribe(&receiver.url("/"), &["order.*"], json!({})).await?;
    let event = api.publish(&json!({ "type": "order.paid", "payload": {} })).await?;
    let ends = scene.ends(&api, &event).await?;
    ensure!(ends.len() == 1 && ends[0]["status"] == "dead", "{ends:?}");

    let looked = || async { Ok(scene.list(&api, "/mobile/inbox").await?.pop()) };
    let item = eventually("an item that tells of it", SOON, looked).await?;
    ensure!(item["type"] == "email.owner_alert", "{item}");
    let data = &item["data"];
    ensure!(data["count"] == 1 && data["subscriptionId"] == webhook.subscription_id, "{item}");
    ensure!(data["deliveryId"] == ends[0]["deliveryId"], "{item} is not about {}", ends[0]);
    let body = item["body"].as_str().context("an item without a body")?;
    ensure!(body.contains("owner default e-mail"), "the item does not say what is missing: {body}");
    scene.figure_is("angarium_owner_alerts_total", &["to=\"inbox\""], 1).await?;
    let lines = scene.logs("no address is set to tell of deliveries that were given up", 1).await?;
    ensure!(lines[0]["handle"] == "unset" && lines[0]["level"] == "WARN", "{lines:?}");
    println!("email: without an owner's address, the inbox, the log and the figures tell of it");
    Ok(())
}

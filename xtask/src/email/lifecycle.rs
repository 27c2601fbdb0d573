//! A reader is asked, consents by a button and not by a link, is told, and ends it with one click.

use anyhow::{Context, Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::json;

use super::scene::{EMAILS, SOON, Scene};
use crate::asker::text_of;

const READER: &str = "anna@example.com";

pub(super) async fn run(scene: &Scene) -> Result<()> {
    let api = scene.owner("lifecycle")?;
    let asked = scene.ask(&api, READER, &["order.*"]).await?;
    let id = text_of(&asked, "subscriptionId")?;
    ensure!(asked["status"] == "pending_confirmation" && asked["remedy"].is_string(), "{asked}");
    let question = scene.question(READER).await?;
    let early = api.publish(&json!({ "type": "order.early", "payload": {} })).await?;

    // A scanner follows the link, as often as it likes.
    let confirm = question.link("confirm")?;
    for _ in 0..2 {
        ensure!(scene.page(Method::GET, &confirm, "").await? == StatusCode::OK);
    }
    ensure!(scene.standing(&api, &id).await? == "pending_confirmation", "a GET gave consent");
    ensure!(scene.page(Method::POST, &confirm, "confirm=yes").await? == StatusCode::OK);
    ensure!(scene.standing(&api, &id).await? == "active", "a POST gave no consent");
    println!("email: a question, a link that changes nothing, and a button that does");

    let event = api.publish(&json!({ "type": "order.paid", "payload": { "order": 42 } })).await?;
    let ends = scene.ends(&api, &event).await?;
    ensure!(ends.len() == 1 && ends[0]["status"] == "delivered", "{ends:?}");
    let delivery = text_of(&ends[0], "deliveryId")?;
    let mail = scene.peer.mail_to(READER, SOON, |mail| mail.delivery_id() == delivery).await?;
    ensure!(mail.unsubscribe_post.as_deref() == Some("List-Unsubscribe=One-Click"), "{mail:?}");
    let way_out = mail.link("unsubscribe")?;
    let header = mail.unsubscribe.as_deref().context("no List-Unsubscribe")?;
    ensure!(header.starts_with('<') && header.ends_with(&format!("{way_out}>")), "{header}");

    ensure!(scene.page(Method::GET, &way_out, "").await? == StatusCode::OK);
    ensure!(scene.page(Method::POST, &way_out, "").await? == StatusCode::BAD_REQUEST);
    ensure!(scene.standing(&api, &id).await? == "active", "something less than one click ended it");
    let one_click = scene.page(Method::POST, &way_out, "List-Unsubscribe=One-Click").await?;
    ensure!(one_click == StatusCode::OK, "one click was answered {one_click}");
    ensure!(scene.standing(&api, &id).await? == "unsubscribed", "one click did not end it");
    let late = api.publish(&json!({ "type": "order.late", "payload": {} })).await?;
    for (event, when) in [(early, "before they confirmed"), (late, "after they unsubscribed")] {
        let ends = scene.ends(&api, &event).await?;
        let sent = ends.iter().any(|one| one["status"] == "delivered");
        ensure!(!sent, "an event {when} was sent: {ends:?}");
    }
    let test = api.call(Method::POST, &format!("{EMAILS}/{id}/test"), Some(&json!({}))).await;
    ensure!(test.is_err_and(|error| error.to_string().contains("subscription_not_confirmed")));
    let mails = scene.peer.mails_to(READER);
    ensure!(mails.len() == 2, "{} mails instead of the question and one event: {mails:?}", mails.len());
    println!("email: one event, and one click that ends it");
    Ok(())
}

//! What is stored and makes no sense costs only itself.

use angarium_server::service::Service;
use http::StatusCode;
use serde_json::json;

use crate::receiver::Receiver;
use crate::restart::on_disk;
use crate::world::{World, id_of};

#[tokio::test]
async fn a_delivery_that_cannot_be_read_is_dead_and_the_others_of_its_lane_go_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, receiver) = (on_disk(folder.path()), Receiver::start().await);
    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let owner = world.owner();
    let webhook = owner.subscribe(&receiver, "/hook", &["*"]).await;
    let webhook = format!("/webhooks/{}", id_of(&webhook));
    owner.post(&format!("{webhook}/pause"), &json!({})).await.expect(StatusCode::OK);
    for event_type in ["good.one", "bad.outcome", "bad.event", "in.flight", "good.two"] {
        owner.publish(event_type).await;
    }
    world.service.stop().await;

    let db = rusqlite::Connection::open(&settings.store.path).expect("the store");
    for broken in [
        "UPDATE deliveries SET last_outcome = '{' WHERE event_type IN ('bad.outcome', 'in.flight')",
        // As if the process had ended during the attempt.
        "UPDATE deliveries SET state = 1 WHERE event_type = 'in.flight'",
        "UPDATE events SET origin = 'nowhere' WHERE event_type = 'bad.event'",
    ] {
        assert!(db.execute(broken, []).expect("SQL") > 0, "{broken}");
    }
    drop(db);

    let world = World { service: Service::start(&settings).await.expect("a running service") };
    let owner = world.owner();
    owner.post(&format!("{webhook}/resume"), &json!({})).await.expect(StatusCode::OK);
    let delivered = owner.deliveries_when("?status=delivered", 2).await;
    assert!(
        delivered.iter().all(|delivery| delivery["eventType"].as_str().expect("a type").starts_with("good"))
    );
    for dead in owner.deliveries_when("?status=dead", 3).await {
        assert_eq!(dead["reason"], "unreadable", "{dead}");
    }
    assert_eq!(receiver.count(), 2);
}

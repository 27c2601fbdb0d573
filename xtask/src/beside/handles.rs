//! Handles that are made, use a little of everything on a plan that counts it, and are deleted with all of it.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    notes,
    stage::{Findings, QUIET_WITHIN, Stage},
};
use crate::{
    api::{Api, HANDLE},
    asker::{Asker, text_of},
    clock,
    patience::eventually,
};

const HANDLES: &str = "/v2/operator/handles";
const PAUSE: Duration = Duration::from_millis(400);

/// A handle that was deleted.
#[derive(Debug)]
pub(super) struct Tenant {
    handle: String,
    /// Writes that were answered, and what the plan counted of them.
    writes: u64,
    counted: Value,
}

/// Makes one handle after the other, and deletes it, until it is enough.
pub(super) async fn work(stage: Arc<Stage>) -> Result<Vec<Tenant>> {
    let admin = stage.owner(HANDLE)?;
    let mut asker = stage.asker(&admin);
    let mut tenants = Vec::new();
    while stage.goes_on_after(PAUSE).await {
        let handle = format!("leaving-{}", tenants.len());
        let wish = json!({ "handle": handle, "plan": "enterprise", "timeZone": where_it_is_noon() });
        let request = admin.request_to(Method::POST, HANDLES, wish.to_string());
        asker.keyed(request, &format!("{handle}-made")).await?.expect(StatusCode::CREATED)?;
        let writes = Tenancy::begin(&stage, &handle)?.use_everything(&stage).await?;
        let counted = shown(&mut asker, &admin, &handle).await?.expect(StatusCode::OK)?;
        let counted = counted["usage"]["writesToday"].clone();
        delete(&mut asker, &admin, &handle).await?;
        tenants.push(Tenant { handle, writes, counted });
    }
    Ok(tenants)
}

/// Deleted although nobody heard the answer, it is not there any more.
async fn delete(asker: &mut Asker, admin: &Api, handle: &str) -> Result<()> {
    let request = admin.request_to(Method::DELETE, &format!("{HANDLES}/{handle}"), "");
    let answer = asker.keyed(request, &format!("{handle}-deleted")).await?;
    match answer.status {
        StatusCode::ACCEPTED => Ok(()),
        StatusCode::NOT_FOUND if answer.asked > 1 => Ok(()),
        status => bail!("the deletion of {handle}, asked for {} times, was answered {status}", answer.asked),
    }
}

async fn shown(asker: &mut Asker, admin: &Api, handle: &str) -> Result<crate::asker::Answer> {
    asker.insist(&admin.request_to(Method::GET, &format!("{HANDLES}/{handle}"), "")).await
}

/// A time zone where it is about noon, so that no trial sees midnight, when plans begin to count anew.
fn where_it_is_noon() -> String {
    // The names count westward: Etc/GMT+3 is three hours behind.
    match (clock::since_epoch().as_secs() % 86_400 / 3_600).cast_signed() - 12 {
        0 => "UTC".to_owned(),
        behind => format!("Etc/GMT{behind:+}"),
    }
}

/// The owner of a handle while it is there.
struct Tenancy {
    handle: String,
    asker: Asker,
    writes: u64,
}

impl Tenancy {
    fn begin(stage: &Stage, handle: &str) -> Result<Tenancy> {
        Ok(Tenancy { handle: handle.to_owned(), asker: stage.asker(&stage.owner(handle)?), writes: 0 })
    }

    /// Writes once, however often it is asked for, and twice in any case.
    async fn write(&mut self, path: &str, body: &Value) -> Result<Value> {
        let key = format!("{}-{}", self.handle, self.writes);
        let first = self.asker.write(path, body, &key).await?;
        self.asker.write(path, body, &key).await?.expect(first.status)?;
        self.writes += 1;
        first.expect(first.status)
    }

    /// Leaves something in every table that has handles, and says how many writes it took.
    async fn use_everything(mut self, stage: &Stage) -> Result<u64> {
        let nothing = stage.receiver.url("/nothing");
        self.write("/webhooks", &json!({ "endpointUrl": nothing, "eventTypes": ["order.*"] })).await?;
        let event = json!({ "type": "order.paid", "payload": {} });
        let key = format!("{}-event", self.handle);
        self.asker.write("/events", &event, &key).await?.expect(StatusCode::ACCEPTED)?;
        for n in 0..3 {
            let item = json!({ "type": "order.shipped", "title": format!("Item {n}") });
            let made = self.write("/mobile/inbox", &item).await?;
            self.write(&format!("/mobile/inbox/{}/read", text_of(&made, "itemId")?), &json!({})).await?;
        }
        let documents = json!([{ "text": "What is here is gone soon." }]);
        let source = json!({ "name": "Guide", "kind": "inline", "documents": documents });
        self.write("/context-sources", &source).await?;
        let signals = json!({ "sessionId": "one", "signals": [{ "signalKey": "cart.add" }] });
        self.write("/chain/signals", &signals).await?;
        let email = format!("reader@{}.example.com", self.handle);
        let reader = json!({ "email": email, "eventTypes": ["order.*"] });
        self.write("/notifications/email-subscriptions", &reader).await?;
        self.write("/tokens", &json!({ "name": "one", "scopes": ["events.read"] })).await?;
        let file = notes::wav(200);
        let wish = json!({ "contentType": "audio/wav", "sizeBytes": file.len() });
        let note = self.write("/mobile/voice-notes", &wish).await?;
        notes::upload(&mut self.asker, &note, file).await?;
        let path = format!("/mobile/voice-notes/{}/upload-complete", text_of(&note, "voiceNoteId")?);
        self.write(&path, &json!({})).await?;
        Ok(self.writes)
    }
}

/// Each is gone, and its plan had counted what it wrote. That nothing of it is left, the recount says.
pub(super) async fn judge(stage: &Stage, tenants: Vec<Tenant>) -> Result<Findings> {
    let mut findings = Findings::default();
    let admin = stage.owner(HANDLE)?;
    for Tenant { handle, writes, counted } in &tenants {
        let gone = || async {
            let status = shown(&mut stage.asker(&admin), &admin, handle).await?.status;
            Ok((status == StatusCode::NOT_FOUND).then_some(()))
        };
        eventually(&format!("{handle} is gone"), QUIET_WITHIN, gone).await?;
        findings.expect(counted == writes, || {
            format!("{handle} wrote {writes} times, and its plan counted {counted}")
        });
    }
    findings.count("handles made and deleted", tenants.len());
    Ok(findings)
}

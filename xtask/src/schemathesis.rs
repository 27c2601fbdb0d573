//! `schemathesis`: the OpenAPI documents in the hands of a tool that others wrote.
//!
//! It reads a document from a running binary, makes requests that fit it and requests that do not,
//! and holds every answer against it. Our own tests ask what we thought of; it asks the rest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use hyper::Method;
use serde_json::{Value, json};

use crate::{
    api::{Api, HANDLE},
    product::{self, Installation},
    workspace,
};

/// The tools and all that they need, at the versions that the configuration was written for.
const TOOLS: &str = "xtask/python/schemathesis.txt";

/// What a valid document may not say: a cursor is good for one list, a key for one body, an end must
/// be in the future. So a request that fits its schema may still be refused.
const EXCLUDED_CHECKS: &str = "positive_data_acceptance";

/// Each document, which of its routes, and their share of the time in percent: about as many routes as there are.
///
/// Handles as such come last: the tool remembers handles that it has seen, and removes them.
const RUNS: [(&str, &[&str], u32); 3] = [
    // It has no recordings to upload.
    ("v2", &["--exclude-path-regex", "^/v2/(operator|uploads)/"], 72),
    ("v1", &[], 20),
    ("v2", &["--include-path-regex", "^/v2/operator/"], 8),
];

/// Where nobody listens: webhooks of the trial go there, and their deliveries die at once.
const NOBODY: &str = "http://127.0.0.1:9/";

/// A tenant that is there to be changed, and one to be removed; neither is the one that everything else is of.
const TENANT: &str = "tenant";
const DOOMED_TENANT: &str = "doomed-tenant";

/// How long a delivery to nobody may take to die.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct SchemathesisArgs {
    /// How long to make requests, in seconds
    #[arg(long, default_value_t = 75, value_name = "N")]
    seconds: u32,
    /// Decides every request
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u32,
    /// Uses this binary instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Who asks, and for what is really there, so that requests come past the guard and past a 404.
struct Known {
    base: String,
    person: String,
    token: String,
    key: String,
    /// The names that the documents have for things in paths, and an id for each.
    kept: Vec<(&'static str, String)>,
    /// The same of things that are there to be removed.
    doomed: Vec<(&'static str, String)>,
    /// A report, which no handle has in its path.
    report: String,
}

/// Starts a fresh installation and lets the tool at it. Its answers decide.
pub(crate) async fn run(args: SchemathesisArgs) -> Result<()> {
    let binary = args.binary.clone().map_or_else(product::build, Ok)?;
    let folder = workspace::target_folder("schemathesis")?;
    let tools = workspace::python_tools(&folder, TOOLS)?;
    let installation = Installation::new(&binary, 1)?;
    let mut running = installation.start(None)?;
    running.ready().await?;
    let api = Api::at(installation.address())?;
    let known = Known::of(&api, format!("http://{}", installation.address())).await?;

    let configuration = folder.join("schemathesis.toml");
    let hooks = workspace::root().join("xtask/python/schemathesis_hooks.py");
    for (document, routes, percent) in RUNS {
        validate(document, &binary, &folder, &tools)?;
        fs::write(&configuration, configured(document, &known, &hooks))?;
        let seconds = args.seconds * percent / 100;
        let mut trial = Command::new(tools.join("st"));
        trial.current_dir(&folder).arg("--config-file").arg(&configuration);
        trial.args(["run", &format!("{}/openapi/{document}.json", known.base), "--no-color"]);
        trial.args(["--phases", "examples,coverage,fuzzing", "--exclude-checks", EXCLUDED_CHECKS]);
        trial.args(routes).args(["--seed", &args.seed.to_string(), "--max-time", &seconds.to_string()]);
        workspace::run(&mut trial)?;
    }
    // The tool was satisfied; so must be whoever waits for the process.
    running.ask_to_stop()?;
    running.ended().await.map(drop)
}

impl Known {
    /// Makes what a path may name: webhooks, an event, its dead deliveries, a replay.
    async fn of(api: &Api, base: String) -> Result<Known> {
        let scopes = [
            "events.write",
            "events.read",
            "webhooks.write",
            "webhooks.read",
            "mcp.connect",
            "context_store.manage",
        ];
        let key_scopes = ["webhooks:manage", "events:manage"];
        let (token, doomed_token) = (api.token(&scopes).await?, api.token(&scopes).await?);
        let (key, doomed_key) = (api.api_key(&key_scopes).await?, api.api_key(&key_scopes).await?);
        let once = json!({ "retryPolicy": { "delaysSeconds": [] } });
        let kept = api.subscribe(NOBODY, &["*"], once.clone()).await?.subscription_id;
        let doomed = api.subscribe(NOBODY, &["*"], once).await?.subscription_id;
        let event = api.publish(&json!({ "type": "order.paid", "payload": {} })).await?;
        // Of another event: a dead letter that was replayed is none any more.
        let replayed = api.publish(&json!({ "type": "order.sent", "payload": {} })).await?;
        api.quiet_within(PATIENCE).await?;
        let replay = json!({ "filter": { "eventId": replayed }, "ratePerSecond": 1 });
        let replay = api.call(Method::POST, "/replays", Some(&replay)).await?;
        let replay = text_of(&replay, "replayId")?;
        let mut kept = ids_around(api, &kept).await?;
        kept.extend([("eventId", event), ("replayId", replay)]);
        kept.extend(ids_beside(api).await?);
        let report = json!({ "summary": "deliveries stopped", "details": "at noon" });
        let report = api.post_to("/v2/support/report", &report).await?;
        let report = text_of(&report, "reportId")?;
        let mut doomed = ids_around(api, &doomed).await?;
        doomed.extend([("tokenId", doomed_token.id), ("keyId", doomed_key.id)]);
        doomed.extend(ids_beside(api).await?);
        for tenant in [TENANT, DOOMED_TENANT] {
            api.create_handle(tenant).await?;
        }
        let person = api.bearer().to_owned();
        Ok(Known { base, person, token: token.text, key: key.text, kept, doomed, report })
    }
}

/// A webhook under both of its names, and a dead letter of its own.
async fn ids_around(api: &Api, webhook: &str) -> Result<Vec<(&'static str, String)>> {
    let path = format!("/dead-letters?limit=1&subscriptionId={webhook}&eventType=order.paid");
    let dead = api.call(Method::GET, &path, None).await?;
    let dead = dead["items"][0]["deliveryId"].as_str().context("no delivery died")?.to_owned();
    let v1_webhook = webhook.replacen("sub_", "wh_", 1);
    Ok(vec![("subscriptionId", webhook.to_owned()), ("webhookId", v1_webhook), ("deliveryId", dead)])
}

/// What stands beside webhooks: a source of documents, an item of the inbox, a voice note without its file.
async fn ids_beside(api: &Api) -> Result<Vec<(&'static str, String)>> {
    let source = json!({ "name": "Notes", "kind": "inline", "documents": [{ "text": "a lighthouse" }] });
    let item = json!({ "type": "order.paid", "title": "An order was paid" });
    let note = json!({ "contentType": "audio/mp4", "sizeBytes": 1_000 });
    let mut ids = Vec::new();
    for (path, wish, name) in [
        ("/context-sources", source, "sourceId"),
        ("/mobile/inbox", item, "itemId"),
        ("/mobile/voice-notes", note, "voiceNoteId"),
    ] {
        ids.push((name, text_of(&api.call(Method::POST, path, Some(&wish)).await?, name)?));
    }
    Ok(ids)
}

fn text_of(answer: &Value, field: &str) -> Result<String> {
    let text = answer[field].as_str().map(str::to_owned);
    text.with_context(|| format!("the answer has no {field}: {answer}"))
}

/// Whether the document is OpenAPI at all.
fn validate(document: &str, binary: &Path, folder: &Path, tools: &Path) -> Result<()> {
    let file = folder.join(format!("{document}.json"));
    fs::write(&file, workspace::output(Command::new(binary).args(["openapi", document]))?)?;
    let validator = tools.join("openapi-spec-validator");
    workspace::run(Command::new(validator).args(["--schema", "3.1"]).arg(&file))
}

/// One handle, so that most requests come past the guard; at each door the credential that it takes;
/// and things that are there. Routes that remove something get other things: the tool remembers ids
/// that it has seen, and would use them there.
fn configured(document: &str, known: &Known, hooks: &Path) -> String {
    let text = |text: &str| json!(text).to_string();
    let bearer = |token: &str| text(&format!("Bearer {token}"));
    let v1_key = text(&known.key);
    let caller = match document {
        // Where the tool finds no value for a header of credentials, it makes one up.
        "v1" => format!("Authorization = {}, \"x-api-key\" = {v1_key}", bearer(&known.key)),
        _ => format!("Authorization = {}", text(&known.person)),
    };
    let ids = |ids: &[(&str, String)]| {
        let ids = ids.iter().map(|(name, id)| format!("\"path.{name}\" = {}", text(id)));
        format!("parameters = {{ {} }}", ids.collect::<Vec<_>>().join(", "))
    };
    let known_ids = format!(
        "[[operations]]\ninclude-path-regex = \"^/(v2/handles|api)/\"\nexclude-method = \"DELETE\"\n{}\n\n\
         [[operations]]\ninclude-path-regex = \"^/(v2/handles|v2/public|api)/\"\ninclude-method = \"DELETE\"\n{}\n",
        ids(&known.kept),
        ids(&known.doomed),
    );
    let whole = format!(
        "base-url = {}\nheaders = {{ {caller} }}\nhooks = {}\n\n\
         # A credential that does not work would make every answer a 401, and every answer as described.\n\
         [warnings]\nfail-on = [\"missing_auth\"]\n\n\
         [parameters]\n\"path.handle\" = {}\n\n{known_ids}",
        text(&known.base),
        text(&hooks.to_string_lossy()),
        text(HANDLE),
    );
    if document == "v1" {
        return whole;
    }
    format!(
        "{whole}\n\
         [[operations]]\ninclude-path-regex = \"^/v2/(public|mcp)/\"\nheaders = {{ Authorization = {} }}\nwarnings = false\n\n\
         [[operations]]\ninclude-path-regex = \"^/v2/operator/\"\nexclude-method = \"DELETE\"\n\
         parameters = {{ \"path.handle\" = \"{TENANT}\", \"path.reportId\" = {} }}\n\n\
         [[operations]]\ninclude-path-regex = \"^/v2/operator/\"\ninclude-method = \"DELETE\"\n\
         parameters = {{ \"path.handle\" = \"{DOOMED_TENANT}\" }}\n\n\
         # Each event of a batch is judged by itself, and refused beside others.\n\
         [[operations]]\ninclude-operation-id = [\"publishEvents\", \"publishEventsWithToken\"]\n\
         checks.negative_data_rejection.enabled = false\n",
        bearer(&known.token),
        text(&known.report),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_gets_its_credential_and_what_is_removed_is_not_what_others_ask_for() {
        let known = Known {
            base: "http://127.0.0.1:1".to_owned(),
            person: "Bearer jwt".to_owned(),
            token: "patv1_a.b".to_owned(),
            key: "pxk_live_c".to_owned(),
            kept: vec![("eventId", "evt_1".to_owned())],
            doomed: vec![("eventId", "evt_2".to_owned())],
            report: "rep_3".to_owned(),
        };
        for (document, caller) in [("v2", "Bearer jwt"), ("v1", "Bearer pxk_live_c")] {
            let text = configured(document, &known, Path::new("/h.py"));
            let sections: Vec<&str> = text.split("[[operations]]").collect();
            assert!(sections[0].contains(&format!("headers = {{ Authorization = \"{caller}\"")), "{text}");
            for (id, place) in [("evt_1", "exclude-method"), ("evt_2", "include-method")] {
                let with: Vec<_> = sections.iter().filter(|section| section.contains(id)).collect();
                assert_eq!(with.len(), 1, "{text}");
                assert!(with[0].contains(&format!("{place} = \"DELETE\"")), "{text}");
            }
            assert_eq!(text.contains("\"Bearer patv1_a.b\""), document == "v2", "{text}");
            assert_eq!(text.contains("\"path.reportId\" = \"rep_3\""), document == "v2", "{text}");
        }
    }
}

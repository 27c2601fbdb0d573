//! Whether forms read what their descriptions name, and nothing else.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use angarium_store::memory::MemoryStore;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::form::asked;
use crate::openapi::{v1, v2};
use crate::service::Service;
use crate::settings::Settings;

const SECRET: &str = "a secret of tests alone, 32 bytes or more of it";

/// A service to ask, and what opens its doors.
struct Asked {
    service: SocketAddr,
    jwt: String,
    key: String,
    token: String,
}

impl Asked {
    async fn of(service: SocketAddr) -> Asked {
        let claims = json!({ "sub": "tester", "exp": 4_102_444_800_u64, "platform_admin": true,
            "handles": { "acme": "OWNER" } });
        let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
        let mut asked =
            Asked { service, jwt: token.expect("a token"), key: String::new(), token: String::new() };
        let new = json!({ "name": "test", "mode": "live", "scopes": ["webhooks:manage", "events:manage"] });
        let made = asked.send("POST", "/v2/handles/acme/api-keys", &new.to_string()).await;
        let body: Value = serde_json::from_str(made.rsplit("\r\n").next().expect("a body")).expect("JSON");
        asked.key = body["key"].as_str().expect("a key").to_owned();
        let new = json!({ "name": "test", "scopes": ["mcp.connect", "context_store.manage"] });
        let made = asked.send("POST", "/v2/handles/acme/tokens", &new.to_string()).await;
        let body: Value = serde_json::from_str(made.rsplit("\r\n").next().expect("a body")).expect("JSON");
        asked.token = body["token"].as_str().expect("a token").to_owned();
        asked
    }

    /// Sends a body on a connection of its own, and answers all that came back.
    async fn send(&self, method: &str, path: &str, body: &str) -> String {
        let credential = match path {
            path if path.starts_with("/api/v1/") => &self.key,
            path if path.starts_with("/v2/mcp/") => &self.token,
            _ => &self.jwt,
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: angarium\r\nauthorization: Bearer {credential}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.service).await.expect("the service listens");
        stream.write_all(request.as_bytes()).await.expect("a sent request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(!answer.starts_with("HTTP/1.1 401") && !answer.starts_with("HTTP/1.1 5"), "{path}: {answer}");
        answer
    }
}

/// The path with an id in each place that asks for one.
fn with_ids(document: &Value, path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named = parameters.filter(|parameter| parameter["in"] == "path");
    named.fold(path.replace("{handle}", "acme"), |path, parameter| {
        let schema = parameter["schema"]["$ref"].as_str().expect("an id is a word");
        let word = document.pointer(schema.trim_start_matches('#')).expect("a component");
        let example = word["examples"][0].as_str().expect("an id has an example");
        path.replace(&format!("{{{}}}", parameter["name"].as_str().expect("a name")), example)
    })
}

// One thread, so that what a handler reads is noted where the test looks.
#[tokio::test(flavor = "current_thread")]
async fn a_form_reads_the_fields_that_its_description_names_and_no_other() {
    let mut settings = Settings::default();
    settings.listen.address = "127.0.0.1:0".parse().expect("an address");
    let secret = SECRET.to_owned().into();
    let service = Service::start_on(Arc::new(MemoryStore::new()), &settings, Some(&secret)).await;
    let service = service.expect("a running service");
    let asked = Asked::of(service.address()).await;
    for (document, least) in [(v2(), 10), (v1(), 4)] {
        let mut forms = 0;
        let paths = document["paths"].as_object().expect("paths").iter();
        for (path, item) in paths.filter(|(path, _)| !path.starts_with("/v2/public/")) {
            for (method, operation) in item.as_object().expect("methods") {
                let body = &operation["requestBody"]["content"]["application/json"]["schema"]["$ref"];
                let Some(component) = body.as_str() else { continue };
                let schema = document.pointer(component.trim_start_matches('#')).expect("a component");
                let named: BTreeSet<String> =
                    schema["properties"].as_object().expect("fields").keys().cloned().collect();
                asked::begin();
                // Every form reads an empty object to its end.
                asked.send(&method.to_uppercase(), &with_ids(document, path, operation), "{}").await;
                assert_eq!(asked::end(), named, "{method} {path}");
                forms += 1;
            }
        }
        assert!(forms > least, "only {forms} forms");
    }
}

//! A request that can be pasted, from an operation's own examples.

use serde_json::Value;

use crate::openapi::page::{list, pretty, resolved, words};

/// The command line of a request, with an example wherever something of the caller's belongs.
pub(super) fn request(document: &Value, path: &str, method: &str, operation: &Value) -> String {
    let flag = if method == "get" { String::new() } else { format!("-X {} ", method.to_uppercase()) };
    let address = with_examples(document, path, operation);
    let mut lines = vec![format!("curl {flag}\"$ANGARIUM_URL{address}\"")];
    lines.extend(credential(document, operation));
    let body = operation["requestBody"]["content"]["application/json"].get("example");
    if let Some(body) = body.filter(|body| body.as_object().is_some_and(|fields| !fields.is_empty())) {
        lines.push("-H 'content-type: application/json'".to_owned());
        lines.push(format!("-d '{}'", pretty(body).replace('\'', r"'\''")));
    }
    lines.join(" \\\n  ")
}

fn with_examples(document: &Value, path: &str, operation: &Value) -> String {
    let parameters = list(&operation["parameters"]).iter().map(|parameter| resolved(document, parameter));
    parameters.filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let word = resolved(document, &parameter["schema"]);
        let name = format!("{{{}}}", words(&parameter["name"]));
        path.replace(&name, word["examples"][0].as_str().unwrap_or(&name))
    })
}

/// The header of the first credential that the operation takes.
fn credential(document: &Value, operation: &Value) -> Option<String> {
    let (scheme, _) = operation["security"][0].as_object()?.iter().next()?;
    let scheme = &document["components"]["securitySchemes"][scheme];
    Some(match scheme["name"].as_str() {
        Some(header) => format!("-H \"{header}: $ANGARIUM_TOKEN\""),
        None => "-H \"authorization: Bearer $ANGARIUM_TOKEN\"".to_owned(),
    })
}

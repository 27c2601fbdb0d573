//! A source as it is asked for.

use angarium_channels::library::check_path;
use angarium_domain::context::Config;
use angarium_domain::context::document::{Document, NAME_BYTES_MAX, TITLE_CHARS_MAX, lines};
use angarium_domain::context::source::{ConfigPatch, DOCUMENTS_MAX, NAME_CHARS_MAX};
use angarium_domain::headers::CustomHeaders;
use angarium_engine::{NewSource, SourcePatch};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::form::Form;
use crate::problem::Problem;

/// Which fields a source has.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindForm {
    Http,
    Inline,
    Folder,
}

/// A document that comes with its source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentForm {
    name: Option<String>,
    title: Option<String>,
    text: String,
}

pub(super) fn source_patch(mut form: Form<'_>) -> Result<SourcePatch, Problem> {
    let name: Option<String> = form.optional("name");
    check_name(&mut form, name.as_ref());
    let headers: Option<CustomHeaders> = form.optional("headers");
    let headers = headers
        .map(|headers| headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    let url: Option<String> = form.optional("url");
    let documents: Option<Vec<&RawValue>> = form.optional("documents");
    let documents = documents.and_then(|documents| inline_documents(&mut form, documents));
    let path: Option<String> = form.optional("path");
    if let Some(Err(reason)) = path.as_deref().map(check_path) {
        form.fault("path", reason);
    }
    form.finish(Some(SourcePatch { name, config: ConfigPatch { url, headers, documents, path } }))
}

pub(super) fn new_source(mut form: Form<'_>) -> Result<NewSource, Problem> {
    let name: Option<String> = form.required("name");
    check_name(&mut form, name.as_ref());
    let kind: Option<KindForm> = form.required("kind");
    let url: Option<String> = form.optional("url");
    let headers: Option<CustomHeaders> = form.optional("headers");
    let documents: Option<Vec<&RawValue>> = form.optional("documents");
    let path: Option<String> = form.optional("path");
    let named = [
        ("url", url.is_some()),
        ("headers", headers.is_some()),
        ("documents", documents.is_some()),
        ("path", path.is_some()),
    ];
    let config = match kind {
        Some(KindForm::Http) => {
            of_kind(&mut form, "http", &["url", "headers"], &named);
            http(&mut form, url, headers)
        }
        Some(KindForm::Inline) => {
            of_kind(&mut form, "inline", &["documents"], &named);
            inline(&mut form, documents)
        }
        Some(KindForm::Folder) => {
            of_kind(&mut form, "folder", &["path"], &named);
            Some(folder(&mut form, path))
        }
        None => None,
    };
    let new = name.zip(config).map(|(name, config)| NewSource { name, config });
    form.finish(new)
}

fn check_name(form: &mut Form<'_>, name: Option<&String>) {
    if let Some(chars) = name.map(|name| name.chars().count())
        && !(1..=NAME_CHARS_MAX).contains(&chars)
    {
        form.fault("name", format!("name is {chars} characters, the limits are 1 and {NAME_CHARS_MAX}"));
    }
}

/// Refuses the fields of another kind: they would be silently without effect.
fn of_kind(form: &mut Form<'_>, kind: &str, own: &[&str], named: &[(&'static str, bool)]) {
    for (field, _) in named.iter().filter(|(field, is_there)| *is_there && !own.contains(field)) {
        form.fault(*field, format!("{field} is no field of a source of the kind {kind}"));
    }
}

fn http(form: &mut Form<'_>, url: Option<String>, headers: Option<CustomHeaders>) -> Option<Config> {
    if url.is_none() && !form.is_at_fault("url") {
        form.missing::<()>("url");
    }
    let headers = headers.unwrap_or_default();
    let headers = headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Some(Config::Http { url: url?, headers })
}

fn folder(form: &mut Form<'_>, path: Option<String>) -> Config {
    let path = path.unwrap_or_default();
    if let Err(reason) = check_path(&path) {
        form.fault("path", reason);
    }
    Config::Folder { path }
}

fn inline(form: &mut Form<'_>, documents: Option<Vec<&RawValue>>) -> Option<Config> {
    let Some(documents) = documents else {
        if !form.is_at_fault("documents") {
            form.missing::<()>("documents");
        }
        return None;
    };
    inline_documents(form, documents).map(|documents| Config::Inline { documents })
}

fn inline_documents(form: &mut Form<'_>, documents: Vec<&RawValue>) -> Option<Vec<Document>> {
    if !(1..=DOCUMENTS_MAX).contains(&documents.len()) {
        let count = documents.len();
        form.fault("documents", format!("there are {count} documents, the limits are 1 and {DOCUMENTS_MAX}"));
        return None;
    }
    let documents = documents.into_iter().enumerate().filter_map(|(at, raw)| document(form, at, raw));
    Some(documents.collect())
}

fn document(form: &mut Form<'_>, at: usize, raw: &RawValue) -> Option<Document> {
    let field = format!("documents[{at}]");
    let written: DocumentForm = match serde_json::from_str(raw.get()) {
        Ok(written) => written,
        Err(error) => {
            let text = error.to_string();
            let end = text.rfind(" at line ").unwrap_or(text.len());
            form.fault(field, &text[..end]);
            return None;
        }
    };
    let name = written.name.unwrap_or_else(|| (at + 1).to_string());
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        let bytes = name.len();
        form.fault(
            format!("{field}.name"),
            format!("name is {bytes} bytes, the limits are 1 and {NAME_BYTES_MAX}"),
        );
    }
    let title = written.title.unwrap_or_else(|| name.clone());
    if title.chars().count() > TITLE_CHARS_MAX {
        let chars = title.chars().count();
        form.fault(
            format!("{field}.title"),
            format!("title is {chars} characters, the limit is {TITLE_CHARS_MAX}"),
        );
    }
    if written.text.trim().is_empty() {
        form.fault(format!("{field}.text"), "text is empty");
    }
    Some(Document::new(&name, &title, lines(&written.text)))
}

//! Reading what tokens and API keys are made of, and listing them.

use std::sync::Arc;

use angarium_domain::access::{CredentialKind, Mode, Scope, Token};
use angarium_domain::time::Timestamp;
use angarium_engine::NewToken;
use angarium_store::page::{Page, PageRequest};

use crate::api::form::Form;
use crate::problem::Problem;

/// The longest name, in characters.
pub(super) const NAME_CHARS_MAX: usize = 100;

/// The body that makes a token.
pub(super) fn new_token(
    mut form: Form<'_>,
    kind: CredentialKind,
    now: Timestamp,
) -> Result<NewToken, Problem> {
    let name: Option<String> = form.required("name");
    if let Some(chars) =
        name.as_ref().map(|name| name.chars().count()).filter(|n| *n == 0 || *n > NAME_CHARS_MAX)
    {
        form.fault("name", format!("name is {chars} characters, the limits are 1 and {NAME_CHARS_MAX}"));
    }
    let scopes = scopes(&mut form, kind);
    let expires_at: Option<Timestamp> = form.optional("expiresAt");
    if expires_at.is_some_and(|end| end <= now) {
        form.fault("expiresAt", "expiresAt must be in the future");
    }
    let (name, scopes) = form.finish(name.zip(scopes))?;
    Ok(NewToken { kind, name, scopes, expires_at })
}

/// The body that makes an API key.
pub(super) fn new_key(mut form: Form<'_>, now: Timestamp) -> Result<NewToken, Problem> {
    let mode: Option<Mode> = form.required("mode");
    let Some(mode) = mode else {
        // The rest is read for its faults: one answer names all of them.
        drop(scopes(&mut form, CredentialKind::Key(Mode::Test)));
        for field in ["name", "expiresAt"] {
            form.raw(field);
        }
        return form.finish(None);
    };
    new_token(form, CredentialKind::Key(mode), now)
}

/// The scopes, each once; those of the other kind are refused by name.
fn scopes(form: &mut Form<'_>, kind: CredentialKind) -> Option<Vec<Scope>> {
    let mut scopes: Vec<Scope> = form.required("scopes")?;
    if scopes.is_empty() {
        form.fault("scopes", "scopes must name at least one scope");
    }
    let (allowed, whose) =
        if kind.is_key() { (Scope::OF_KEYS, "an API key") } else { (Scope::OF_TOKENS, "a token") };
    for (place, scope) in scopes.iter().enumerate().filter(|(_, scope)| !allowed.contains(scope)) {
        let words: Vec<&str> = allowed.iter().map(|scope| scope.as_str()).collect();
        let message = format!("{} is no scope of {whose}, which has {}", scope.as_str(), words.join(", "));
        form.fault(format!("scopes[{place}]"), message);
    }
    scopes.sort_unstable();
    scopes.dedup();
    Some(scopes)
}

/// One page of a handle's tokens or keys, newest first.
pub(super) fn page_of(mut tokens: Vec<Arc<Token>>, request: PageRequest) -> Page<Arc<Token>> {
    tokens.sort_by_key(|token| std::cmp::Reverse(token.id));
    tokens.retain(|token| request.before.is_none_or(|before| *token.id.as_bytes() < before));
    Page::cut(tokens, request.limit, |token| *token.id.as_bytes())
}

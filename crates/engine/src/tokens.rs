//! Personal access tokens: `patv1_<id>.<secret>`, of which we keep a hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angarium_domain::access::{Scope, Token};
use angarium_domain::audit::{Difference, changed};
use angarium_domain::handle::Handle;
use angarium_domain::ids::TokenId;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Change, Snapshot};
use angarium_store::write::Context;
use data_encoding::BASE64URL_NOPAD;

use crate::ids::new_id;
use crate::once::{Once, RepeatError, Reply};
use crate::{Caller, DECISIONS_MAX, Desk};

/// The most live tokens that a handle may have.
pub const TOKENS_PER_HANDLE_MAX: usize = 100;
const PREFIX: &str = "patv1_";
/// How exactly the last use of a token is known.
const TOUCH_INTERVAL: Duration = Duration::from_mins(1);

/// A token as it is asked for.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its maker's words.
    pub name: String,
    /// What it may do; not empty.
    pub scopes: Vec<Scope>,
    /// When it stops being good; none for never.
    pub expires_at: Option<Timestamp>,
}

/// A token and its text, which is shown once.
pub struct TokenMade {
    /// The token.
    pub token: Token,
    /// `patv1_<id>.<secret>`.
    pub text: String,
}

/// Why no token was made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The handle has no such token.
    #[error("there is no such token")]
    NotFound,
    /// The handle has as many as it may have.
    #[error("the handle has {limit} tokens, which is the limit")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token does not open the door.
#[derive(Debug, thiserror::Error)]
pub enum TokenRefused {
    /// Unknown, revoked, of another handle, or with another secret: all the same to the caller.
    #[error("the token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tokens of all handles.
#[derive(Clone)]
pub struct Tokens {
    desk: Desk,
    /// When each token was last used, where that is newer than what is stored. Shared, because
    /// every request may use a token.
    used: Arc<Mutex<HashMap<TokenId, Timestamp>>>,
}

impl Tokens {
    pub(crate) fn new(desk: Desk) -> Tokens {
        Tokens { desk, used: Arc::default() }
    }

    /// A handle's live tokens, oldest first.
    pub async fn list(&self, handle: &Handle) -> Result<Vec<Arc<Token>>, StoreError> {
        // Last uses are no new version of the handle: ask the store.
        Ok(self.desk.store.snapshot(handle).await?.tokens)
    }

    /// Makes a token.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewToken,
        once: Once<TokenMade>,
    ) -> Result<Reply, TokenError> {
        let now = self.desk.clock.now();
        let id: TokenId = new_id(&*self.desk.ids, now);
        let secret = BASE64URL_NOPAD.encode(&self.desk.ids.key());
        let token = Token {
            id,
            handle: caller.handle.clone(),
            name: new.name,
            scopes: new.scopes,
            secret_sha256: sha256(&secret),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
        };
        let made = TokenMade { token: token.clone(), text: format!("{PREFIX}{}.{secret}", id.digits()) };
        self.change(&caller, "token.created", id, made, once, |snapshot| {
            if snapshot.tokens.len() >= TOKENS_PER_HANDLE_MAX {
                return Err(TokenError::TooMany { limit: TOKENS_PER_HANDLE_MAX });
            }
            Ok(Change::AddToken(token.clone()))
        })
        .await
    }

    /// Ends a token: the next request with it is refused.
    pub async fn revoke(&self, caller: Caller, id: TokenId, once: Once<()>) -> Result<Reply, TokenError> {
        self.change(&caller, "token.revoked", id, (), once, |snapshot| {
            let known = snapshot.tokens.iter().any(|token| token.id == id);
            if known { Ok(Change::RevokeToken(id)) } else { Err(TokenError::NotFound) }
        })
        .await
    }

    /// Judges a token's text. Compares in constant time, whether the id is known or not.
    pub async fn authenticate(&self, handle: &Handle, text: &str) -> Result<Arc<Token>, TokenRefused> {
        let (id, secret) = parse(text).ok_or(TokenRefused::Invalid)?;
        let snapshot = self.desk.snapshots.get(handle).await?;
        let found = snapshot.tokens.iter().find(|token| token.id == id);
        let expected = found.map_or([0; 32], |token| token.secret_sha256);
        let right = aws_lc_rs::constant_time::verify_slices_are_equal(&expected, &sha256(secret)).is_ok();
        let token = found.filter(|_| right).ok_or(TokenRefused::Invalid)?.clone();
        let now = self.desk.clock.now();
        if token.expired(now) {
            return Err(TokenRefused::Expired);
        }
        self.touch(&token, now);
        Ok(token)
    }

    /// Notes a use, about once a minute, without making the request wait.
    fn touch(&self, token: &Token, now: Timestamp) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let last = used.get(&token.id).copied().max(token.last_used_at);
        if last.is_some_and(|last| now.since(last) < TOUCH_INTERVAL) {
            return;
        }
        // Uses of more than a minute ago are of no use any more.
        used.retain(|_, last| now.since(*last) < TOUCH_INTERVAL);
        used.insert(token.id, now);
        drop(used);
        let (store, id) = (self.desk.store.clone(), token.id);
        self.desk.tasks.spawn(async move {
            if let Err(error) = store.touch_token(id, now).await {
                tracing::warn!(%error, token = %id, "the last use of a token was not noted");
            }
        });
    }

    async fn change<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        id: TokenId,
        made: T,
        once: Once<T>,
        decide: impl Fn(&Snapshot) -> Result<Change, TokenError> + Send + Sync,
    ) -> Result<Reply, TokenError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<TokenError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        for _ in 0..DECISIONS_MAX {
            let snapshot = self.desk.snapshots.get(&caller.handle).await?;
            let change = decide(&snapshot)?;
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&made, now);
            let audit = caller.audit_of(now, action, id.to_string(), told(&snapshot, &change));
            let context = Context { idempotency, audit: Some(audit) };
            let written =
                self.desk.store.change(&caller.handle, snapshot.version, change, now, context).await;
            self.desk.snapshots.renew(&caller.handle).await;
            match written {
                Err(StoreError::Conflict) => {}
                written => return Ok(once.reply(written?, answer)?),
            }
        }
        Err(StoreError::Conflict.into())
    }
}

/// What a change makes of a token, for the audit log.
fn told(snapshot: &Snapshot, change: &Change) -> Difference {
    match change {
        Change::AddToken(token) => changed(None, Some(token)),
        Change::RevokeToken(id) => {
            changed(snapshot.tokens.iter().find(|token| token.id == *id).map(AsRef::as_ref), None)
        }
        _ => Difference::default(),
    }
}

fn parse(text: &str) -> Option<(TokenId, &str)> {
    let (digits, secret) = text.strip_prefix(PREFIX)?.split_once('.')?;
    Some((format!("tok_{digits}").parse().ok()?, secret))
}

fn sha256(secret: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_form_is_a_token() {
        let id = TokenId::from_bytes([7; 16]);
        let text = format!("patv1_{}.secret", id.digits());
        assert_eq!(parse(&text), Some((id, "secret")));
        let digits = id.digits();
        for broken in [
            "",
            "patv1_",
            "patv1_.secret",
            &text[..20],
            &text.to_uppercase(),
            &format!("patv2_{digits}.s"),
            &format!("patv1_{digits}"),
        ] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}

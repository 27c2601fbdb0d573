//! Personal access tokens and API keys, of whose secrets we keep a hash.
//!
//! A token is shown at a path that names its handle. A key says by itself which handle it is for,
//! so its handle is looked up; everything after that is the same.

mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use angarium_domain::access::{CredentialKind, Scope, Token};
use angarium_domain::account::Closed;
use angarium_domain::audit::{Difference, changed};
use angarium_domain::handle::Handle;
use angarium_domain::ids::{ApiKeyId, TokenId};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Change, Snapshot};

use crate::ids::new_id;
use crate::once::{Once, RepeatError, Reply};
use crate::{Caller, Desk};
use text::{Claimed, sha256};

/// The most live tokens that a handle may have, and the most live keys.
pub const TOKENS_PER_HANDLE_MAX: usize = 100;
/// Keys whose handles are kept in memory; beyond that one makes room, and is looked up again.
const HOLDERS_MAX: usize = 10_000;
/// How exactly the last use of a token is known.
const TOUCH_INTERVAL: Duration = Duration::from_mins(1);

/// A token as it is asked for.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Which door it opens.
    pub kind: CredentialKind,
    /// Its maker's words.
    pub name: String,
    /// What it may do; not empty, and of its kind.
    pub scopes: Vec<Scope>,
    /// When it stops being good; none for never.
    pub expires_at: Option<Timestamp>,
}

/// A token and its text, which is shown once.
pub struct TokenMade {
    /// The token.
    pub token: Token,
    /// `patv1_…`, or `pxk_…` of an API key.
    pub text: String,
}

/// Why no token was made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The handle has no such token.
    #[error("there is no such token")]
    NotFound,
    /// The handle has as many of this kind as it may have.
    #[error("the handle has {limit} of them, which is the limit")]
    TooMany {
        /// How many it may have.
        limit: usize,
    },
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle may not act.
    #[error(transparent)]
    Closed(#[from] Closed),
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

/// The tokens and keys of all handles.
#[derive(Clone)]
pub struct Tokens {
    desk: Desk,
    /// When each token was last used, where that is newer than what is stored. Shared, because
    /// every request may use a token.
    used: Arc<Mutex<HashMap<TokenId, Timestamp>>>,
    /// Whose a key is: that never changes. Whether it is still good is said by the handle's
    /// snapshot alone. Shared, because every request may use a key.
    holders: Arc<RwLock<HashMap<TokenId, Handle>>>,
}

impl Tokens {
    pub(crate) fn new(desk: Desk) -> Tokens {
        Tokens { desk, used: Arc::default(), holders: Arc::default() }
    }

    /// A handle's live personal tokens, oldest first.
    pub async fn list(&self, handle: &Handle) -> Result<Vec<Arc<Token>>, StoreError> {
        let mut tokens = self.all(handle).await?;
        tokens.retain(|token| !token.kind.is_key());
        Ok(tokens)
    }

    /// A handle's live API keys, oldest first.
    pub async fn list_keys(&self, handle: &Handle) -> Result<Vec<Arc<Token>>, StoreError> {
        let mut tokens = self.all(handle).await?;
        tokens.retain(|token| token.kind.is_key());
        Ok(tokens)
    }

    async fn all(&self, handle: &Handle) -> Result<Vec<Arc<Token>>, StoreError> {
        // Last uses are no new version of the handle: ask the store.
        Ok(self.desk.store.snapshot(handle).await?.tokens)
    }

    /// Makes a token or a key.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewToken,
        once: Once<TokenMade>,
    ) -> Result<Reply, TokenError> {
        let now = self.desk.clock.now();
        let id: TokenId = new_id(&*self.desk.ids, now);
        let (text, secret) = text::write(new.kind, id, &self.desk.ids.key());
        let token = Token {
            id,
            handle: caller.handle.clone(),
            kind: new.kind,
            name: new.name,
            scopes: new.scopes,
            secret_sha256: sha256(&secret),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
        };
        let action = if new.kind.is_key() { "api_key.created" } else { "token.created" };
        let made = TokenMade { token: token.clone(), text };
        self.change(&caller, action, token.public_id(), made, once, |snapshot| {
            let of_its_kind = snapshot.tokens.iter().filter(|known| known.kind.is_key() == new.kind.is_key());
            if of_its_kind.count() >= TOKENS_PER_HANDLE_MAX {
                return Err(TokenError::TooMany { limit: TOKENS_PER_HANDLE_MAX });
            }
            Ok(Change::AddToken(token.clone()))
        })
        .await
    }

    /// Ends a personal token: the next request with it is refused.
    pub async fn revoke(&self, caller: Caller, id: TokenId, once: Once<()>) -> Result<Reply, TokenError> {
        self.change(&caller, "token.revoked", id.to_string(), (), once, |snapshot| {
            end_of(snapshot, id, |token| !token.kind.is_key())
        })
        .await
    }

    /// Ends an API key: the next request with it is refused.
    pub async fn revoke_key(
        &self,
        caller: Caller,
        id: ApiKeyId,
        once: Once<()>,
    ) -> Result<Reply, TokenError> {
        self.change(&caller, "api_key.revoked", id.to_string(), (), once, |snapshot| {
            end_of(snapshot, id.of_kind(), |token| token.kind.is_key())
        })
        .await
    }

    /// Judges a personal token's text.
    pub async fn authenticate(&self, handle: &Handle, text: &str) -> Result<Arc<Token>, TokenRefused> {
        self.judge(handle, &text::personal(text).ok_or(TokenRefused::Invalid)?).await
    }

    /// Judges a personal token's text where nothing else says whose it is.
    pub async fn authenticate_holder(&self, text: &str) -> Result<Arc<Token>, TokenRefused> {
        let claimed = text::personal(text).ok_or(TokenRefused::Invalid)?;
        let handle = self.holder(claimed.id).await?.ok_or(TokenRefused::Invalid)?;
        self.judge(&handle, &claimed).await
    }

    /// Judges an API key's text, and says whose it is.
    pub async fn authenticate_key(&self, text: &str) -> Result<Arc<Token>, TokenRefused> {
        let claimed = text::key(text).ok_or(TokenRefused::Invalid)?;
        let handle = self.holder(claimed.id).await?.ok_or(TokenRefused::Invalid)?;
        self.judge(&handle, &claimed).await
    }

    /// Compares in constant time, whether the id is known or not.
    async fn judge(&self, handle: &Handle, claimed: &Claimed<'_>) -> Result<Arc<Token>, TokenRefused> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        let same = |token: &&Arc<Token>| token.id == claimed.id && token.kind == claimed.kind;
        let found = snapshot.tokens.iter().find(same);
        let expected = found.map_or([0; 32], |token| token.secret_sha256);
        let given = sha256(claimed.secret);
        let right = aws_lc_rs::constant_time::verify_slices_are_equal(&expected, &given).is_ok();
        let token = found.filter(|_| right).ok_or(TokenRefused::Invalid)?.clone();
        let now = self.desk.clock.now();
        if token.expired(now) {
            return Err(TokenRefused::Expired);
        }
        self.touch(&token, now);
        Ok(token)
    }

    /// Whose a key is. Keys that nobody has are looked up each time, and not remembered: strangers
    /// may try as many as they like.
    async fn holder(&self, id: TokenId) -> Result<Option<Handle>, StoreError> {
        let known = self.holders.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.desk.store.holder_of_token(id).await?;
        if let Some(handle) = &found {
            let mut known = self.holders.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= HOLDERS_MAX {
                let any = known.keys().next().copied().expect("it is full");
                known.remove(&any);
            }
            known.insert(id, handle.clone());
        }
        Ok(found)
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
        object: String,
        made: T,
        once: Once<T>,
        decide: impl Fn(&Snapshot) -> Result<Change, TokenError> + Send + Sync,
    ) -> Result<Reply, TokenError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<TokenError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let change = decide(&snapshot)?;
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&made, now);
            let audit = caller.audit_of(now, action, object.clone(), told(&snapshot, &change));
            let context = caller.context(idempotency, Some(audit));
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

/// The change that ends a token, if the handle has it and it is of the right kind.
fn end_of(
    snapshot: &Snapshot,
    id: TokenId,
    is_of_kind: impl Fn(&Token) -> bool,
) -> Result<Change, TokenError> {
    let known = snapshot.tokens.iter().any(|token| token.id == id && is_of_kind(token));
    if known { Ok(Change::RevokeToken(id)) } else { Err(TokenError::NotFound) }
}

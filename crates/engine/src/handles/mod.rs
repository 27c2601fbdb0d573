//! Handles, as whoever runs the service sees them: made, changed, suspended, and removed with
//! everything that they had.

mod removal;

use std::time::Duration;

use angarium_domain::account::{Account, Presence, Suspension, Zone};
use angarium_domain::audit::changed;
use angarium_domain::handle::Handle;
use angarium_domain::quota::{Day, Plan};
use angarium_store::StoreError;
use angarium_store::accounts::Known;
use angarium_store::directory::{Change, Snapshot};
use angarium_store::write::Context;

use crate::lanes::Lanes;
use crate::once::{Once, RepeatError, Reply};
use crate::voice_notes::Files;
use crate::{Caller, Desk};

/// A handle as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewHandle {
    /// How many writes a day it may make.
    pub plan: Plan,
    /// Where its day begins.
    pub time_zone: Zone,
}

/// What is to be different about a handle.
#[derive(Debug, Clone, Default)]
pub struct HandlePatch {
    /// Its plan.
    pub plan: Option<Plan>,
    /// Its time zone. The day of the new one may have begun already.
    pub time_zone: Option<Zone>,
    /// Suspend it for a reason, or (none) let it go on.
    pub suspension: Option<Option<String>>,
}

/// A handle with what it uses.
#[derive(Debug, Clone)]
pub struct HandleLife {
    /// Its name, version and account.
    pub known: Known,
    /// How many subscriptions it has.
    pub subscriptions: usize,
    /// How many personal access tokens it has.
    pub tokens: usize,
    /// How many API keys it has.
    pub api_keys: usize,
    /// The day where it is.
    pub day: Day,
    /// How many writes its plan has paid for on that day. Not counted while it is unlimited.
    pub writes_today: u32,
}

/// Why nothing was done about a handle.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// There is none.
    #[error("there is no such handle")]
    NotFound,
    /// It was made already.
    #[error("the handle exists already")]
    Exists,
    /// It was deleted, and not all of it is removed yet.
    #[error("the handle is being removed")]
    Leaving,
    /// The idempotency key says no.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The handle is changed by too many at once.
    #[error("the handle is being changed by others; try again in {} s", retry_after.as_secs())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All handles.
#[derive(Clone)]
pub struct Handles {
    desk: Desk,
    lanes: Lanes,
    /// The files that go with a handle.
    files: Files,
}

impl Handles {
    pub(crate) fn new(desk: Desk, lanes: Lanes, files: Files) -> Handles {
        Handles { desk, lanes, files }
    }

    /// What the operator says of a handle, a moment ago.
    pub async fn account(&self, handle: &Handle) -> Result<Account, StoreError> {
        Ok(self.desk.snapshots.get(handle).await?.account.clone())
    }

    /// Handles that something was written about, by name.
    pub async fn list(&self, after: Option<Handle>, limit: u32) -> Result<Vec<Known>, StoreError> {
        self.desk.store.accounts(after, limit).await
    }

    /// One handle, if something was written about it.
    pub async fn get(&self, handle: &Handle) -> Result<Option<HandleLife>, StoreError> {
        let snapshot = self.desk.store.snapshot(handle).await?;
        if !is_known(&snapshot) {
            return Ok(None);
        }
        let day = Day::of(&snapshot.account, self.desk.clock.now());
        let api_keys = snapshot.tokens.iter().filter(|token| token.kind.is_key()).count();
        Ok(Some(HandleLife {
            subscriptions: snapshot.subscriptions.len(),
            tokens: snapshot.tokens.len() - api_keys,
            api_keys,
            day,
            writes_today: self.desk.store.drawn(handle, day).await?,
            known: known(handle, snapshot.version, snapshot.account),
        }))
    }

    /// Makes a handle, or declares one that exists by virtue of credentials.
    pub async fn create(
        &self,
        caller: Caller,
        new: NewHandle,
        once: Once<Known>,
    ) -> Result<Reply, HandleError> {
        let now = self.desk.clock.now();
        self.change(&caller, "handle.created", once, |snapshot| {
            match snapshot.account.presence {
                Presence::Undeclared | Presence::Gone { .. } => {}
                Presence::Declared { .. } => return Err(HandleError::Exists),
                Presence::Leaving { .. } => return Err(HandleError::Leaving),
            }
            let presence = Presence::Declared { at: now };
            Ok(Account { plan: new.plan, time_zone: new.time_zone.clone(), presence, ..Account::default() })
        })
        .await
    }

    /// Changes what is said of a handle. When this returns, a suspended one starts no attempt.
    pub async fn patch(
        &self,
        caller: Caller,
        patch: HandlePatch,
        once: Once<Known>,
    ) -> Result<Reply, HandleError> {
        let now = self.desk.clock.now();
        self.change(&caller, "handle.changed", once, |snapshot| {
            let HandlePatch { plan, time_zone, suspension } = patch.clone();
            let mut account = there(snapshot)?;
            account.plan = plan.unwrap_or(account.plan);
            account.time_zone = time_zone.unwrap_or(account.time_zone);
            if let Some(reason) = suspension {
                let since = account.suspension.take().map_or(now, |suspension| suspension.at);
                account.suspension = reason.map(|reason| Suspension { reason, at: since });
            }
            Ok(account)
        })
        .await
    }

    /// Ends a handle. When this returns, nothing is accepted for it and no attempt starts; what it
    /// had is removed in the background, also after a crash.
    pub async fn delete(&self, caller: Caller, once: Once<Known>) -> Result<Reply, HandleError> {
        let now = self.desk.clock.now();
        let handle = caller.handle.clone();
        let reply = self
            .change(&caller, "handle.deleted", once, |snapshot| {
                let account = there(snapshot)?;
                Ok(Account { presence: Presence::Leaving { at: now }, ..account })
            })
            .await?;
        if !reply.replayed {
            self.spawn_removal(handle);
        }
        Ok(reply)
    }

    /// Decides, commits, and decides again while others win the race.
    async fn change(
        &self,
        caller: &Caller,
        action: &'static str,
        once: Once<Known>,
        decide: impl Fn(&Snapshot) -> Result<Account, HandleError> + Send + Sync,
    ) -> Result<Reply, HandleError> {
        let handle = &caller.handle;
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<HandleError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(handle);
        while let Some(snapshot) = decisions.next().await? {
            let account = decide(&snapshot)?;
            let made = known(handle, snapshot.version + 1, account.clone());
            let now = self.desk.clock.now();
            let (answer, idempotency) = once.answer_to(&made, now);
            let told = changed(Some(&snapshot.account), Some(&made.account));
            let audit = Some(caller.audit_of(now, action, handle.to_string(), told));
            let context = Context { idempotency, audit, draw: None };
            let change = Change::SetAccount(Box::new(account));
            match self.desk.store.change(handle, snapshot.version, change, now, context).await {
                Ok(written) => {
                    self.lanes.all_changed(handle).await;
                    // When the answer goes out, the dispatcher has acted upon the change.
                    self.lanes.caught_up().await;
                    return Ok(once.reply(written, answer)?);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(HandleError::Overloaded { retry_after: Duration::from_secs(1) })
    }
}

fn known(handle: &Handle, version: u64, account: Account) -> Known {
    Known { handle: handle.clone(), version, account }
}

fn is_known(snapshot: &Snapshot) -> bool {
    snapshot.version > 0 && !matches!(snapshot.account.presence, Presence::Gone { .. })
}

/// The account of a handle that can be changed.
fn there(snapshot: &Snapshot) -> Result<Account, HandleError> {
    match snapshot.account.presence {
        Presence::Leaving { .. } => Err(HandleError::Leaving),
        _ if is_known(snapshot) => Ok(snapshot.account.clone()),
        _ => Err(HandleError::NotFound),
    }
}

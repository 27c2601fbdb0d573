//! What a handle says of its chains, read and replaced.

use std::sync::Arc;

use angarium_domain::audit::{Difference, changed};
use angarium_domain::chain::{Origins, Publish, Rule, Rulebook};
use angarium_domain::handle::Handle;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::Change;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use serde_json::json;

use super::{ChainError, Chains};
use crate::Caller;
use crate::once::{Once, Reply};

impl Chains {
    /// What a handle says of its chains.
    pub async fn rulebook(&self, handle: &Handle) -> Result<Arc<Rulebook>, StoreError> {
        let snapshot = self.desk.snapshots.get(handle).await?;
        self.rulebooks.of(handle, &snapshot).await
    }

    /// Replaces all rules of a handle, what it publishes, and whether it is closed to whoever has no
    /// credential. Holds for what is decided from now on.
    pub async fn put_rules(
        &self,
        caller: Caller,
        rules: Vec<Rule>,
        publish: Publish,
        is_closed: bool,
        once: Once<Rulebook>,
    ) -> Result<Reply, ChainError> {
        self.change(&caller, "chain.rules_replaced", once, |rulebook, now| {
            let replaced = rulebook.with_rules(rules.clone(), publish, now).map_err(ChainError::Invalid)?;
            Ok(replaced.closed(is_closed))
        })
        .await
    }

    /// Replaces the origins of the pages that may ask.
    pub async fn put_origins(
        &self,
        caller: Caller,
        origins: Origins,
        once: Once<Rulebook>,
    ) -> Result<Reply, ChainError> {
        self.change(&caller, "chain.origins_replaced", once, |rulebook, now| {
            Ok(rulebook.with_origins(origins.clone(), now))
        })
        .await
    }

    async fn change(
        &self,
        caller: &Caller,
        action: &'static str,
        once: Once<Rulebook>,
        decide: impl Fn(&Rulebook, Timestamp) -> Result<Rulebook, ChainError> + Send + Sync,
    ) -> Result<Reply, ChainError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<ChainError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            snapshot.account.admits_writes()?;
            let before = self.rulebooks.of(&caller.handle, &snapshot).await?;
            let now = self.desk.clock.now();
            let after = decide(&before, now)?;
            let (answer, idempotency) = once.answer_to(&after, now);
            let audit = caller.audit_of(now, action, caller.handle.to_string(), told(&before, &after));
            let context = caller.context(idempotency, Some(audit));
            let change = Change::SetRulebook(Box::new(after));
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

/// What the audit log says of a change. Rules are too large for it: their hash says whether they are others.
fn told(before: &Rulebook, after: &Rulebook) -> Difference {
    let words = |rulebook: &Rulebook| {
        let rules = serde_json::to_vec(rulebook.rules()).expect("rules are JSON");
        json!({
            "rules": rulebook.rules().len(),
            "rulesSha256": HEXLOWER.encode(digest(&SHA256, &rules).as_ref()),
            "publish": rulebook.publish,
            "public": !rulebook.is_closed,
            "origins": rulebook.origins,
        })
    };
    changed(Some(&words(before)), Some(&words(after)))
}

//! A trial under load: one installation, one receiver with several tempers, one producer, and a verdict.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    api::{Api, Delivery},
    lane::Lane,
    ledger::{Accepted, Book, Listed, Verdict, judge},
    producer::{EVENT_TYPE, Producer},
    product::{Installation, Running},
    receiver::Receiver,
    witness::Witness,
};

/// How long everything may take to come to an end once the producer is silent and nothing arrives.
const QUIET_WITHIN: Duration = Duration::from_mins(2);

/// The waits of policy `fast` become 50 to 400 ms.
const RETRY_WAITS_PERCENT: u32 = 1;

/// Everything of a trial that outlives the product's processes.
pub(crate) struct Trial {
    pub(crate) installation: Installation,
    pub(crate) witness: Arc<Witness>,
    receiver: Receiver,
    api: Api,
    subscriptions: HashMap<String, Lane>,
    ends: u32,
}

impl Trial {
    /// A fresh installation that was never started, and a receiver.
    pub(crate) async fn new(binary: &Path) -> Result<Trial> {
        let installation = Installation::new(binary, RETRY_WAITS_PERCENT)?;
        let witness = Arc::new(Witness::default());
        let receiver = Receiver::start(Arc::clone(&witness)).await?;
        let api = Api::at(installation.address())?;
        Ok(Trial { installation, witness, receiver, api, subscriptions: HashMap::new(), ends: 0 })
    }

    /// Subscribes every lane, at a running product.
    pub(crate) async fn subscribe(&mut self) -> Result<()> {
        let mut secrets = HashMap::new();
        for lane in Lane::ALL {
            let url = self.receiver.url(&format!("/{lane}"));
            let subscribed = self.api.subscribe(&url, &[EVENT_TYPE], json!({})).await?;
            self.subscriptions.insert(subscribed.subscription_id, *lane);
            secrets.insert(*lane, subscribed.secret);
        }
        self.witness.expect_signatures(secrets);
        Ok(())
    }

    /// Starts publishing.
    pub(crate) fn publish(&self, rate: u32) -> Producer {
        Producer::start(self.installation.address(), &self.api, rate)
    }

    /// Starts the product again after a sudden end, and says how long its first answer took.
    pub(crate) async fn restart(&mut self) -> Result<(Running, Duration)> {
        self.ends += 1;
        let mut running = self.installation.start(None)?;
        self.witness.note_restart(running.started());
        let took = running.ready().await?;
        Ok((running, took))
    }

    /// Waits until nothing waits any more, and compares all sides; where they differ, the store is kept.
    pub(crate) async fn conclude(mut self, running: Running, accepted: Vec<Accepted>) -> Result<Verdict> {
        let quiet = self.quiet().await;
        let deliveries = self.api.deliveries().await.with_context(|| running.last_words())?;
        let listed = deliveries.into_iter().filter_map(|delivery| self.listed(delivery)).collect();
        let book = Book { accepted, arrivals: self.witness.arrivals(), listed, ends: self.ends };
        let mut verdict = judge(&book);
        verdict.faults.extend(quiet.err().map(|error| error.to_string()));
        if !verdict.faults.is_empty() {
            println!("store and log are kept in {}", self.installation.keep().display());
        }
        Ok(verdict)
    }

    /// Every delivery that the API lists, when nothing waits any more.
    pub(crate) async fn settled(&self) -> Result<Vec<Listed>> {
        self.quiet().await?;
        let deliveries = self.api.deliveries().await?;
        Ok(deliveries.into_iter().filter_map(|delivery| self.listed(delivery)).collect())
    }

    /// Waits until nothing waits any more. A backlog that still drains is not stuck.
    async fn quiet(&self) -> Result<()> {
        loop {
            let arrived = self.witness.arrivals_made();
            match self.api.quiet_within(QUIET_WITHIN).await {
                Err(_) if self.witness.arrivals_made() > arrived => {}
                done => return done,
            }
        }
    }

    fn listed(&self, delivery: Delivery) -> Option<Listed> {
        let Delivery { event_id, subscription_id, status, attempts, reason, .. } = delivery;
        let lane = *self.subscriptions.get(&subscription_id)?;
        Some(Listed { lane, event_id, status, attempts, reason })
    }
}

//! What the DNS says of the domain that mails come from: looked up in the background, and remembered.
//!
//! Nobody waits for the DNS: whoever asks gets what the last look brought, and when it was.

use std::sync::{Arc, Mutex, PoisonError};

use angarium_channels::egress::LookUp;
use angarium_channels::sender_domain::examine;
use angarium_domain::sender_domain::{Report, SenderDomain, State, look_again_after};
use angarium_domain::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics::Metrics;

/// What was found of the domain that mails come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedUp {
    /// Record by record; all of them `pending` until somebody looked.
    pub report: Report,
    /// When somebody looked last; none before the first look ended.
    pub at: Option<Timestamp>,
}

/// Who looks, and what they saw last.
pub(crate) struct SenderWatch {
    sender: SenderDomain,
    /// Shared between the one task that looks and the requests that ask.
    last: Mutex<Arc<LookedUp>>,
}

impl SenderWatch {
    pub(crate) fn new(sender: SenderDomain) -> SenderWatch {
        let last = LookedUp { report: sender.unseen(), at: None };
        SenderWatch { sender, last: Mutex::new(Arc::new(last)) }
    }

    /// What the last look brought.
    pub(crate) fn last(&self) -> Arc<LookedUp> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at once, and then as often as is due.
    pub(crate) async fn run(
        &self,
        names: &dyn LookUp,
        clock: &dyn Clock,
        metrics: &Metrics,
        stopped: CancellationToken,
    ) {
        let mut in_vain = 0;
        loop {
            let report = tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                report = examine(names, &self.sender) => report,
            };
            let wait = look_again_after(report.state, in_vain);
            in_vain = if report.state == State::Verified { 0 } else { in_vain.saturating_add(1) };
            metrics.sender_domain(&report);
            self.take(report, clock.now());
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn take(&self, report: Report, now: Timestamp) {
        let before = self.last();
        if before.at.is_none() || states(&before.report) != states(&report) {
            tell(&report);
        }
        let seen = Arc::new(LookedUp { report, at: Some(now) });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

fn states(report: &Report) -> Vec<State> {
    report.records.iter().map(|record| record.state).collect()
}

/// Tells the operator: of the first look, and of each that found a record otherwise than the one before.
fn tell(report: &Report) {
    if report.state == State::Verified {
        tracing::info!(
            domain = report.domain,
            "the DNS says what it should of the domain that mails come from"
        );
    }
    for record in report.records.iter().filter(|record| record.state != State::Verified) {
        tracing::warn!(
            name = record.name,
            record_type = ?record.record_type,
            state = record.state.as_str(),
            expected = record.expected,
            found = ?record.found,
            "a DNS record of the domain that mails come from is not as it should be: mailboxes may refuse mails"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use angarium_channels::egress::ResolveError;
    use angarium_domain::sender_domain::RecordType;
    use async_trait::async_trait;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::SystemClock;

    /// A DNS whose records change, and which counts what it was asked.
    struct Zone {
        right: watch::Sender<bool>,
        asked: watch::Sender<usize>,
    }

    #[async_trait]
    impl LookUp for Zone {
        async fn look_up(&self, name: &str, _: RecordType) -> Result<Vec<String>, ResolveError> {
            self.asked.send_modify(|asked| *asked += 1);
            let right = *self.right.borrow();
            match name {
                "_dmarc.mail.example" if right => Ok(vec!["v=DMARC1; p=reject".to_owned()]),
                "_dmarc.mail.example" => Err(ResolveError::NoAddress),
                _ => Ok(vec!["abc.dkim.amazonses.com".to_owned()]),
            }
        }
    }

    /// Time is moved until the records have been asked for so many times; answers how long it took.
    async fn waited(asked: &mut watch::Receiver<usize>, looks: usize) -> Duration {
        let since = tokio::time::Instant::now();
        asked.wait_for(|asked| *asked == 2 * looks).await.expect("somebody who looks");
        since.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_amiss_is_looked_at_soon_again_and_what_is_well_a_day_later() {
        let sender = SenderDomain::of_ses("mail.example", "eu-west-1", &["abc".to_owned()], None);
        let zone = Arc::new(Zone { right: watch::Sender::new(false), asked: watch::Sender::new(0) });
        let (watch, metrics) = (Arc::new(SenderWatch::new(sender)), Arc::new(Metrics::new()));
        let (tasks, mut asked) = (crate::tasks::Tasks::new(), zone.asked.subscribe());
        assert_eq!((watch.last().report.state, watch.last().at), (State::Pending, None));

        let (looking, names, figures) = (watch.clone(), zone.clone(), metrics.clone());
        let stopped = tasks.stopped();
        tasks.spawn(async move { looking.run(&*names, &SystemClock, &figures, stopped).await });
        waited(&mut asked, 1).await;
        assert_eq!(waited(&mut asked, 2).await, Duration::from_mins(1));
        assert_eq!(watch.last().report.records[0].state, State::Verified);
        assert_eq!(watch.last().report.records[1].state, State::Pending);
        let text = metrics.encode();
        assert!(text.contains("angarium_sender_domain_records{state=\"pending\"} 1"), "{text}");

        zone.right.send_replace(true);
        assert_eq!(waited(&mut asked, 3).await, Duration::from_mins(2));
        assert_eq!(waited(&mut asked, 4).await, Duration::from_hours(24));
        let seen = watch.last();
        assert_eq!(seen.report.state, State::Verified);
        assert!(seen.at.is_some());
        let text = metrics.encode();
        assert!(text.contains("angarium_sender_domain_records{state=\"pending\"} 0"), "{text}");
        assert!(text.contains("angarium_sender_domain_records{state=\"verified\"} 2"), "{text}");

        // It drifts: seen a day later, and looked at within a minute again.
        zone.right.send_replace(false);
        assert_eq!(waited(&mut asked, 5).await, Duration::from_hours(24));
        assert_eq!(waited(&mut asked, 6).await, Duration::from_mins(1));
        assert_eq!(watch.last().report.state, State::Pending);
        tasks.stop();
        tasks.finished().await;
    }
}

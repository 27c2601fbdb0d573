//! The memory store in bad weather: it is slow, refuses, and is where the process is killed.

use std::sync::Arc;
use std::time::Duration;

use angarium_domain::alert::Alert;
use angarium_domain::attempt::AttemptRecord;
use angarium_domain::audit::{AuditEntry, AuditRow, Head};
use angarium_domain::auto_disable::Outage;
use angarium_domain::catalog::Catalog;
use angarium_domain::chain::{self, Progress, Rulebook, SessionId};
use angarium_domain::context::{Chunk, Config, Source};
use angarium_domain::delivery::Delivery;
use angarium_domain::event::Event;
use angarium_domain::handle::Handle;
use angarium_domain::idempotency::{Record, Scope};
use angarium_domain::ids::{
    DeliveryId, EventId, ItemId, ReplayId, ReportId, SourceId, SubscriptionId, TokenId, VoiceNoteId,
};
use angarium_domain::inbox::Reader;
use angarium_domain::mailbox::Mailbox;
use angarium_domain::quota::Day;
use angarium_domain::replay::{ReplayJob, replayable};
use angarium_domain::report::{Closing, Kind, Report, Untold};
use angarium_domain::retention::Cutoffs;
use angarium_domain::statistics::{Grain, Tally};
use angarium_domain::time::Timestamp;
use angarium_domain::voice_note::{Full, Holdings, Quota, Status, VoiceNote};
use angarium_engine::Clock;
use angarium_store::accounts::Known;
use angarium_store::audit::AuditFilter;
use angarium_store::chains::{Session, Standing};
use angarium_store::context_store::{Found, Search};
use angarium_store::delivery_queue::{ClaimedLane, Held, LaneClaim, LaneHead, Lease, Settle};
use angarium_store::directory::{Change, Snapshot};
use angarium_store::event_log::{Append, EventFilter, Lane, Span, Undelivered};
use angarium_store::history::{LogFilter, Logged};
use angarium_store::inboxes::{ItemFilter, Marked, News, Opened, Unread};
use angarium_store::memory::MemoryStore;
use angarium_store::page::{Page, PageRequest};
use angarium_store::reports::ReportFilter;
use angarium_store::statistics::{Backlog, Counted};
use angarium_store::upkeep::{Census, Forgotten};
use angarium_store::write::{Context, Written};
use angarium_store::{
    Accounts, Alerts, AuditLog, Chains, ContextStore, DeliveryQueue, Directory, EventLog, History, Inboxes,
    Mailboxes, Replays, Reports, Statistics, StoreError, Upkeep, VoiceNotes,
};
use async_trait::async_trait;

use super::Lie;
use super::stage::{Point, Stage};
use crate::evidence::Appended;

pub(super) struct FaultyStore {
    pub(super) inner: MemoryStore,
    pub(super) stage: Stage,
    pub(super) clock: Arc<dyn Clock>,
}

impl FaultyStore {
    /// The way into a write: it takes a while, may be refused, and may be the end.
    async fn enter(&self, point: Point) -> Result<(), StoreError> {
        self.stage.alive().await;
        let wait = self.stage.ledgers().chance.millis(0..=4);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let now = self.clock.now();
        self.stage.pass(point, now).await;
        let mut ledgers = self.stage.ledgers();
        let weather = ledgers.weather;
        let out = weather.outage.is_some_and(|(from, until)| from <= now && now < until);
        if out || ledgers.chance.percent(weather.refuses_percent) {
            return Err(StoreError::Unavailable { reason: "the weather".to_owned() });
        }
        Ok(())
    }

    /// The way out of a write: it may be the end, too.
    async fn leave(&self, point: Point) {
        let wait = self.stage.ledgers().chance.millis(0..=2);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        self.stage.pass(point, self.clock.now()).await;
    }

    /// The way into a write that ends leases.
    async fn enter_end_of_lease(&self, point: Point) -> Result<(), StoreError> {
        let entered = self.enter(point).await;
        if entered.is_err() {
            self.stage.ledgers().refusals += 1;
        }
        entered
    }

    /// Writes an append; a liar, without looking whether its job comes first.
    async fn write(&self, append: Append) -> Result<Written<()>, StoreError> {
        if !self.lies(Lie::ForgetReplays) {
            return self.inner.append(append).await;
        }
        let job = append.job.clone();
        let written = self.inner.append(Append { job: None, ..append }).await?;
        if job.is_some() {
            self.inner.append(Append { job, ..Append::default() }).await?;
        }
        Ok(written)
    }

    /// What is finished, replayed or not, from old to new.
    async fn finished(
        &self,
        handle: &Handle,
        filter: LogFilter,
        after: Option<DeliveryId>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let everything = LogFilter { dead_letters: false, ..filter };
        let page = PageRequest { before: None, limit: u32::MAX - 1 };
        let found = self.inner.deliveries(handle, everything, page).await?.items.into_iter().rev();
        let finished = found.map(|logged| logged.delivery).filter(|delivery| replayable(delivery).is_ok());
        Ok(finished.filter(|delivery| after.is_none_or(|after| delivery.id > after)).collect())
    }

    fn lies(&self, lie: Lie) -> bool {
        self.stage.ledgers().lie == Some(lie)
    }

    fn lies_now_and_then(&self, lie: Lie) -> bool {
        self.lies(lie) && self.stage.ledgers().chance.percent(10)
    }

    fn appended(&self, ids: &[DeliveryId]) {
        let now = self.clock.now();
        let mut ledgers = self.stage.ledgers();
        for id in ids {
            let number = ledgers.appended.len();
            ledgers.appended.insert(*id, Appended { at: now, number });
            ledgers.story.tell(now, format_args!("{id} appended"));
        }
    }
}

fn ids_of(append: &Append) -> Vec<DeliveryId> {
    append.deliveries.iter().map(|delivery| delivery.id).collect()
}

#[async_trait]
impl Accounts for FaultyStore {
    async fn accounts(&self, after: Option<Handle>, limit: u32) -> Result<Vec<Known>, StoreError> {
        self.inner.accounts(after, limit).await
    }

    async fn drawn(&self, handle: &Handle, day: Day) -> Result<u32, StoreError> {
        self.inner.drawn(handle, day).await
    }

    async fn leaving(&self) -> Result<Vec<Handle>, StoreError> {
        self.inner.leaving().await
    }

    async fn clear(&self, handle: &Handle, limit: u32) -> Result<u64, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let cleared = self.inner.clear(handle, limit).await;
        self.leave(Point::AfterCommit).await;
        cleared
    }
}

#[async_trait]
impl Alerts for FaultyStore {
    async fn due_alerts(&self, now: Timestamp, limit: u32) -> Result<Vec<Alert>, StoreError> {
        self.stage.alive().await;
        self.inner.due_alerts(now, limit).await
    }

    async fn next_alert(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_alert().await
    }

    async fn forget_alerts(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let forgotten = self.inner.forget_alerts(now, limit).await;
        self.leave(Point::AfterCommit).await;
        forgotten
    }
}

#[async_trait]
impl Mailboxes for FaultyStore {
    async fn mailbox(&self, handle: &Handle, key: &str) -> Result<Mailbox, StoreError> {
        self.inner.mailbox(handle, key).await
    }
}

#[async_trait]
impl Chains for FaultyStore {
    async fn rulebook(&self, handle: &Handle) -> Result<Rulebook, StoreError> {
        self.inner.rulebook(handle).await
    }

    async fn is_origin_of_anybody(&self, origin: &str) -> Result<bool, StoreError> {
        self.inner.is_origin_of_anybody(origin).await
    }

    async fn is_known(&self, handle: &Handle) -> Result<bool, StoreError> {
        self.inner.is_known(handle).await
    }

    async fn progress(
        &self,
        handle: &Handle,
        id: &SessionId,
    ) -> Result<(Progress, chain::Holdings), StoreError> {
        self.inner.progress(handle, id).await
    }

    async fn sessions_held(&self) -> Result<u64, StoreError> {
        self.inner.sessions_held().await
    }

    async fn standing(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Standing, StoreError> {
        self.inner.standing(handle, id, since).await
    }

    async fn session(
        &self,
        handle: &Handle,
        id: &SessionId,
        since: Timestamp,
    ) -> Result<Session, StoreError> {
        self.inner.session(handle, id, since).await
    }
}

#[async_trait]
impl EventLog for FaultyStore {
    async fn append(&self, mut append: Append) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        if self.lies(Lie::ForgetKeys) {
            append.context.idempotency = None;
        }
        if self.lies(Lie::Disorder) {
            append.deliveries.iter_mut().for_each(|delivery| delivery.ordering_key = None);
        }
        let ids = ids_of(&append);
        let forgets = self.lies_now_and_then(Lie::ForgetCommit);
        let written = if forgets { Written::Done(()) } else { self.write(append).await? };
        if let Written::Done(()) = written {
            self.appended(&ids);
        }
        if self.lies(Lie::Dawdle) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn event(&self, handle: &Handle, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        self.inner.event(handle, id).await
    }

    async fn events(
        &self,
        handle: &Handle,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Page<Arc<Event>>, StoreError> {
        self.inner.events(handle, filter, page).await
    }

    async fn undelivered(&self, to: &Lane, span: Span, limit: u32) -> Result<Undelivered, StoreError> {
        if self.lies(Lie::ForgetReplays) {
            // To a subscription that there never was, everything is undelivered.
            let nobody = Lane { subscription_id: SubscriptionId::from_bytes([0; 16]), ..to.clone() };
            return self.inner.undelivered(&nobody, span, limit).await;
        }
        self.inner.undelivered(to, span, limit).await
    }

    async fn seen(&self, scope: &Scope, now: Timestamp) -> Result<Option<Record>, StoreError> {
        self.inner.seen(scope, now).await
    }
}

#[async_trait]
impl DeliveryQueue for FaultyStore {
    async fn lanes(&self) -> Result<Vec<LaneHead>, StoreError> {
        self.stage.alive().await;
        self.inner.lanes().await
    }

    async fn claim(
        &self,
        lanes: Vec<LaneClaim>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<ClaimedLane>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let claimed = self.inner.claim(lanes, now, until).await?;
        let at = self.clock.now();
        for leased in claimed.iter().flat_map(|lane| &lane.leased) {
            let mut ledgers = self.stage.ledgers();
            ledgers.leased.entry(leased.delivery.id).or_default().push(at);
            ledgers.story.tell(at, format_args!("{} claimed", leased.delivery.id));
        }
        self.leave(Point::MidClaim).await;
        Ok(claimed)
    }

    async fn settle(&self, settle: Settle) -> Result<Option<Timestamp>, StoreError> {
        self.enter_end_of_lease(Point::BeforeSettle).await?;
        let ids = settle.follow_up.as_ref().map(ids_of).unwrap_or_default();
        let (id, next) = (settle.lease.delivery_id, settle.settlement.next);
        let follow_up = if self.lies(Lie::HideDeaths) { None } else { settle.follow_up };
        let forgets = self.lies_now_and_then(Lie::ForgetSettlement);
        let settled = Settle { follow_up, ..settle };
        let next_due_at = if forgets { None } else { self.inner.settle(settled).await? };
        self.stage.tell(self.clock.now(), format_args!("{id} settled as {next:?}"));
        self.appended(&ids);
        self.leave(Point::AfterCommit).await;
        Ok(next_due_at)
    }

    async fn release(&self, leases: Vec<(Lease, Timestamp)>) -> Result<(), StoreError> {
        self.enter_end_of_lease(Point::BeforeCommit).await?;
        self.inner.release(leases).await?;
        self.leave(Point::AfterCommit).await;
        Ok(())
    }

    async fn take_back(&self, held: Held, now: Timestamp) -> Result<u64, StoreError> {
        self.stage.alive().await;
        let count = self.inner.take_back(held, now).await?;
        if count > 0 {
            self.stage.tell(now, format_args!("{count} taken back, {held:?}"));
        }
        Ok(count)
    }
}

#[async_trait]
impl History for FaultyStore {
    async fn delivery(&self, handle: &Handle, id: DeliveryId) -> Result<Option<Logged>, StoreError> {
        self.inner.delivery(handle, id).await
    }

    async fn deliveries(
        &self,
        handle: &Handle,
        filter: LogFilter,
        page: PageRequest,
    ) -> Result<Page<Logged>, StoreError> {
        self.inner.deliveries(handle, filter, page).await
    }

    async fn attempts(&self, handle: &Handle, id: DeliveryId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.inner.attempts(handle, id).await
    }

    async fn count_replayable(&self, handle: &Handle, filter: LogFilter) -> Result<u64, StoreError> {
        self.inner.count_replayable(handle, filter).await
    }

    async fn replayable(
        &self,
        handle: &Handle,
        filter: LogFilter,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        if self.lies(Lie::ForgetReplays) {
            let finished = self.finished(handle, filter, after).await?;
            return Ok(finished.into_iter().take(limit as usize).collect());
        }
        self.inner.replayable(handle, filter, after, limit).await
    }

    async fn discard(
        &self,
        handle: &Handle,
        id: DeliveryId,
        at: Timestamp,
        context: Context,
    ) -> Result<Written<bool>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.discard(handle, id, at, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn last_triggered(
        &self,
        handle: &Handle,
        subscriptions: Vec<SubscriptionId>,
    ) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.inner.last_triggered(handle, subscriptions).await
    }
}

#[async_trait]
impl Directory for FaultyStore {
    async fn snapshot(&self, handle: &Handle) -> Result<Snapshot, StoreError> {
        self.stage.alive().await;
        self.inner.snapshot(handle).await
    }

    async fn catalog(&self, handle: &Handle) -> Result<Catalog, StoreError> {
        self.stage.alive().await;
        self.inner.catalog(handle).await
    }

    async fn change(
        &self,
        handle: &Handle,
        version: u64,
        change: Change,
        now: Timestamp,
        context: Context,
    ) -> Result<Written<u64>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.change(handle, version, change, now, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn cancel_removed(&self, limit: u32, now: Timestamp) -> Result<bool, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let more = self.inner.cancel_removed(limit, now).await?;
        self.leave(Point::AfterCommit).await;
        Ok(more)
    }

    async fn holder_of_token(&self, id: TokenId) -> Result<Option<Handle>, StoreError> {
        self.inner.holder_of_token(id).await
    }

    async fn touch_token(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.inner.touch_token(id, at).await
    }

    async fn outages(&self) -> Result<Vec<(Handle, SubscriptionId, Outage)>, StoreError> {
        self.stage.alive().await;
        self.inner.outages().await
    }

    async fn note_outage(
        &self,
        handle: &Handle,
        id: SubscriptionId,
        outage: Option<Outage>,
    ) -> Result<(), StoreError> {
        self.enter(Point::BeforeCommit).await?;
        self.inner.note_outage(handle, id, outage).await
    }
}

#[async_trait]
impl Replays for FaultyStore {
    async fn create_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.create_replay(job, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn replay(&self, handle: &Handle, id: ReplayId) -> Result<Option<ReplayJob>, StoreError> {
        self.inner.replay(handle, id).await
    }

    async fn replays(&self, handle: &Handle, page: PageRequest) -> Result<Page<ReplayJob>, StoreError> {
        self.inner.replays(handle, page).await
    }

    async fn running_replays(&self) -> Result<Vec<ReplayJob>, StoreError> {
        self.inner.running_replays().await
    }

    async fn finish_replay(&self, job: ReplayJob, context: Context) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.finish_replay(job, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }
}

#[async_trait]
impl ContextStore for FaultyStore {
    async fn create_source(
        &self,
        source: Source,
        config: Config,
        limit: usize,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        self.inner.create_source(source, config, limit, context).await
    }

    async fn source(&self, handle: &Handle, id: SourceId) -> Result<Option<Source>, StoreError> {
        self.inner.source(handle, id).await
    }

    async fn source_config(&self, handle: &Handle, id: SourceId) -> Result<Option<Config>, StoreError> {
        self.inner.source_config(handle, id).await
    }

    async fn sources(&self, handle: &Handle, page: PageRequest) -> Result<Page<Source>, StoreError> {
        self.inner.sources(handle, page).await
    }

    async fn syncing_sources(&self) -> Result<Vec<Source>, StoreError> {
        self.inner.syncing_sources().await
    }

    async fn move_source(&self, source: Source, context: Context) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        self.inner.move_source(source, context).await
    }

    async fn change_source(
        &self,
        source: Source,
        config: Config,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.change_source(source, config, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn remove_source(
        &self,
        handle: &Handle,
        id: SourceId,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        self.inner.remove_source(handle, id, context).await
    }

    async fn add_chunks(&self, source: &Source, chunks: Vec<Chunk>) -> Result<(), StoreError> {
        self.enter(Point::BeforeCommit).await?;
        self.inner.add_chunks(source, chunks).await
    }

    async fn sweep_chunks(&self, limit: u32) -> Result<bool, StoreError> {
        self.inner.sweep_chunks(limit).await
    }

    async fn search_chunks(&self, handle: &Handle, search: Search) -> Result<Vec<Found>, StoreError> {
        self.inner.search_chunks(handle, search).await
    }
}

#[async_trait]
impl Inboxes for FaultyStore {
    async fn items(
        &self,
        handle: &Handle,
        reader: &Reader,
        filter: ItemFilter,
        page: PageRequest,
    ) -> Result<Opened<Page<Marked>>, StoreError> {
        self.inner.items(handle, reader, filter, page).await
    }

    async fn item(
        &self,
        handle: &Handle,
        reader: &Reader,
        id: ItemId,
    ) -> Result<Opened<Option<Marked>>, StoreError> {
        self.inner.item(handle, reader, id).await
    }

    async fn unread(
        &self,
        handle: &Handle,
        reader: &Reader,
        until: Timestamp,
        after: u64,
        limit: u32,
    ) -> Result<Opened<Unread>, StoreError> {
        self.inner.unread(handle, reader, until, after, limit).await
    }

    async fn news(
        &self,
        handle: &Handle,
        after: u64,
        limit: u32,
        readers: Vec<Reader>,
    ) -> Result<News, StoreError> {
        self.inner.news(handle, after, limit, readers).await
    }
}

#[async_trait]
impl Reports for FaultyStore {
    async fn create_report(
        &self,
        report: Report,
        strangers_max: u32,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.create_report(report, strangers_max, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn move_report(
        &self,
        report: Report,
        before: Option<Closing>,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.move_report(report, before, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn remove_report(&self, id: ReportId, context: Context) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.remove_report(id, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn report(&self, id: ReportId) -> Result<Option<Report>, StoreError> {
        self.inner.report(id).await
    }

    async fn reports(&self, filter: ReportFilter, page: PageRequest) -> Result<Page<Report>, StoreError> {
        self.inner.reports(filter, page).await
    }

    async fn open_reports(&self, limit: u32) -> Result<Vec<(Kind, u32)>, StoreError> {
        self.inner.open_reports(limit).await
    }

    async fn untold_reports(&self) -> Result<Vec<Untold>, StoreError> {
        self.inner.untold_reports().await
    }
}

#[async_trait]
impl VoiceNotes for FaultyStore {
    async fn create_voice_note(
        &self,
        note: VoiceNote,
        quota: Quota,
        context: Context,
    ) -> Result<Written<Result<(), Full>>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.create_voice_note(note, quota, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn voice_note(&self, handle: &Handle, id: VoiceNoteId) -> Result<Option<VoiceNote>, StoreError> {
        self.inner.voice_note(handle, id).await
    }

    async fn voice_notes(
        &self,
        handle: &Handle,
        status: Option<Status>,
        page: PageRequest,
    ) -> Result<Page<VoiceNote>, StoreError> {
        self.inner.voice_notes(handle, status, page).await
    }

    async fn move_voice_note(
        &self,
        note: VoiceNote,
        from: Status,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.move_voice_note(note, from, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn remove_voice_note(
        &self,
        handle: &Handle,
        id: VoiceNoteId,
        context: Context,
    ) -> Result<Written<()>, StoreError> {
        self.enter(Point::BeforeCommit).await?;
        let written = self.inner.remove_voice_note(handle, id, context).await?;
        self.leave(Point::AfterCommit).await;
        Ok(written)
    }

    async fn processing_voice_notes(&self) -> Result<Vec<VoiceNote>, StoreError> {
        self.inner.processing_voice_notes().await
    }

    async fn overdue_voice_notes(&self, now: Timestamp, limit: u32) -> Result<Vec<VoiceNote>, StoreError> {
        self.inner.overdue_voice_notes(now, limit).await
    }

    async fn holding_files(&self, ids: Vec<VoiceNoteId>) -> Result<Vec<VoiceNoteId>, StoreError> {
        self.inner.holding_files(ids).await
    }

    async fn mark_of_files(&self, fresh: String) -> Result<String, StoreError> {
        self.inner.mark_of_files(fresh).await
    }

    async fn holdings(&self, handle: &Handle) -> Result<Holdings, StoreError> {
        self.inner.holdings(handle).await
    }
}

#[async_trait]
impl AuditLog for FaultyStore {
    async fn audit(
        &self,
        handle: &Handle,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditRow>, StoreError> {
        self.inner.audit(handle, filter, page).await
    }

    async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.inner.note(entry).await
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        self.inner.audit_head().await
    }

    async fn chain(&self, after: u64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.inner.chain(after, limit).await
    }
}

#[async_trait]
impl Statistics for FaultyStore {
    async fn count(&self, counted: Vec<Counted>) -> Result<(), StoreError> {
        self.enter(Point::BeforeCommit).await?;
        self.inner.count(counted).await?;
        self.leave(Point::AfterCommit).await;
        Ok(())
    }

    async fn tally(&self, of: &Lane, grain: Grain, since: Timestamp) -> Result<Tally, StoreError> {
        self.inner.tally(of, grain, since).await
    }

    async fn waiting(&self, of: &Lane, limit: u32) -> Result<Backlog, StoreError> {
        self.inner.waiting(of, limit).await
    }
}

#[async_trait]
impl Upkeep for FaultyStore {
    async fn forget(&self, cutoffs: Cutoffs, limit: u32) -> Result<Forgotten, StoreError> {
        self.stage.alive().await;
        self.inner.forget(cutoffs, limit).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }

    async fn backlog(&self, limit: u32) -> Result<u64, StoreError> {
        self.inner.backlog(limit).await
    }

    async fn oldest_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.oldest_due().await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.inner.census().await
    }
}

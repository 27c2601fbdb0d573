//! What readers do with items.

use angarium_domain::ids::ItemId;
use angarium_domain::inbox::{Act, Counts, Mark, Reader, Reading, Stock};
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::Snapshot;
use angarium_store::event_log::{Append, Beside};
use angarium_store::inboxes::{Marked, Marking, Opened};
use angarium_store::write::{Context, Written};

use super::{Inbox, InboxError, MarkedItem};
use crate::ids::new_id;
use crate::notices::{self, ReadAll};
use crate::once::{Once, Reply};
use crate::{Caller, DECISIONS_MAX};

/// Items that are marked in one transaction when everything is read: a few milliseconds of writing.
const STEP: u32 = 500;

/// How far the reading of everything is.
#[derive(Default)]
struct Progress {
    /// The number of the last item that is done.
    after: u64,
    items: u64,
}

impl Inbox {
    /// Does something with one item, in the name of the caller. The same act again changes nothing, and
    /// has the same answer but for the counts.
    pub async fn mark(
        &self,
        caller: Caller,
        id: ItemId,
        act: Act,
        once: Once<MarkedItem>,
    ) -> Result<Reply, InboxError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<InboxError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let mut decisions = self.desk.decisions(&caller.handle);
        while let Some(snapshot) = decisions.next().await? {
            match self.try_mark(&caller, &snapshot, id, act, &once).await {
                Err(InboxError::Store(StoreError::Conflict)) => {}
                decided => return decided,
            }
        }
        Err(InboxError::OVERLOADED)
    }

    async fn try_mark(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        id: ItemId,
        act: Act,
        once: &Once<MarkedItem>,
    ) -> Result<Reply, InboxError> {
        let reader = Reader::new(&caller.actor);
        snapshot.account.admits_writes()?;
        let Opened { stock, reading, found } = self.desk.store.item(&caller.handle, &reader, id).await?;
        let before = found.ok_or(InboxError::NotFound)?;
        let now = self.desk.clock.now();
        let mark = before.mark.after(act, now);
        let changed = [(before.number, before.mark, mark)];
        let changed = if mark == before.mark { &[][..] } else { &changed[..] };
        let (beside, counts) = decided(caller, &reader, (stock, reading), changed);
        let mut plan = self.desk.planner.plan();
        let mut events = Vec::new();
        if mark.was_read && !before.mark.was_read {
            let event = notices::item_read(new_id(&*self.desk.ids, now), &before.item, &reader, now);
            self.desk.planner.fan_out(&mut plan, snapshot, &event);
            events.push(event);
        }
        let made = MarkedItem { marked: Marked { mark, ..before }, counts };
        let (answer, idempotency) = once.answer_to(&made, now);
        let context = caller.context(idempotency, None);
        if beside.is_none() && context.idempotency.is_none() && context.draw.is_none() {
            return Ok(once.reply(Written::Done(()), answer)?);
        }
        let append = Append {
            decided_upon: vec![(caller.handle.clone(), snapshot.version)],
            events,
            deliveries: plan.deliveries(),
            beside: beside.into_iter().collect(),
            context,
            ..Append::default()
        };
        let written = self.desk.store.append(append).await?;
        self.live.look_for(&caller.handle, &Reader::new(&caller.actor));
        if let Written::Done(()) = written {
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }

    /// Reads whatever is unread and was made by a time, in the name of the caller. Goes in steps: what
    /// comes meanwhile is not touched, and a repetition does the rest of one that was cut short.
    pub async fn read_all(
        &self,
        caller: Caller,
        up_to: Timestamp,
        once: Once<Counts>,
    ) -> Result<Reply, InboxError> {
        let _running = self.desk.repeats.begin(once.key.as_ref())?;
        if let Some(reply) = self.desk.repeats.earlier::<InboxError>(once.key.as_ref()).await? {
            return Ok(reply);
        }
        let (mut progress, mut lost) = (Progress::default(), 0);
        while lost < DECISIONS_MAX {
            match self.try_step(&caller, up_to, &progress, &once).await {
                Ok(Step::Last(reply)) => return Ok(reply),
                Ok(Step::Done(further)) => (progress, lost) = (further, 0),
                Err(InboxError::Store(StoreError::Conflict)) => {
                    self.desk.snapshots.refresh(&caller.handle).await?;
                    lost += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Err(InboxError::OVERLOADED)
    }

    async fn try_step(
        &self,
        caller: &Caller,
        up_to: Timestamp,
        progress: &Progress,
        once: &Once<Counts>,
    ) -> Result<Step, InboxError> {
        let reader = Reader::new(&caller.actor);
        let snapshot = self.desk.snapshots.get(&caller.handle).await?;
        snapshot.account.admits_writes()?;
        let opened = self.desk.store.unread(&caller.handle, &reader, up_to, progress.after, STEP).await?;
        let now = self.desk.clock.now();
        let changed: Vec<(u64, Mark, Mark)> = (opened.found.marks.iter())
            .map(|(number, mark)| (*number, *mark, mark.after(Act::Read, now)))
            .collect();
        let items = progress.items + changed.len() as u64;
        let (beside, counts) = decided(caller, &reader, (opened.stock, opened.reading), &changed);
        let append = Append {
            decided_upon: vec![(caller.handle.clone(), snapshot.version)],
            beside: beside.into_iter().collect(),
            ..Append::default()
        };
        if let Some(after) = opened.found.further {
            if !append.beside.is_empty() {
                self.desk.store.append(append).await?;
                self.live.look_for(&caller.handle, &Reader::new(&caller.actor));
            }
            return Ok(Step::Done(Progress { after, items }));
        }
        let read = ReadAll { up_to, items, at: now };
        self.last_step(caller, &snapshot, (append, read, counts), once).await.map(Step::Last)
    }

    /// The step that is answered, and told of.
    async fn last_step(
        &self,
        caller: &Caller,
        snapshot: &Snapshot,
        (append, read, counts): (Append, ReadAll, Counts),
        once: &Once<Counts>,
    ) -> Result<Reply, InboxError> {
        let mut plan = self.desk.planner.plan();
        let mut events = Vec::new();
        if read.items > 0 {
            let (id, reader) = (new_id(&*self.desk.ids, read.at), Reader::new(&caller.actor));
            let event = notices::items_read(id, &caller.handle, &reader, &read);
            self.desk.planner.fan_out(&mut plan, snapshot, &event);
            events.push(event);
        }
        let (answer, idempotency) = once.answer_to(&counts, read.at);
        let context: Context = caller.context(idempotency, None);
        if read.items == 0 && context.idempotency.is_none() && context.draw.is_none() {
            return Ok(once.reply(Written::Done(()), answer)?);
        }
        let append = Append { events, deliveries: plan.deliveries(), context, ..append };
        let written = self.desk.store.append(append).await?;
        self.live.look_for(&caller.handle, &Reader::new(&caller.actor));
        if let Written::Done(()) = written {
            self.desk.planner.announce(plan).await;
        }
        Ok(once.reply(written, answer)?)
    }
}

/// What came of a step.
enum Step {
    /// There may be more.
    Done(Progress),
    /// There is nothing more.
    Last(Reply),
}

/// What is to be written for marks that change, if any does, and the counts that they make.
fn decided(
    caller: &Caller,
    reader: &Reader,
    (stock, reading): (Stock, Reading),
    changed: &[(u64, Mark, Mark)],
) -> (Option<Beside>, Counts) {
    if changed.is_empty() {
        return (None, reading.counts(&stock));
    }
    let after = reading.after(changed.iter().map(|(_, before, after)| (*before, *after)));
    let marking = Marking {
        handle: caller.handle.clone(),
        reader: reader.clone(),
        decided_upon: (stock.version, reading.version),
        reading: after,
        marks: changed.iter().map(|(number, _, mark)| (*number, *mark)).collect(),
    };
    (Some(Beside::Marking(Box::new(marking))), after.counts(&stock))
}

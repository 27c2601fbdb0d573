//! The one thread that writes, and its grouped commits.
//!
//! A job that arrives while a commit is under way waits for the next one, with everybody else who
//! came meanwhile: one sync of the disk serves them all. Nobody is answered before it.
//!
//! A sync that fails ends the thread. What the system did with the pages is unknown then, and a
//! later sync may succeed without them: a commit behind such a hole would be acknowledged and lost.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fault::{self, Fault};
use crate::crash_point::{CrashPoint, reach};
use crate::error::StoreError;

/// Told after each commit: how many jobs shared it, and how long it took to be on stable storage.
pub type Observer = Arc<dyn Fn(usize, Duration) + Send + Sync>;

/// Told once, with the reason, if the thread ended by itself: nothing can be written any more until
/// the store is opened anew, best by another process.
pub type EndObserver = Arc<dyn Fn(&str) + Send + Sync>;

/// How the thread works.
pub(super) struct Limits {
    pub(super) queue_max: usize,
    pub(super) group_max: usize,
    pub(super) observer: Option<Observer>,
    pub(super) end_observer: Option<EndObserver>,
}

/// Ends when it is dropped, after the jobs that it has taken.
pub(super) struct Writer {
    queue_max: usize,
    /// None only while it is being dropped.
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// A piece of work with somebody who waits for its result.
trait Job: Send {
    /// Does the work and keeps its result. May be called again after a rollback.
    fn run(&mut self, db: &Connection) -> Result<(), Trouble>;
    /// Gives the result to whoever waits for it.
    fn answer(self: Box<Self>);
    /// Says instead that nothing was written.
    fn refuse(self: Box<Self>, reason: &str);
}

/// Why a transaction has to be rolled back.
enum Trouble {
    /// This job cannot be done; the others may.
    OfTheJob,
    /// Nothing can be written now.
    OfTheStore(String),
    /// Nothing may be written any more.
    Fatal(String),
}

struct Work<T, F> {
    run: F,
    result: Option<Result<T, StoreError>>,
    waiting: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    pub(super) fn start(db: Connection, limits: Limits) -> std::io::Result<Writer> {
        let queue_max = limits.queue_max;
        let (jobs, queue) = sync_channel(queue_max);
        let name = "angarium-writer".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || serve(db, &queue, &limits))?;
        Ok(Writer { queue_max, jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the work in a transaction and answers when that is on stable storage.
    ///
    /// The work must look before it writes: what it refuses ([`Fault::Refused`]) is committed with
    /// the group. It may run twice, after a rollback. Whoever stops waiting changes nothing.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> fault::Tried<T> + Send + 'static,
    {
        let (waiting, result) = oneshot::channel();
        let jobs = self.jobs.as_ref().expect("it is not being dropped");
        jobs.try_send(Box::new(Work { run: work, result: None, waiting })).map_err(|error| match error {
            TrySendError::Full(_) => {
                unavailable(&format!("{} writes are waiting, which is the limit", self.queue_max))
            }
            TrySendError::Disconnected(_) => unavailable("the writer has ended"),
        })?;
        result.await.unwrap_or_else(|_| Err(unavailable("the writer ended before it answered")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened, and everyone who waited was told.
            let _ = thread.join();
        }
    }
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned() }
}

fn serve(mut db: Connection, queue: &Receiver<Box<dyn Job>>, limits: &Limits) {
    let mut end = End { end_observer: limits.end_observer.clone(), reason: None };
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(limits.group_max.saturating_sub(1)));
        if let Err(reason) = commit_group(&mut db, group, limits) {
            refuse(queue.try_iter().collect(), &reason);
            end.reason = Some(reason);
            return;
        }
    }
}

/// Tells of an end that nobody asked for, be it by a panic.
struct End {
    end_observer: Option<EndObserver>,
    reason: Option<String>,
}

impl Drop for End {
    fn drop(&mut self) {
        let reason =
            self.reason.take().or_else(|| thread::panicking().then(|| "the writer panicked".to_owned()));
        if let (Some(end_observer), Some(reason)) = (&self.end_observer, reason) {
            end_observer(&reason);
        }
    }
}

/// Commits a group and answers its jobs. An error says why nothing may be written any more.
fn commit_group(db: &mut Connection, mut group: Vec<Box<dyn Job>>, limits: &Limits) -> Result<(), String> {
    match commit(db, &mut group, limits) {
        Ok(()) => group.into_iter().for_each(Job::answer),
        Err(Trouble::OfTheStore(reason)) => refuse(group, &reason),
        Err(Trouble::OfTheJob) if group.len() == 1 => group.into_iter().for_each(Job::answer),
        // One of them cannot be done. Alone, each finds out whether it is the one.
        Err(Trouble::OfTheJob) => {
            let mut jobs = group.into_iter();
            while let Some(job) = jobs.next() {
                if let Err(reason) = commit_group(db, vec![job], limits) {
                    refuse(jobs.collect(), &reason);
                    return Err(reason);
                }
            }
        }
        Err(Trouble::Fatal(reason)) => {
            refuse(group, &reason);
            return Err(reason);
        }
    }
    Ok(())
}

fn refuse(group: Vec<Box<dyn Job>>, reason: &str) {
    tracing::error!(reason, jobs = group.len(), "a group of writes failed");
    for job in group {
        job.refuse(reason);
    }
}

fn commit(db: &mut Connection, group: &mut [Box<dyn Job>], limits: &Limits) -> Result<(), Trouble> {
    // Dropping the transaction rolls it back.
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in &mut *group {
        job.run(&transaction)?;
        reach(CrashPoint::MidBatch);
    }
    reach(CrashPoint::BeforeCommit);
    let begun_at = Instant::now();
    transaction.commit()?;
    reach(CrashPoint::AfterCommitBeforeReply);
    if let Some(observe) = &limits.observer {
        observe(group.len(), begun_at.elapsed());
    }
    Ok(())
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        if fault::is_failed_sync(&error) {
            Trouble::Fatal(format!("a sync of the disk failed, so what it holds is unknown: {error}"))
        } else {
            Trouble::OfTheStore(error.to_string())
        }
    }
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: Fn(&Connection) -> fault::Tried<T> + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), Trouble> {
        let (result, trouble) = match (self.run)(db) {
            Ok(value) => (Ok(value), None),
            Err(Fault::Refused(error)) => (Err(error), None),
            Err(Fault::Sql(error)) if fault::is_failed_sync(&error) => {
                return Err(error.into());
            }
            Err(fault) if fault.is_of_the_store() => {
                let error = StoreError::from(fault);
                let trouble = Trouble::OfTheStore(error.to_string());
                (Err(error), Some(trouble))
            }
            Err(fault) => (Err(fault.into()), Some(Trouble::OfTheJob)),
        };
        self.result = Some(result);
        trouble.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>) {
        // Whoever has stopped waiting does not want to know.
        let _ = self.waiting.send(self.result.expect("a job is answered after it ran"));
    }

    fn refuse(self: Box<Self>, reason: &str) {
        let _ = self.waiting.send(Err(unavailable(reason)));
    }
}

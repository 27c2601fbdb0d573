//! How the rest of the engine reaches the dispatcher: messages into one inbox.

use std::time::Duration;

use angarium_domain::dispatch::{Input, LaneReport};
use angarium_domain::ids::SubscriptionId;
use angarium_store::delivery_queue::Leased;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for the dispatcher; those who send more wait themselves.
const INBOX_MAX: usize = 16_384;

/// What an attempt needs. Boxed: the machine moves it around.
#[derive(Debug)]
pub(crate) struct Work(pub(crate) Box<Leased>);

pub(super) enum Message {
    Inputs(Vec<Input<Work>>),
    /// Answer when everything before this has been acted upon.
    CaughtUp(oneshot::Sender<()>),
    /// Start nothing more; answer when nothing is under way.
    Drain(oneshot::Sender<()>),
    /// Answer how a lane is doing.
    Report(SubscriptionId, oneshot::Sender<Option<LaneReport>>),
    ListLanes,
    Close,
}

/// How others reach the dispatcher.
#[derive(Clone)]
pub(crate) struct DispatcherHandle {
    inbox: mpsc::Sender<Message>,
}

/// The way from handles to the loop.
pub(crate) struct Inbox(pub(super) mpsc::Receiver<Message>);

pub(crate) fn channel() -> (DispatcherHandle, Inbox) {
    let (inbox, messages) = mpsc::channel(INBOX_MAX);
    (DispatcherHandle { inbox }, Inbox(messages))
}

impl DispatcherHandle {
    /// Tells the machine what happened. After the loop has ended nobody needs to know.
    pub(crate) async fn tell(&self, inputs: Vec<Input<Work>>) {
        let _ = self.inbox.send(Message::Inputs(inputs)).await;
    }

    /// Returns when everything told before has been acted upon.
    pub(crate) async fn caught_up(&self) {
        self.ask(Message::CaughtUp).await;
    }

    /// Starts nothing more, and returns when nothing is under way.
    pub(crate) async fn drain(&self) {
        self.ask(Message::Drain).await;
    }

    /// How a lane is doing; none if nothing was heard of it, or nobody answers.
    pub(crate) async fn report(&self, lane: SubscriptionId) -> Option<LaneReport> {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(Message::Report(lane, answer)).await.ok()?;
        answered.await.ok().flatten()
    }

    /// Looks for work that it was not told of.
    pub(crate) async fn look_again(&self) {
        let _ = self.inbox.send(Message::ListLanes).await;
    }

    pub(crate) fn close(&self) {
        let inbox = self.inbox.clone();
        // The inbox may be full for a moment; the loop empties it.
        if let Err(mpsc::error::TrySendError::Full(message)) = inbox.try_send(Message::Close) {
            #[expect(clippy::disallowed_methods, reason = "ends as soon as the loop takes a message")]
            tokio::spawn(async move { inbox.send(message).await.ok() });
        }
    }

    /// Whether the loop hears a question within a second.
    pub(crate) async fn is_moving(&self) -> bool {
        let answered = tokio::time::timeout(Duration::from_secs(1), self.ask(Message::CaughtUp)).await;
        answered.unwrap_or(false)
    }

    /// Asks, and says whether there was an answer: a loop that has ended gives none.
    async fn ask(&self, question: impl FnOnce(oneshot::Sender<()>) -> Message) -> bool {
        let (answer, answered) = oneshot::channel();
        self.inbox.send(question(answer)).await.is_ok() && answered.await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_has_ended_is_not_moving_and_keeps_nobody_waiting() {
        let (dispatcher, Inbox(messages)) = channel();
        drop(messages);
        assert!(!dispatcher.is_moving().await);
        dispatcher.drain().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hears_nothing_is_not_moving() {
        let (dispatcher, _inbox) = channel();
        assert!(!dispatcher.is_moving().await);
    }
}

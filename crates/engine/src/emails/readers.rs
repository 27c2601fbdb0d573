//! What the readers of mails decide by the links in them: to be told, and to be told no longer.

use std::net::IpAddr;
use std::sync::Arc;

use angarium_domain::access::Mode;
use angarium_domain::handle::Handle;
use angarium_domain::mail_link::{Purpose as LinkPurpose, Token};
use angarium_domain::mailbox::Change;
use angarium_domain::recipient::consent_text;
use angarium_domain::subscription::Subscription;
use angarium_domain::time::Timestamp;
use angarium_store::StoreError;
use angarium_store::directory::{Entry, Snapshot};

use super::{Confirmed, Decision, EmailError, Emails, asked_at, find_email, lost, mailbox, with};
use crate::Caller;
use crate::once::{Once, Reply};

/// Who acts by a link in a mail.
const READER: &str = "recipient";

impl Emails {
    /// Whose question a link is about, and what was asked. None if it is no link of ours, or is about
    /// another question by now.
    pub async fn question_of(&self, text: &str) -> Result<Option<(Subscription, Timestamp)>, StoreError> {
        let Some((entry, _)) = self.found_by(text, asked_purpose).await? else { return Ok(None) };
        Ok(Some((entry.subscription.clone(), self.desk.clock.now())))
    }

    /// Takes the consent that a link's reader gives, if they say that they read the words that it is given
    /// to now; none if it is no link of ours.
    pub async fn confirm(
        &self,
        text: &str,
        is_read: impl Fn(&str) -> bool + Send + Sync,
        request_id: &str,
        ip: Option<IpAddr>,
    ) -> Result<Option<Confirmed>, EmailError> {
        let Some((found, handle)) = self.found_by(text, asked_purpose).await? else { return Ok(None) };
        let (id, asked_at) = (found.subscription.id, asked_at(&found));
        let caller = reader(handle, request_id, ip);
        let mut given = Confirmed::Late;
        let decided = self
            .decide_for_a_reader(&caller, |snapshot, now| {
                let entry = find_email(snapshot, id).ok_or(EmailError::NotFound)?;
                // The question may have been put anew meanwhile.
                let same = asked_at == super::asked_at(entry);
                let text = consent_text(&entry.subscription.handle, &entry.subscription.event_types);
                let mut recipient = entry.subscription.recipient.clone().ok_or(EmailError::NotFound)?;
                if same && recipient.is_open(now) && !is_read(&text) {
                    given = Confirmed::OtherWords;
                    return Err(EmailError::NothingToChange);
                }
                let taken = same && recipient.confirm(now, ip, text);
                given = if taken { Confirmed::Given } else { Confirmed::Late };
                if !taken || Some(&recipient) == entry.subscription.recipient.as_ref() {
                    return Err(EmailError::NothingToChange);
                }
                let entry = with(entry, now, |subscription| subscription.recipient = Some(recipient.clone()));
                Ok(Decision::of(entry, "email.confirmed").knowing(Change::Confirmed))
            })
            .await;
        match decided {
            Ok(_) => Ok(Some(Confirmed::Given)),
            Err(EmailError::NothingToChange) => Ok(Some(given)),
            Err(EmailError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whose subscription a link would end.
    pub async fn subscription_of(&self, text: &str) -> Result<Option<Subscription>, StoreError> {
        let found = self.found_by(text, |_| Some(LinkPurpose::Unsubscribe)).await?;
        Ok(found.map(|(entry, _)| entry.subscription.clone()))
    }

    /// Ends the subscription that a link names, for its reader. Answers false if it is no link of ours.
    /// Ending one that has ended changes nothing.
    pub async fn unsubscribe(
        &self,
        text: &str,
        request_id: &str,
        ip: Option<IpAddr>,
    ) -> Result<bool, EmailError> {
        let found = self.found_by(text, |_| Some(LinkPurpose::Unsubscribe)).await?;
        let Some((found, handle)) = found else { return Ok(false) };
        let (id, caller) = (found.subscription.id, reader(handle, request_id, ip));
        let decided = self
            .decide_for_a_reader(&caller, |snapshot, now| {
                let entry = find_email(snapshot, id).ok_or(EmailError::NotFound)?;
                // The owner may have named another address meanwhile.
                if found.subscription.endpoint_url != entry.subscription.endpoint_url {
                    return Err(EmailError::NotFound);
                }
                let mut recipient = entry.subscription.recipient.clone().ok_or(EmailError::NotFound)?;
                if !recipient.withdraw(now) {
                    return Err(EmailError::NothingToChange);
                }
                let entry = with(entry, now, |subscription| subscription.recipient = Some(recipient.clone()));
                let item = lost(&entry.subscription);
                let ended = Decision { item, ..Decision::of(entry, "email.unsubscribed") };
                Ok(ended.knowing(Change::Withdrawn(now)))
            })
            .await;
        match decided {
            Ok(_) | Err(EmailError::NothingToChange) => Ok(true),
            Err(EmailError::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The subscription behind a link, if the link is of its own keys.
    async fn found_by(
        &self,
        text: &str,
        purpose: impl Fn(&Entry) -> Option<LinkPurpose>,
    ) -> Result<Option<(Arc<Entry>, Handle)>, StoreError> {
        let Ok(token) = text.parse::<Token>() else { return Ok(None) };
        let handle = token.handle().clone();
        let snapshot = self.desk.snapshots.get(&handle).await?;
        let entry = find_email(&snapshot, token.subscription_id()).filter(|_| !snapshot.account.is_removed());
        let is_theirs = |entry: &&Arc<Entry>| {
            let reader = mailbox(&entry.subscription.endpoint_url);
            let link = purpose(entry).zip(reader);
            link.is_some_and(|(purpose, reader)| token.is_for(&entry.keys, &reader, purpose))
        };
        let entry = entry.filter(is_theirs);
        Ok(entry.map(|entry| (entry.clone(), handle)))
    }

    /// Decides for whoever reads a mail. What they say holds at a suspended handle, too: what it holds
    /// back is not to go out to them when it goes on.
    async fn decide_for_a_reader(
        &self,
        caller: &Caller,
        mut decide: impl FnMut(&Snapshot, Timestamp) -> Result<Decision, EmailError> + Send,
    ) -> Result<Reply, EmailError> {
        self.commit(
            caller,
            &Once::unkeyed(),
            |_, _| (),
            |snapshot, now| {
                if snapshot.account.is_removed() {
                    return Err(EmailError::NotFound);
                }
                decide(snapshot, now)
            },
        )
        .await
    }
}

/// Whoever acts by a link in a mail.
fn reader(handle: Handle, request_id: &str, ip: Option<IpAddr>) -> Caller {
    Caller {
        handle,
        actor: READER.to_owned(),
        request_id: request_id.to_owned(),
        ip,
        mode: Mode::Live,
        trace: None,
        draw: None,
    }
}

fn asked_purpose(entry: &Entry) -> Option<LinkPurpose> {
    asked_at(entry).map(LinkPurpose::Confirm)
}

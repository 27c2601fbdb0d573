//! What a handle knows of a mailbox, whichever of its subscriptions it has or had: what whoever reads it, or its
//! server, said outlives the subscription that it was said to (decisions/0028).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recipient::Suppression;
use crate::time::Timestamp;

/// How long somebody who ended their mails, and was asked once since, is left alone.
pub const LEFT_ALONE: Duration = Duration::from_hours(30 * 24);

/// What is known of a mailbox. Nothing, of nearly all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mailbox {
    /// That it takes no mail. Until somebody of the handle says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
    /// When whoever reads it ended their mails. Until they confirm again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
    /// When they were asked since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_again_at: Option<Timestamp>,
}

/// Something that becomes known of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It takes no mail.
    Suppressed(Suppression),
    /// Somebody of the handle says that it does.
    Lifted,
    /// Whoever reads it wants no more mails.
    Withdrawn(Timestamp),
    /// They were asked whether they do.
    Asked(Timestamp),
    /// They do.
    Confirmed,
}

impl Mailbox {
    /// What is known after a change.
    #[must_use]
    pub fn after(self, change: &Change) -> Mailbox {
        match change {
            Change::Suppressed(suppression) => Mailbox { suppressed: Some(suppression.clone()), ..self },
            Change::Lifted => Mailbox { suppressed: None, ..self },
            Change::Withdrawn(at) => Mailbox { withdrawn_at: Some(*at), ..self },
            Change::Asked(at) if self.withdrawn_at.is_some() => Mailbox { asked_again_at: Some(*at), ..self },
            Change::Asked(_) => self,
            Change::Confirmed => Mailbox { withdrawn_at: None, asked_again_at: None, ..self },
        }
    }

    /// Whether there is nothing to remember.
    pub fn is_nothing(&self) -> bool {
        *self == Mailbox::default()
    }

    /// Until when whoever reads it is not asked again; none if they may be. People change their minds, so they are
    /// asked once after they ended it, and then left alone.
    pub fn left_alone_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.withdrawn_at.and(self.asked_again_at)? + LEFT_ALONE;
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(12 * 3600);

    fn known(changes: &[Change]) -> Mailbox {
        changes.iter().fold(Mailbox::default(), Mailbox::after)
    }

    #[test]
    fn who_ended_it_is_asked_once_more_and_then_left_alone() {
        let withdrawn = Change::Withdrawn(NOON);
        let asked = Change::Asked(NOON);
        assert_eq!(Mailbox::default().after(&asked), Mailbox::default());
        assert_eq!(Mailbox::default().after(&withdrawn).left_alone_until(NOON), None);
        let twice = known(&[withdrawn.clone(), asked.clone()]);
        assert_eq!(twice.left_alone_until(NOON), Some(NOON + LEFT_ALONE));
        assert_eq!(twice.left_alone_until(NOON + LEFT_ALONE), None);
        // Ending it by the question that was put is no new beginning.
        let again = known(&[withdrawn.clone(), asked.clone(), Change::Withdrawn(NOON)]);
        assert_eq!(again.left_alone_until(NOON), Some(NOON + LEFT_ALONE));
        assert!(known(&[withdrawn, asked, Change::Confirmed]).is_nothing());
    }

    #[test]
    fn a_suppression_stays_until_it_is_lifted_whatever_else_becomes_known() {
        let bounced = Change::Suppressed(Suppression { at: NOON, code: Some(550) });
        let still =
            known(&[bounced.clone(), Change::Asked(NOON), Change::Confirmed, Change::Withdrawn(NOON)]);
        assert!(still.suppressed.is_some());
        assert!(known(&[bounced, Change::Lifted]).is_nothing());
    }
}

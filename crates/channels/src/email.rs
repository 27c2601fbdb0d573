//! The e-mail channel: one mail goes out, and what the mail server replied is data.
//!
//! A mail server is the operator's own word and no customer's address, so the egress guard is not
//! asked. What customers give is the recipient, which never becomes more than one address.

mod fault;
mod folder;
mod letter;
mod message;
mod ses;
mod smtp;

use std::time::Duration;

use angarium_domain::attempt::Exchange;
use angarium_domain::handle::Handle;
use angarium_domain::letter::Letter;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::outcome::Failure;
use angarium_domain::time::Timestamp;
use async_trait::async_trait;

pub use folder::FolderMailer;
pub use message::{InvalidSender, Sender};
pub use ses::{AwsCredentials, InvalidSesSettings, SesMailer, SesSettings};
pub(crate) use ses::{aws_context, signer};
pub use smtp::{Encryption, InvalidSettings, SmtpMailer, SmtpSettings};

/// One mail to one address, ready to go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names the mail: the local part of its `Message-ID`, the same at every attempt, so that
    /// mailboxes know a second copy.
    pub id: String,
    /// Whose it is, for those who tell later what became of it. None where no delivery stands behind it.
    pub handle: Option<Handle>,
    /// Whom it is for.
    pub to: MailAddress,
    /// What it says.
    pub letter: Letter,
    /// The date that it bears: when it was made, and not when it is sent.
    pub date: Timestamp,
}

/// None of the connections was free until the deadline: nothing was tried, and it says nothing of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no connection to whoever takes the mails was free in time")]
pub struct NoConnection;

/// A way to send mails.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Makes one attempt, within one deadline over all of it. A refusal is data.
    ///
    /// # Errors
    ///
    /// [`NoConnection`] if nothing was tried.
    async fn send(&self, mail: Mail, deadline: Duration) -> Result<Exchange, NoConnection>;

    /// Whether mails can be sent at all. What asks for mails is refused where they cannot.
    fn is_configured(&self) -> bool;
}

/// A service that is not set up to send mails.
pub struct NoMailer;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, mail: Mail, _deadline: Duration) -> Result<Exchange, NoConnection> {
        Ok(Exchange::failed(Failure::NotConfigured, mail.to.as_str(), "email.transport is none"))
    }

    fn is_configured(&self) -> bool {
        false
    }
}

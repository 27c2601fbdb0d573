//! Mails as files: for trying things out, and for a mail server that takes its mails from a folder.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use angarium_domain::attempt::{Exchange, Timing};
use angarium_domain::outcome::{Failure, Outcome};
use async_trait::async_trait;

use super::message::{Sender, outgoing};
use super::{Mail, Mailer, NoConnection};

/// Writes each mail to a file `<id>.eml`. A mail that is sent again replaces its first copy.
pub struct FolderMailer {
    folder: PathBuf,
    sender: Sender,
}

impl FolderMailer {
    /// Makes the folder if it is not there.
    pub fn new(folder: PathBuf, sender: Sender) -> io::Result<FolderMailer> {
        std::fs::create_dir_all(&folder)?;
        Ok(FolderMailer { folder, sender })
    }

    fn write(&self, mail: &Mail) -> Result<(), String> {
        let outgoing = outgoing(&self.sender, mail).map_err(|error| error.to_string())?;
        // Whoever looks into the folder sees whole mails only.
        let unfinished = self.folder.join(format!(".{}.part", mail.id));
        let finished = self.folder.join(format!("{}.eml", mail.id));
        let written = std::fs::write(&unfinished, outgoing.bytes)
            .and_then(|()| std::fs::rename(&unfinished, &finished));
        written.map_err(|error| format!("{} cannot be written: {error}", finished.display()))
    }
}

#[async_trait]
impl Mailer for FolderMailer {
    async fn send(&self, mail: Mail, _deadline: Duration) -> Result<Exchange, NoConnection> {
        let began_at = tokio::time::Instant::now();
        let (outcome, detail) = match self.write(&mail) {
            Ok(()) => (Outcome::Replied { code: 250, bounced: false }, None),
            Err(reason) => (Outcome::Failed { failure: Failure::InternalError }, Some(reason)),
        };
        let total_us = began_at.elapsed().as_micros() as u64;
        let timing = Timing { total_us, ..Timing::default() };
        let failed = Exchange::failed(Failure::InternalError, mail.to.as_str(), "");
        Ok(Exchange { outcome, timing, detail, ..failed })
    }

    fn is_configured(&self) -> bool {
        true
    }
}

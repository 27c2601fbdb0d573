//! A mail server that others built, as a child process: what it took, and that it can be away.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{product, workspace};

/// The packages of the peer, by version.
const PACKAGES: &str = "xtask/python/email.txt";
/// How long an order may take.
const ORDER_WITHIN: Duration = Duration::from_secs(30);

/// A mail that was taken, for one of its recipients.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) message_id: String,
    pub(crate) unsubscribe: Option<String>,
    pub(crate) unsubscribe_post: Option<String>,
    pub(crate) text: String,
}

impl Mail {
    /// What stands before the `@` of its `Message-ID`: the id of its delivery.
    pub(crate) fn delivery_id(&self) -> &str {
        let id = self.message_id.trim_matches(['<', '>']);
        id.split_once('@').map_or(id, |(id, _)| id)
    }

    /// The path of the link to a page of this name.
    pub(crate) fn link(&self, page: &str) -> Result<String> {
        let start = format!("/{page}/");
        let shown = [Some(self.text.as_str()), self.unsubscribe.as_deref()];
        let found = shown.into_iter().flatten().find_map(|text| text.split_once(&start));
        let (_, rest) = found.with_context(|| format!("no link to {page} in {self:?}"))?;
        let token = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).next();
        Ok(format!("{start}{}", token.unwrap_or_default()))
    }
}

/// The server; ends when dropped.
#[derive(Debug)]
pub(crate) struct MailPeer {
    child: Child,
    orders: Mutex<ChildStdin>,
    notes: Arc<Mutex<Notes>>,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct Notes {
    by_recipient: HashMap<String, Vec<Mail>>,
    refused: HashMap<String, u32>,
    /// Orders given, and carried out; the start is order 0.
    given: u64,
    done: Option<u64>,
    /// Something came that is none of the peer's words.
    garbled: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Said {
    Mail(Mail),
    Refused(String),
    Done(u64),
}

impl MailPeer {
    /// Installs and starts it, on a free port.
    pub(crate) async fn start() -> Result<MailPeer> {
        let tools = workspace::python_tools(&workspace::target_folder("email")?, PACKAGES)?;
        let address = product::free_address()?;
        let (child, orders, output) = spawn(&tools.join("python"), address)?;
        let notes: Arc<Mutex<Notes>> = Arc::default();
        let listening = Arc::clone(&notes);
        // A thread of its own: the peer's words come by a pipe, and it ends with them.
        std::thread::spawn(move || listen(output, &listening));
        let peer = MailPeer { child, orders: Mutex::new(orders), notes, address };
        peer.obeyed(0).await?;
        Ok(peer)
    }

    /// The settings that lead mails to it, as variables.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("ANGARIUM_EMAIL_TRANSPORT", "smtp".to_owned()),
            ("ANGARIUM_EMAIL_FROM", "Angarium <events@mail.example>".to_owned()),
            ("ANGARIUM_EMAIL_HOST", self.address.ip().to_string()),
            ("ANGARIUM_EMAIL_PORT", self.address.port().to_string()),
            ("ANGARIUM_EMAIL_ENCRYPTION", "none".to_owned()),
        ]
    }

    /// Stops listening, and cuts the connections that are open.
    pub(crate) async fn go_down(&self) -> Result<()> {
        self.order(&json!("down")).await
    }

    /// Listens again, at the same place.
    pub(crate) async fn come_up(&self) -> Result<()> {
        self.order(&json!("up")).await
    }

    /// Says nothing more, though connections are taken; or goes on as if nothing had been.
    pub(crate) fn fall_silent(&self, silent: bool) -> Result<()> {
        let signal = if silent { "-STOP" } else { "-CONT" };
        workspace::run(Command::new("kill").args([signal, &self.child.id().to_string()]))
    }

    /// Refuses recipients from now on whose address begins so.
    pub(crate) async fn refuse(&self, prefix: &str, reply: &str) -> Result<()> {
        self.order(&json!({ "refuse": prefix, "reply": reply })).await
    }

    /// The mails that an address got so far.
    pub(crate) fn mails_to(&self, address: &str) -> Vec<Mail> {
        self.notes().by_recipient.get(address).cloned().unwrap_or_default()
    }

    /// Every mail so far.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.notes().by_recipient.values().flatten().cloned().collect()
    }

    /// How often an address was refused.
    pub(crate) fn refusals_of(&self, address: &str) -> u32 {
        self.notes().refused.get(address).copied().unwrap_or_default()
    }

    /// Waits for a mail to an address.
    pub(crate) async fn mail_to(
        &self,
        address: &str,
        limit: Duration,
        wanted: impl Fn(&Mail) -> bool,
    ) -> Result<Mail> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(mail) = self.mails_to(address).into_iter().find(&wanted) {
                return Ok(mail);
            }
            if Instant::now() >= deadline {
                bail!("{address} did not get its mail within {limit:?}; it has {:?}", self.mails_to(address));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn order(&self, order: &Value) -> Result<()> {
        let number = {
            let mut notes = self.notes();
            notes.given += 1;
            notes.given
        };
        writeln!(self.orders.lock().expect("giving orders does not panic"), "{order}")?;
        self.obeyed(number).await
    }

    async fn obeyed(&self, number: u64) -> Result<()> {
        let deadline = Instant::now() + ORDER_WITHIN;
        while self.notes().done.is_none_or(|done| done < number) {
            if let Some(text) = self.notes().garbled.take() {
                bail!("the mail server said {text:?}");
            }
            if Instant::now() >= deadline {
                bail!("the mail server did not do as it was told within {ORDER_WITHIN:?}");
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("taking notes does not panic")
    }
}

impl Drop for MailPeer {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().ok();
    }
}

fn spawn(python: &Path, address: SocketAddr) -> Result<(Child, ChildStdin, ChildStdout)> {
    let script = workspace::root().join("xtask/python/mail_peer.py");
    let mut command = Command::new(python);
    command.arg(script).arg(address.port().to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start the mail server")?;
    let orders = child.stdin.take().context("the mail server has no input")?;
    let output = child.stdout.take().context("the mail server has no output")?;
    Ok((child, orders, output))
}

/// Notes what the peer says, until it ends.
fn listen(output: ChildStdout, notes: &Mutex<Notes>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let mut notes = notes.lock().expect("taking notes does not panic");
        match serde_json::from_str(&line) {
            Ok(Said::Mail(mail)) => notes.by_recipient.entry(mail.to.clone()).or_default().push(mail),
            Ok(Said::Refused(address)) => *notes.refused.entry(address).or_default() += 1,
            Ok(Said::Done(number)) => notes.done = Some(number),
            Err(_) => notes.garbled = Some(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(text: &str, unsubscribe: Option<&str>) -> Mail {
        Mail {
            to: "anna@example.com".to_owned(),
            subject: "acme: order.paid".to_owned(),
            message_id: "<dlv_1@mail.example>".to_owned(),
            unsubscribe: unsubscribe.map(str::to_owned),
            unsubscribe_post: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn links_are_found_in_the_text_and_in_the_head() {
        let question = mail("Please follow\nhttp://127.0.0.1:8/confirm/AB_c-9\nand press.", None);
        assert_eq!(question.link("confirm").unwrap(), "/confirm/AB_c-9");
        question.link("unsubscribe").unwrap_err();
        let told = mail("", Some("<https://events.example.com/unsubscribe/xyz>"));
        assert_eq!(told.link("unsubscribe").unwrap(), "/unsubscribe/xyz");
    }

    #[test]
    fn a_mail_names_its_delivery() {
        assert_eq!(mail("", None).delivery_id(), "dlv_1");
    }
}

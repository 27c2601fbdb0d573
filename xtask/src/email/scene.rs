//! An installation with a mail server, and what can be seen of it.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    api::Api,
    asker::{Asker, by_nobody, text_of},
    mail_peer::{Mail, MailPeer},
    patience::eventually,
    product::{Installation, Running},
    wire::Line,
};

/// How long what should happen at once may take.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Where subscriptions by e-mail are.
pub(super) const EMAILS: &str = "/notifications/email-subscriptions";

/// Everything that a part of the trial needs; each part has handles of its own.
pub(super) struct Scene {
    installation: Installation,
    pub(super) peer: MailPeer,
    running: Running,
}

/// Somebody who has confirmed.
pub(super) struct Reader {
    pub(super) id: String,
    pub(super) email: String,
}

impl Scene {
    /// A fresh installation, which logs what operators would read.
    pub(super) async fn start(binary: &Path, retry_waits_percent: u32) -> Result<Scene> {
        let peer = MailPeer::start().await?;
        let mut installation = Installation::new(binary, retry_waits_percent)?;
        installation.set(peer.settings());
        let log = [("ANGARIUM_LOG_LEVEL", "info"), ("ANGARIUM_LOG_FORMAT", "json")];
        installation.set(log.map(|(name, value)| (name, value.to_owned())));
        let mut running = installation.start(None)?;
        running.ready().await?;
        Ok(Scene { installation, peer, running })
    }

    /// Asks the process to stop, which it does in peace.
    pub(super) async fn stop(&mut self) -> Result<()> {
        self.running.ask_to_stop()?;
        let status = self.running.ended().await?;
        ensure!(status.success(), "asked to stop, the process ended with {status}");
        Ok(())
    }

    /// Leaves the folder where it is.
    pub(super) fn keep(&mut self) -> &Path {
        self.installation.keep()
    }

    /// The owner of a handle.
    pub(super) fn owner(&self, handle: &str) -> Result<Api> {
        Api::on(self.installation.address(), handle, "owner")
    }

    /// A list of the handle, all pages of it.
    pub(super) async fn list(&self, api: &Api, path: &str) -> Result<Vec<Value>> {
        Ok(Asker::of(self.installation.address(), api).list(path).await?.0)
    }

    /// Asks for mails in somebody's name, and returns the subscription.
    pub(super) async fn ask(&self, api: &Api, email: &str, event_types: &[&str]) -> Result<Value> {
        let wish = json!({ "email": email, "eventTypes": event_types });
        api.call(Method::POST, EMAILS, Some(&wish)).await
    }

    /// The mail that asks for consent.
    pub(super) async fn question(&self, email: &str) -> Result<Mail> {
        self.peer.mail_to(email, SOON, |mail| mail.subject.starts_with("Please confirm")).await
    }

    /// Somebody who was asked and pressed the button.
    pub(super) async fn reader(&self, api: &Api, email: &str, event_types: &[&str]) -> Result<Reader> {
        let id = text_of(&self.ask(api, email, event_types).await?, "subscriptionId")?;
        let link = self.question(email).await?.link("confirm")?;
        let status = self.page(Method::POST, &link, "confirm=yes").await?;
        ensure!(status == StatusCode::OK, "the consent of {email} was answered {status}");
        Ok(Reader { id, email: email.to_owned() })
    }

    /// What a page for readers answers.
    pub(super) async fn page(&self, method: Method, path: &str, form: &str) -> Result<StatusCode> {
        let request = by_nobody(method, path, "application/x-www-form-urlencoded", form.as_bytes().to_vec())?;
        Ok(Line::to(self.installation.address()).send(request).await?.status())
    }

    /// How a subscription by e-mail is shown.
    pub(super) async fn shown(&self, api: &Api, id: &str) -> Result<Value> {
        let all = api.call(Method::GET, "/notifications", None).await?;
        let subscriptions = all["emailSubscriptions"].as_array().context("no emailSubscriptions")?;
        let found = subscriptions.iter().find(|shown| shown["subscriptionId"] == id);
        found.cloned().with_context(|| format!("{id} is not shown in {all}"))
    }

    /// Its status alone.
    pub(super) async fn standing(&self, api: &Api, id: &str) -> Result<String> {
        text_of(&self.shown(api, id).await?, "status")
    }

    /// What became of mails about an event: all deliveries of it, once none waits any more.
    pub(super) async fn ends(&self, api: &Api, event_id: &str) -> Result<Vec<Value>> {
        api.quiet_within(SOON).await?;
        self.list(api, &format!("/deliveries?eventId={event_id}")).await
    }

    /// The sum of a count over all series that have these labels.
    pub(super) async fn figure(&self, name: &str, labels: &[&str]) -> Result<u64> {
        let request = by_nobody(Method::GET, "/metrics", "text/plain", "")?;
        let answer = Line::to(self.installation.address()).send(request).await?;
        let text = String::from_utf8_lossy(answer.body());
        let series = text.lines().filter(|line| line.strip_prefix(name).is_some_and(begins_a_value));
        let wanted = series.filter(|line| labels.iter().all(|label| line.contains(label)));
        wanted.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse::<u64>()?)).sum()
    }

    /// Waits until a figure is exactly so much, or at least.
    pub(super) async fn figure_is(&self, name: &str, labels: &[&str], value: u64) -> Result<()> {
        let shown = format!("{name} {labels:?} is {value}");
        let looked = || async {
            let found = self.figure(name, labels).await?;
            ensure!(found <= value, "{name} {labels:?} is {found}, not {value}");
            Ok((found >= value).then_some(()))
        };
        eventually(&shown, SOON, looked).await
    }

    /// The lines of the log whose message begins so.
    pub(super) fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.installation.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message))).collect()
    }

    /// Waits for so many lines, and returns them.
    pub(super) async fn logs(&self, message: &str, lines: usize) -> Result<Vec<Value>> {
        let shown = format!("{lines} lines in the log that begin with {message:?}");
        let looked = || async {
            let found = self.logged(message);
            Ok((found.len() >= lines).then_some(found))
        };
        let found = eventually(&shown, SOON, looked).await?;
        ensure!(found.len() == lines, "{} lines instead of {shown}", found.len());
        Ok(found)
    }
}

fn begins_a_value(rest: &str) -> bool {
    rest.starts_with(['{', ' '])
}

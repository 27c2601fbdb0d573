//! Mails over SMTP (RFC 5321), step by step: only so is it known whether a mail that got no reply may
//! have been taken.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use angarium_domain::attempt::{Exchange, Timing};
use angarium_domain::outcome::{Failure, Outcome};
use async_trait::async_trait;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::lookup_host;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::fault::{Fault, Stage};
use super::message::{Outgoing, Sender, outgoing};
use super::{Mail, Mailer, NoConnection};

/// How long a connection may idle before it is not used again. Servers wait five minutes (RFC 5321,
/// 4.5.3.2.7), but relays in the cloud often one.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// How much of a server's words is kept, in characters.
const WORDS_CHARS_MAX: usize = 1_000;

/// How the way to the server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the first byte, mostly on port 465.
    Implicit,
    /// STARTTLS, mostly on port 587. A server that does not offer it is not used.
    StartTls,
    /// None: for a server on this machine.
    None,
}

/// Where mails are handed in, and as whom.
pub struct SmtpSettings {
    /// The server's name, which its certificate must be for.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way there is encrypted.
    pub encryption: Encryption,
    /// User name and password, if it asks for them.
    pub credentials: Option<(String, SecretString)>,
    /// Certificate authorities of the operator, trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Whom mails are from.
    pub sender: Sender,
    /// Connections at a time.
    pub connections_max: usize,
}

/// The settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidSettings {
    reason: String,
}

/// Hands mails in at a server, over connections that are used again.
pub struct SmtpMailer {
    settings: SmtpSettings,
    hello: ClientId,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<Idle>>,
    seats: Semaphore,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// How far an attempt has come, for whoever gives up waiting for it.
struct Progress(AtomicU8);

const STAGES: [Stage; 7] = [
    Stage::Resolving,
    Stage::Connecting,
    Stage::Greeting,
    Stage::Sender,
    Stage::Recipient,
    Stage::Data,
    Stage::Body,
];

impl Progress {
    fn reach(&self, stage: Stage) -> Stage {
        self.0.store(stage as u8, Ordering::Relaxed);
        stage
    }

    fn stage(&self) -> Stage {
        STAGES[usize::from(self.0.load(Ordering::Relaxed))]
    }
}

impl SmtpMailer {
    /// Reads the certificates; connects to nobody yet.
    pub fn new(settings: SmtpSettings) -> Result<SmtpMailer, InvalidSettings> {
        let invalid = |error: &dyn std::fmt::Display| InvalidSettings { reason: error.to_string() };
        let tls = match settings.encryption {
            Encryption::None => None,
            Encryption::Implicit | Encryption::StartTls => {
                let mut builder = TlsParameters::builder(settings.host.clone());
                for root in &settings.extra_roots {
                    let root = Certificate::from_der(root.to_vec()).map_err(|error| invalid(&error))?;
                    builder = builder.add_root_certificate(root);
                }
                Some(builder.build().map_err(|error| invalid(&error))?)
            }
        };
        let hello = ClientId::Domain(settings.sender.domain().to_owned());
        let seats = Semaphore::new(settings.connections_max);
        Ok(SmtpMailer { settings, hello, tls, idle: Mutex::default(), seats })
    }

    async fn hand_in(
        &self,
        mail: &Mail,
        progress: &Progress,
        timing: &Mutex<Timing>,
    ) -> Result<Outcome, Fault> {
        let outgoing = outgoing(&self.settings.sender, mail)
            .map_err(|unsendable| Fault::new(Failure::InternalError, unsendable.to_string()))?;
        if let Some(connection) = self.take_idle() {
            match self.exchange(connection, &outgoing, progress, timing).await {
                // It ended while nobody looked, and before the mail was begun.
                Err(fault) if fault.stale && progress.stage() < Stage::Body => {}
                exchanged => return exchanged.map(|code| Outcome::Replied { code, bounced: false }),
            }
        }
        let connection = self.connect(progress, timing).await?;
        let code = self.exchange(connection, &outgoing, progress, timing).await?;
        Ok(Outcome::Replied { code, bounced: false })
    }

    async fn connect(
        &self,
        progress: &Progress,
        timing: &Mutex<Timing>,
    ) -> Result<AsyncSmtpConnection, Fault> {
        let SmtpSettings { host, port, encryption, credentials, .. } = &self.settings;
        progress.reach(Stage::Resolving);
        let began_at = Instant::now();
        let addresses = lookup_host((host.as_str(), *port)).await;
        let addresses: Vec<_> =
            addresses.map_err(|error| Fault::new(Failure::DnsError, error.to_string()))?.collect();
        if addresses.is_empty() {
            return Err(Fault::new(Failure::DnsError, "the name has no address"));
        }
        note(timing, |timing| timing.dns_us = Some(micros(began_at)));
        progress.reach(Stage::Connecting);
        let began_at = Instant::now();
        let tls = self.tls.clone().filter(|_| *encryption == Encryption::Implicit);
        // The library waits for the greeting in the same call; its own time limit is for the connect
        // alone, and ours is over everything.
        let connected =
            AsyncSmtpConnection::connect_tokio1(addresses.as_slice(), None, &self.hello, tls, None).await;
        let mut connection = connected.map_err(|error| {
            let stage = if error.status().is_some() { Stage::Greeting } else { Stage::Connecting };
            Fault::of(&error, stage)
        })?;
        note(timing, |timing| timing.connect_us = Some(micros(began_at)));
        let stage = progress.reach(Stage::Greeting);
        if let Some(tls) = self.tls.clone().filter(|_| *encryption == Encryption::StartTls) {
            let began_at = Instant::now();
            // Which error it is tells TLS from the rest.
            connection.starttls(tls, &self.hello).await.map_err(|error| Fault::of(&error, stage))?;
            note(timing, |timing| timing.tls_us = Some(micros(began_at)));
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            connection.auth(&mechanisms, &credentials).await.map_err(|error| Fault::of(&error, stage))?;
        }
        Ok(connection)
    }

    /// Hands one mail in over a connection, and keeps the connection if it went well.
    async fn exchange(
        &self,
        mut connection: AsyncSmtpConnection,
        mail: &Outgoing,
        progress: &Progress,
        timing: &Mutex<Timing>,
    ) -> Result<u16, Fault> {
        let began_at = Instant::now();
        let stage = progress.reach(Stage::Sender);
        let from = MailFrom::new(mail.envelope.from().cloned(), Vec::new());
        connection.command(from).await.map_err(|error| Fault::of(&error, stage))?;
        let stage = progress.reach(Stage::Recipient);
        for to in mail.envelope.to() {
            let recipient = Rcpt::new(to.clone(), Vec::new());
            connection.command(recipient).await.map_err(|error| Fault::of(&error, stage))?;
        }
        let stage = progress.reach(Stage::Data);
        connection.command(Data).await.map_err(|error| Fault::of(&error, stage))?;
        let stage = progress.reach(Stage::Body);
        let reply = connection.message(&mail.bytes).await.map_err(|error| Fault::of(&error, stage))?;
        note(timing, |timing| timing.first_byte_us = Some(micros(began_at)));
        self.give_back(connection);
        Ok(u16::from(reply.code()))
    }

    /// The connection that was used last, if it is fresh enough.
    fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_MAX);
        idle.pop().map(|idle| idle.connection)
    }

    fn give_back(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // No more than there are seats: each was taken out of a seat.
        idle.push(Idle { connection, since: Instant::now() });
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail, deadline: Duration) -> Result<Exchange, NoConnection> {
        let began_at = Instant::now();
        let seat = timeout(deadline, self.seats.acquire()).await.map_err(|_| NoConnection)?;
        let _seat = seat.expect("the seats are never closed");
        let progress = Progress(AtomicU8::new(Stage::Resolving as u8));
        let timing = Mutex::new(Timing::default());
        // Whoever gives up drops the connection with the future: nobody can say what comes over it next.
        let left = deadline.saturating_sub(began_at.elapsed());
        let handed_in = timeout(left, self.hand_in(&mail, &progress, &timing)).await;
        let handed_in = handed_in.unwrap_or_else(|_| Err(Fault::late(progress.stage(), deadline)));
        let mut timing = timing.into_inner().unwrap_or_else(PoisonError::into_inner);
        timing.total_us = micros(began_at);
        let (outcome, detail) = match handed_in {
            Ok(outcome) => (outcome, None),
            Err(fault) => (fault.outcome, Some(fault.detail.chars().take(WORDS_CHARS_MAX).collect())),
        };
        let reached = progress.stage() > Stage::Connecting;
        let server = format!("{}:{}", self.settings.host, self.settings.port);
        Ok(Exchange {
            outcome,
            timing,
            remote_address: reached.then_some(server),
            detail,
            ..Exchange::failed(Failure::InternalError, mail.to.as_str(), "")
        })
    }

    fn is_configured(&self) -> bool {
        true
    }
}

fn note(timing: &Mutex<Timing>, set: impl FnOnce(&mut Timing)) {
    set(&mut timing.lock().unwrap_or_else(PoisonError::into_inner));
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

//! How mails go out, from the settings.

mod amazon;
mod domain;

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use angarium_channels::email::{
    Encryption, FolderMailer, Mailer, NoMailer, Sender, SmtpMailer, SmtpSettings,
};
use angarium_channels::http;
use angarium_engine::{Clock, Mailing};
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use crate::settings::{EmailEncryption, EmailSettings, EmailTransport, Settings};

pub(crate) use domain::sender_domain;

/// The settings of e-mail do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum MailingError {
    /// A setting that the transport needs.
    #[error("email.transport is {transport}, which needs {setting}")]
    Missing {
        /// The transport.
        transport: &'static str,
        /// The setting.
        setting: &'static str,
    },
    /// A setting cannot be used.
    #[error("email.{setting} {reason}")]
    Unusable {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting of Amazon SES cannot be used.
    #[error("ses.{setting} {reason}")]
    UnusableSes {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn unusable(setting: &'static str, reason: impl Into<String>) -> MailingError {
    MailingError::Unusable { setting, reason: reason.into() }
}

/// What sends mails, by the operator's word. Nobody looks up the sender's domain yet.
pub(crate) fn mailing(
    all: &Settings,
    extra_roots: Vec<CertificateDer<'static>>,
    clock: Arc<dyn Clock>,
) -> Result<Mailing, MailingError> {
    let settings = &all.email;
    let now: http::Clock = Arc::new(move || clock.now());
    let connections_max = settings.connections_max;
    let sns = Arc::new(amazon::verifier(&all.ses, now.clone())?);
    let transport = settings.transport.as_str();
    let needed =
        |value: &Option<String>, setting| value.clone().ok_or(MailingError::Missing { transport, setting });
    let public_url = all.listen.public_url.as_deref().map(|url| Arc::from(url.trim_end_matches('/')));
    if settings.transport == EmailTransport::None {
        let mailer = Arc::new(NoMailer);
        return Ok(Mailing { mailer, public_url, sender_domain: None, names: None, connections_max, sns });
    }
    needed(&all.listen.public_url, "listen.public_url")?;
    let sender = Sender::parse(&needed(&settings.from, "email.from")?)
        .map_err(|error| unusable("from", format!("is wrong: {error}")))?;
    let mailer: Arc<dyn Mailer> = match settings.transport {
        EmailTransport::None => Arc::new(NoMailer),
        EmailTransport::Folder => {
            let folder = settings.folder.clone();
            let folder = folder.ok_or(MailingError::Missing { transport, setting: "email.folder" })?;
            let made = FolderMailer::new(folder, sender);
            Arc::new(made.map_err(|error| unusable("folder", format!("cannot be made: {error}")))?)
        }
        EmailTransport::Ses => amazon::mailer(&all.ses, sender, settings.connections_max, extra_roots, now)?,
        EmailTransport::Smtp => {
            let host = needed(&settings.host, "email.host")?;
            let made = SmtpMailer::new(SmtpSettings {
                encryption: encryption(settings.encryption, &host)?,
                credentials: credentials(settings)?,
                port: u16::try_from(settings.port).expect("its limits are those of a port"),
                connections_max: settings.connections_max,
                host,
                extra_roots,
                sender,
            });
            Arc::new(made.map_err(|error| unusable("host", format!("cannot be used: {error}")))?)
        }
    };
    let sender_domain = sender_domain(all);
    Ok(Mailing { mailer, public_url, sender_domain, names: None, connections_max, sns })
}

/// Passwords and mails go in the clear to this machine only.
fn encryption(wanted: EmailEncryption, host: &str) -> Result<Encryption, MailingError> {
    match wanted {
        EmailEncryption::Starttls => Ok(Encryption::StartTls),
        EmailEncryption::Implicit => Ok(Encryption::Implicit),
        EmailEncryption::None if is_this_machine(host) => Ok(Encryption::None),
        EmailEncryption::None => Err(unusable(
            "encryption",
            format!("is none, which is for a server on this machine and not for {host}"),
        )),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn credentials(settings: &EmailSettings) -> Result<Option<(String, SecretString)>, MailingError> {
    let password = match (&settings.password, &settings.password_file) {
        (Some(password), _) => Some(password.0.clone()),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map_err(|error| {
                unusable("password_file", format!("{} cannot be read: {error}", path.display()))
            })?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned().into())
        }
        (None, None) => None,
    };
    match (&settings.user, password) {
        (Some(user), Some(password)) => Ok(Some((user.clone(), password))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(unusable("user", "is set, and neither password nor password_file is")),
        (None, Some(_)) => Err(unusable("password", "is set, and email.user is not")),
    }
}

#[cfg(test)]
mod tests {
    use angarium_engine::clock::SystemClock;

    use super::*;
    use crate::settings::{Secret, SesSettings};

    fn smtp() -> EmailSettings {
        EmailSettings {
            transport: EmailTransport::Smtp,
            from: Some("Angarium <events@example.com>".to_owned()),
            host: Some("localhost".to_owned()),
            encryption: EmailEncryption::None,
            ..EmailSettings::default()
        }
    }

    #[track_caller]
    fn refused(email: EmailSettings, ses: SesSettings) -> String {
        made(&reached(email, ses)).err().expect("a refusal").to_string()
    }

    /// Settings of a service that is reached from outside.
    fn reached(email: EmailSettings, ses: SesSettings) -> Settings {
        let mut settings = Settings { email, ses, ..Settings::default() };
        settings.listen.public_url = Some("https://events.example.com/".to_owned());
        settings
    }

    fn made(settings: &Settings) -> Result<Mailing, MailingError> {
        mailing(settings, Vec::new(), Arc::new(SystemClock))
    }

    fn ses() -> SesSettings {
        SesSettings { region: Some("eu-west-1".to_owned()), ..SesSettings::default() }
    }

    #[test]
    fn amazon_ses_needs_a_region_and_both_halves_of_a_key() {
        let by_ses = || EmailSettings { transport: EmailTransport::Ses, ..smtp() };
        assert!(made(&reached(by_ses(), ses())).expect("usable").mailer.is_configured());
        let secret = || Some(Secret("s".to_owned().into()));
        for (ses, words) in [
            (SesSettings { region: None, ..ses() }, "ses.region"),
            (SesSettings { access_key_id: Some("AKID".to_owned()), ..ses() }, "ses.access_key_id"),
            (SesSettings { secret_access_key: secret(), ..ses() }, "ses.access_key_id"),
            (SesSettings { endpoint: Some("no address".to_owned()), ..ses() }, "ses.endpoint"),
        ] {
            let reason = refused(by_ses(), ses);
            assert!(reason.contains(words), "{reason}");
        }
    }

    #[test]
    fn nothing_is_needed_where_nothing_is_sent() {
        let mailing = made(&Settings::default()).expect("no mails");
        assert!(!mailing.mailer.is_configured());
    }

    #[test]
    fn what_a_transport_needs_is_asked_for_by_name() {
        let settings = reached(smtp(), SesSettings::default());
        let mailing = made(&settings).expect("usable");
        assert!(mailing.mailer.is_configured());
        assert_eq!(mailing.public_url.as_deref(), Some("https://events.example.com"));
        let hidden = Settings { email: smtp(), ..Settings::default() };
        let reason = made(&hidden).err().expect("a refusal").to_string();
        assert!(reason.contains("which needs listen.public_url"), "{reason}");
        for (settings, words) in [
            (EmailSettings { from: None, ..smtp() }, "which needs email.from"),
            (EmailSettings { host: None, ..smtp() }, "which needs email.host"),
            (EmailSettings { transport: EmailTransport::Folder, ..smtp() }, "which needs email.folder"),
            (EmailSettings { from: Some("nobody".to_owned()), ..smtp() }, "\"nobody\""),
            (EmailSettings { user: Some("shop".to_owned()), ..smtp() }, "neither password nor"),
            (EmailSettings { host: Some("smtp.example.com".to_owned()), ..smtp() }, "smtp.example.com"),
        ] {
            let reason = refused(settings, SesSettings::default());
            assert!(reason.contains(words), "{reason}");
        }
    }
}

//! Mails through Amazon SES, and what it tells of them, from the settings.

use std::fs;
use std::sync::Arc;

use angarium_channels::email::{AwsCredentials, Mailer, Sender, SesMailer, SesSettings as Wanted};
use angarium_channels::http::Clock;
use angarium_channels::sns::{GuardedFetch, SnsVerifier};
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use super::MailingError;
use crate::settings::SesSettings;

fn unusable(setting: &'static str, reason: impl Into<String>) -> MailingError {
    MailingError::UnusableSes { setting, reason: reason.into() }
}

/// What hands mails in at SES.
pub(super) fn mailer(
    settings: &SesSettings,
    sender: Sender,
    connections_max: usize,
    extra_roots: Vec<CertificateDer<'static>>,
    now: Clock,
) -> Result<Arc<dyn Mailer>, MailingError> {
    let region =
        settings.region.clone().ok_or_else(|| unusable("region", "is needed by email.transport ses"))?;
    let wanted = Wanted {
        region,
        endpoint: settings.endpoint.clone(),
        credentials: credentials(settings)?,
        configuration_set: settings.configuration_set.clone(),
        sender,
        extra_roots,
        connections_max,
        now,
    };
    let made = SesMailer::new(wanted);
    Ok(Arc::new(made.map_err(|error| unusable("endpoint", format!("cannot be used: {error}")))?))
}

/// Who verifies messages of the topics on the list. Nobody is asked for anything where there are none.
pub(super) fn verifier(settings: &SesSettings, now: Clock) -> Result<SnsVerifier, MailingError> {
    if settings.topics.is_empty() {
        return Ok(SnsVerifier::of_no_topics());
    }
    let fetch =
        GuardedFetch::new(now).map_err(|error| unusable("topics", format!("cannot be verified: {error}")))?;
    Ok(SnsVerifier::new(settings.topics.clone(), SnsVerifier::public_roots(), Arc::new(fetch)))
}

fn credentials(settings: &SesSettings) -> Result<AwsCredentials, MailingError> {
    let secret: Option<SecretString> = match (&settings.secret_access_key, &settings.secret_access_key_file) {
        (Some(secret), _) => Some(secret.0.clone()),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map_err(|error| {
                unusable("secret_access_key_file", format!("{} cannot be read: {error}", path.display()))
            })?;
            Some(text.trim().to_owned().into())
        }
        (None, None) => None,
    };
    match (&settings.access_key_id, secret) {
        (Some(id), Some(secret)) => Ok(AwsCredentials::Keys {
            access_key_id: id.clone(),
            secret_access_key: secret,
            session_token: None,
        }),
        (None, None) => Ok(AwsCredentials::Surroundings),
        (Some(_), None) => Err(unusable(
            "access_key_id",
            "is set, and neither secret_access_key nor secret_access_key_file is",
        )),
        (None, Some(_)) => Err(unusable("secret_access_key", "is set, and ses.access_key_id is not")),
    }
}

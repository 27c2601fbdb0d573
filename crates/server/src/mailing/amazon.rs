//! Mails through Amazon SES, and what it tells of them, from the settings.

use std::sync::Arc;

use angarium_channels::email::{AwsCredentials, Mailer, Sender, SesMailer, SesSettings as Wanted};
use angarium_channels::http::Clock;
use angarium_channels::sns::{GuardedFetch, SnsVerifier};
use rustls::pki_types::CertificateDer;

use super::MailingError;
use crate::aws::AwsKeys;
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
    let keys = AwsKeys {
        section: "ses",
        id: settings.access_key_id.as_ref(),
        secret: settings.secret_access_key.as_ref(),
        file: settings.secret_access_key_file.as_deref(),
    };
    keys.credentials().map_err(|(setting, reason)| unusable(setting, reason))
}

//! Who signs what goes to Amazon or to somebody who speaks its language, from the settings.

use std::fs;
use std::path::Path;

use angarium_channels::email::AwsCredentials;
use secrecy::SecretString;

use crate::settings::Secret;

/// What a section of the settings says about keys.
pub(crate) struct AwsKeys<'a> {
    /// Which section.
    pub(crate) section: &'static str,
    pub(crate) id: Option<&'a String>,
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) file: Option<&'a Path>,
}

impl AwsKeys<'_> {
    /// Both halves, or none: then credentials are looked for.
    ///
    /// # Errors
    ///
    /// Which setting is at fault, and why.
    pub(crate) fn credentials(&self) -> Result<AwsCredentials, (&'static str, String)> {
        match (self.id, self.secret()?) {
            (Some(id), Some(secret)) => Ok(AwsCredentials::Keys {
                access_key_id: id.clone(),
                secret_access_key: secret,
                session_token: None,
            }),
            (None, None) => Ok(AwsCredentials::Surroundings),
            (Some(_), None) => {
                let reason = "is set, and neither secret_access_key nor secret_access_key_file is";
                Err(("access_key_id", reason.to_owned()))
            }
            (None, Some(_)) => {
                Err(("secret_access_key", format!("is set, and {}.access_key_id is not", self.section)))
            }
        }
    }

    fn secret(&self) -> Result<Option<SecretString>, (&'static str, String)> {
        match (self.secret, self.file) {
            (Some(secret), _) => Ok(Some(secret.0.clone())),
            (None, Some(path)) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    ("secret_access_key_file", format!("{} cannot be read: {error}", path.display()))
                })?;
                Ok(Some(text.trim().to_owned().into()))
            }
            (None, None) => Ok(None),
        }
    }
}

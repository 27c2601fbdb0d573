//! From settings to the keys that JWTs are verified with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use angarium_engine::Clock;
use http::Uri;
use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::jwks::Jwks;
use crate::auth::jwt::{JwtKey, JwtRules, JwtVerifier};
use crate::exchange::tls;
use crate::settings::{AuthSettings, KeyAlgorithm, PublicKeySettings};

/// Why tokens cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifierError {
    /// A public key's file cannot be read.
    #[error("the public key {path} cannot be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A public key's file holds something else.
    #[error("the public key {path} is not a PEM file for its algorithm")]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: jsonwebtoken::errors::Error,
    },
    /// The JWKS address is neither a file nor https.
    #[error("auth.jwks {place:?} is neither a file nor an https address")]
    Place {
        /// What was set.
        place: String,
    },
    /// The system's certificates cannot be used.
    #[error("the certificates for fetching the JWKS cannot be loaded")]
    Certificates(#[from] rustls::Error),
    /// The keys cannot be fetched.
    #[error("the JWKS cannot be read: {0}")]
    Jwks(String),
}

/// A verifier for tokens signed with `secret`, with the settings' public keys or with the keys of
/// their JWKS, which is read before this returns.
pub async fn verifier(
    settings: &AuthSettings,
    secret: Option<&SecretString>,
    clock: Arc<dyn Clock>,
) -> Result<JwtVerifier, VerifierError> {
    let mut keys = settings.public_keys.iter().map(public_key).collect::<Result<Vec<_>, _>>()?;
    keys.extend(secret.map(hs256));
    let jwks = settings.jwks.as_deref().map(jwks).transpose()?;
    let verifier = JwtVerifier::new(keys, jwks, rules(settings), clock);
    verifier.load().await.map_err(VerifierError::Jwks)?;
    Ok(verifier)
}

fn rules(settings: &AuthSettings) -> JwtRules {
    JwtRules {
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        roles_claim: settings.roles_claim.clone(),
        platform_admin_claim: settings.platform_admin_claim.clone(),
        leeway: Duration::from_secs(settings.leeway_seconds),
    }
}

fn hs256(secret: &SecretString) -> JwtKey {
    let key = DecodingKey::from_secret(secret.expose_secret().as_bytes());
    JwtKey { kid: None, algorithm: Algorithm::HS256, key }
}

fn public_key(settings: &PublicKeySettings) -> Result<JwtKey, VerifierError> {
    let path = || settings.file.clone();
    let pem =
        std::fs::read(&settings.file).map_err(|source| VerifierError::Unreadable { path: path(), source })?;
    let (algorithm, key) = match settings.algorithm {
        KeyAlgorithm::RS256 => (Algorithm::RS256, DecodingKey::from_rsa_pem(&pem)),
        KeyAlgorithm::ES256 => (Algorithm::ES256, DecodingKey::from_ec_pem(&pem)),
        KeyAlgorithm::EdDSA => (Algorithm::EdDSA, DecodingKey::from_ed_pem(&pem)),
    };
    let key = key.map_err(|source| VerifierError::NotAKey { path: path(), source })?;
    Ok(JwtKey { kid: settings.kid.clone(), algorithm, key })
}

fn jwks(place: &str) -> Result<Jwks, VerifierError> {
    if Path::new(place).is_file() {
        return Ok(Jwks::file(PathBuf::from(place)));
    }
    match place.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.host().is_some() => {
            Ok(Jwks::address(uri, tls()?))
        }
        _ => Err(VerifierError::Place { place: place.to_owned() }),
    }
}

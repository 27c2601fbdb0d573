//! The certificate that a message was signed with: whose it is, and what was signed with it.

use std::time::Duration;

use angarium_domain::sns::TopicArn;
use angarium_domain::time::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

/// The authorities between Amazon's certificates and a public root, since SNS leaves them out.
const ISSUERS: &[u8] = include_bytes!("issuers.pem");
/// The most certificates that are looked at.
const CERTIFICATES_MAX: usize = 5;
/// RSA with SHA-256, of keys from 2048 bits on: what SNS calls version 2.
const ALGORITHM: &dyn SignatureVerificationAlgorithm = webpki::aws_lc_rs::RSA_PKCS1_2048_8192_SHA256;

/// A certificate that SNS signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signer {
    der: CertificateDer<'static>,
}

/// Why a certificate is not one that SNS would sign with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigner {
    /// It cannot be read.
    #[error("the file holds no certificate, or more than {CERTIFICATES_MAX}")]
    Unreadable,
    /// Not now.
    #[error("it has expired, or is not valid yet")]
    Time,
    /// It is somebody else's.
    #[error("it is for none of the names that SNS signs by in this region")]
    Name,
    /// No public authority vouches for it.
    #[error("no public authority vouches for it: {0}")]
    Chain(String),
}

impl Signer {
    /// Reads a PEM file and judges its first certificate; the others may be its issuers.
    pub(super) fn read(
        pem: &str,
        topic: &TopicArn,
        roots: &[TrustAnchor<'_>],
        now: Timestamp,
    ) -> Result<Signer, InvalidSigner> {
        let certificates = read_all(pem.as_bytes())?;
        let (der, given) = certificates.split_first().ok_or(InvalidSigner::Unreadable)?;
        let issuers = [given, &read_all(ISSUERS)?].concat();
        let certificate = EndEntityCert::try_from(der).map_err(|_| InvalidSigner::Unreadable)?;
        let time = UnixTime::since_unix_epoch(Duration::from_millis(now.as_millis().max(0) as u64));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        certificate
            .verify_for_usage(algorithms, roots, &issuers, time, KeyUsage::server_auth(), None, None)
            .map_err(why)?;
        let is_for = |name: &String| {
            let name = ServerName::try_from(name.as_str());
            name.is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if !topic.certificate_names().iter().any(is_for) {
            return Err(InvalidSigner::Name);
        }
        Ok(Signer { der: der.clone() })
    }

    /// Whether the signature is this certificate's, over these bytes.
    pub(super) fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let certificate = EndEntityCert::try_from(&self.der).expect("it was read before");
        certificate.verify_signature(ALGORITHM, bytes, signature).is_ok()
    }
}

fn read_all(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, InvalidSigner> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(CERTIFICATES_MAX + 1).collect();
    let read = read.map_err(|_| InvalidSigner::Unreadable)?;
    if read.len() > CERTIFICATES_MAX { Err(InvalidSigner::Unreadable) } else { Ok(read) }
}

fn why(error: Error) -> InvalidSigner {
    match error {
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => InvalidSigner::Time,
        error => InvalidSigner::Chain(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ::aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// The first element of some DER, its content, and what follows. All here are longer than 255 bytes.
    fn element(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
        assert_eq!(der[1], 0x82, "a length in two bytes");
        let end = 4 + usize::from(u16::from_be_bytes([der[2], der[3]]));
        (&der[..end], &der[4..end], &der[end..])
    }

    /// Whether the root signed the certificate. The library does not say this of an authority's.
    fn is_signed_by(certificate: &CertificateDer<'_>, root: &TrustAnchor<'_>) -> bool {
        let key = root.subject_public_key_info.as_ref();
        let length = u16::try_from(key.len()).expect("a key is short").to_be_bytes();
        let key = [&[0x30, 0x82, length[0], length[1]], key].concat();
        let (_, content, _) = element(certificate);
        let (signed, _, rest) = element(content);
        // The algorithm, in 15 bytes, and a string of bits without a rest.
        let (_, signature, _) = element(&rest[15..]);
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
        signature[0] == 0 && key.verify(signed, &signature[1..]).is_ok()
    }

    #[test]
    fn the_issuers_that_we_carry_are_vouched_for_by_a_public_root() {
        let issuers = read_all(ISSUERS).expect("certificates");
        assert_eq!(issuers.len(), 4);
        for issuer in &issuers {
            let vouching = webpki_roots::TLS_SERVER_ROOTS.iter().filter(|root| is_signed_by(issuer, root));
            assert_eq!(vouching.count(), 1);
            let mut changed = issuer.to_vec();
            changed[100] ^= 1;
            let changed = CertificateDer::from(changed);
            assert!(!webpki_roots::TLS_SERVER_ROOTS.iter().any(|root| is_signed_by(&changed, root)));
        }
    }
}

//! Whom we trust, and how we speak TLS.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// The certificates of the operator's own authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the extra root certificates cannot be used")]
pub struct InvalidRoots(#[source] Box<dyn std::error::Error + Send + Sync>);

/// TLS 1.2 and 1.3 with HTTP/1.1 and nothing else, and no early data: a request must not be replayable.
///
/// The provider is named here, so that no other crate's feature can change it.
pub(super) fn client_config(extra_roots: Vec<CertificateDer<'static>>) -> Result<ClientConfig, InvalidRoots> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(extra_roots, &provider)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Ok(config)
}

/// Verifies by the system's roots, or by Mozilla's where the system has none (an empty container), and by
/// the operator's own in both cases.
fn verifier(
    extra_roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, InvalidRoots> {
    let invalid = |error: rustls::Error| InvalidRoots(Box::new(error));
    // Asked without the extra roots, for with them an empty system is no error.
    if Verifier::new(Arc::clone(provider)).is_ok() {
        let verifier = Verifier::new_with_extra_roots(extra_roots, Arc::clone(provider)).map_err(invalid)?;
        return Ok(Arc::new(verifier));
    }
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(root).map_err(invalid)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| InvalidRoots(Box::new(error)))?;
    Ok(verifier)
}

//! Why an attempt has no answer: errors of three libraries become one of our words.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::time::Duration;

use angarium_domain::outcome::Failure;
use hyper_util::client::legacy;
use rustls::CertificateError;

use super::gate;
use crate::egress::{Denied, ResolveError};

/// A failure, and words for an operator that name no inner address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) detail: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(failure: Failure, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault { failure, detail: detail.into() }
    }

    /// The deadline passed.
    pub(super) fn late(what: &str, limit: Duration) -> Fault {
        Fault::new(Failure::Timeout, format!("{what} within {} ms", limit.as_millis()))
    }

    pub(super) fn of_connect(error: &io::Error) -> Fault {
        Fault::new(Failure::ConnectError, error.kind().to_string())
    }

    pub(super) fn of_handshake(error: &io::Error) -> Fault {
        let detail = match inner::<rustls::Error>(error) {
            Some(error) => words_for(error),
            None => Cow::Owned(format!("the handshake ended early: {}", error.kind())),
        };
        Fault::new(Failure::TlsError, detail)
    }

    /// The pool's errors: ours from dialling come back as they were, the rest are about the exchange.
    pub(super) fn of_request(error: &legacy::Error) -> Fault {
        let source = error.source();
        if let Some(fault) = source.and_then(|source| source.downcast_ref::<Fault>()) {
            return fault.clone();
        }
        match source.and_then(|source| source.downcast_ref::<hyper::Error>()) {
            Some(error) => Fault::of_exchange(error),
            None => Fault::new(Failure::ConnectionLost, "the connection was lost"),
        }
    }

    pub(super) fn of_exchange(error: &hyper::Error) -> Fault {
        if error.is_parse() {
            let too_large = error.is_parse_too_large();
            let detail =
                if too_large { "the answer's head is too large" } else { "the answer is not HTTP/1.1" };
            return Fault::new(Failure::ProtocolError, detail);
        }
        let Some(source) = error.source().and_then(|source| source.downcast_ref::<io::Error>()) else {
            return Fault::new(
                Failure::ConnectionLost,
                "the receiver closed the connection without an answer",
            );
        };
        if let Some(refused) = inner::<gate::Refused>(source) {
            return Fault::new(Failure::ProtocolError, refused.to_string());
        }
        match inner::<rustls::Error>(source) {
            Some(error) => Fault::new(Failure::TlsError, words_for(error)),
            None => Fault::new(Failure::ConnectionLost, source.kind().to_string()),
        }
    }
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Fault {
        match denied {
            Denied::Blocked(refused) => Fault::new(Failure::BlockedAddress, refused.reason),
            Denied::Unresolved(error) => Fault::from(error),
        }
    }
}

impl From<ResolveError> for Fault {
    fn from(error: ResolveError) -> Fault {
        Fault::new(Failure::DnsError, error.to_string())
    }
}

fn inner<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}

fn words_for(error: &rustls::Error) -> Cow<'static, str> {
    match error {
        rustls::Error::InvalidCertificate(error) => Cow::Borrowed(words_for_certificate(error)),
        rustls::Error::NoCertificatesPresented => Cow::Borrowed("the receiver showed no certificate"),
        rustls::Error::PeerIncompatible(_) => Cow::Borrowed("no common version of TLS or cipher"),
        rustls::Error::AlertReceived(alert) => {
            Cow::Owned(format!("the receiver refused the handshake: {alert:?}"))
        }
        rustls::Error::InvalidMessage(_) => Cow::Borrowed("the receiver does not speak TLS on this port"),
        _ => Cow::Borrowed("the TLS handshake failed"),
    }
}

fn words_for_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another host"
        }
        CertificateError::UnknownIssuer => {
            "the certificate's issuer is not trusted, or a link of its chain is missing"
        }
        CertificateError::Revoked => "the certificate is revoked",
        _ => "the certificate is not valid",
    }
}

//! The whole service in one value: started from settings, stopped in order.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use angarium_channels::Channel;
use angarium_channels::egress::{AddressPolicy, LookUp, SystemResolver};
use angarium_channels::library::{Library, OpenLibrary};
use angarium_channels::sns::SnsVerifier;
use angarium_channels::webhook::{self, WebhookChannel};
use angarium_domain::voice_note::LinkKey;
use angarium_engine::clock::SystemClock;
use angarium_engine::ids::RandomIds;
use angarium_engine::{Clock, Drained, Engine, IdSource, Mailing, Metrics, Parts, SupportDesk};
use angarium_store::sqlite::{self, SqliteStore};
use angarium_store::{Store, StoreError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::api;
use crate::auth::Authority;
use crate::auth::keys::{VerifierError, verifier};
use crate::keyring::{self, KeyError};
use crate::listener::Listener;
use crate::mailing::{MailingError, mailing};
use crate::mcp;
use crate::peer::Proxies;
use crate::rate::RateLimits;
use crate::settings::{EgressSettings, Settings};
use crate::state::{App, AppSchemes, Callers, PublicUrl, Sources};
use crate::telemetry::{Telemetry, TelemetryError};
use crate::voice_files::{self, VoiceFilesError};

/// The part of the grace that is kept for attempts when connections linger.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(5);

/// A running service.
pub struct Service {
    listener: Listener,
    engine: Arc<Engine>,
    telemetry: Telemetry,
    grace: Duration,
    /// Says why, when the store can no longer write. None for a store that somebody else opened.
    store_ended: Option<mpsc::Receiver<String>>,
}

/// Who is asked about the world outside, where that is not for the settings to say.
#[derive(Default)]
struct Outside {
    /// Who verifies messages of Amazon SNS; by the settings if none.
    sns: Option<Arc<SnsVerifier>>,
    /// Who looks up what the DNS says of the domain that mails come from; nobody if none.
    names: Option<Arc<dyn LookUp>>,
}

/// Why the service did not start. Nothing runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database's folder cannot be made.
    #[error("the folder of {path} cannot be made")]
    Folder {
        /// The database.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key is missing or broken.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// JWTs cannot be verified.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operator's certificate authorities cannot be read.
    #[error("egress.extra_ca_file {path} cannot be read: {reason}")]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Webhooks cannot be sent.
    #[error("webhooks cannot be sent: {0}")]
    Channel(String),
    /// Mails cannot be sent.
    #[error(transparent)]
    Mailing(#[from] MailingError),
    /// The files of voice notes have no place.
    #[error(transparent)]
    VoiceFiles(#[from] VoiceFilesError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Service {
    /// Starts the service on the database that the settings name.
    pub async fn start(settings: &Settings) -> Result<Service, StartError> {
        let path = &settings.store.path;
        keyring::make_folder(path).map_err(|source| StartError::Folder { path: path.clone(), source })?;
        let key = keyring::master_key(&settings.store)?;
        let secret = jwt_secret(settings)?;
        let metrics = Arc::new(Metrics::new());
        let counted = metrics.clone();
        let observer: sqlite::Observer = Arc::new(move |jobs, took| counted.committed(jobs, took));
        let (ended, store_ended) = mpsc::channel(1);
        let end_observer: sqlite::EndObserver = Arc::new(move |reason| {
            // It ends once, so there is room.
            let _ = ended.try_send(reason.to_owned());
        });
        let store_settings = sqlite::Settings {
            observer: Some(observer),
            end_observer: Some(end_observer),
            ..sqlite::Settings::default()
        };
        let store = SqliteStore::open(path, &key, store_settings)?;
        let link_key = LinkKey::from_bytes(&key.derived("the addresses of voice notes"));
        let clock = Arc::new(SystemClock);
        let names = SystemResolver::new().map_err(|error| StartError::Channel(error.to_string()))?;
        let outside = Outside { names: Some(Arc::new(names)), ..Outside::default() };
        let service =
            Service::assemble(Arc::new(store), metrics, settings, secret.as_ref(), clock, link_key, outside)
                .await?;
        Ok(Service { store_ended: Some(store_ended), ..service })
    }

    /// Starts the service on a store that is open already, with the secret that JWTs are signed with. Nobody
    /// looks up what the DNS says of the domain that mails come from.
    pub async fn start_on(
        store: Arc<dyn Store>,
        settings: &Settings,
        jwt_secret: Option<&SecretString>,
    ) -> Result<Service, StartError> {
        Service::start_by(Arc::new(SystemClock), store, settings, jwt_secret).await
    }

    /// The same, by another clock than the machine's.
    pub async fn start_by(
        clock: Arc<dyn Clock>,
        store: Arc<dyn Store>,
        settings: &Settings,
        jwt_secret: Option<&SecretString>,
    ) -> Result<Service, StartError> {
        // Without a master key, addresses are good for as long as the process lives.
        let link_key = LinkKey::from_bytes(&RandomIds::default().key());
        let metrics = Arc::new(Metrics::new());
        Service::assemble(store, metrics, settings, jwt_secret, clock, link_key, Outside::default()).await
    }

    /// The same, with a DNS of the caller's for the domain that mails come from.
    pub async fn start_looking_up_by(
        names: Arc<dyn LookUp>,
        store: Arc<dyn Store>,
        settings: &Settings,
        jwt_secret: Option<&SecretString>,
    ) -> Result<Service, StartError> {
        let link_key = LinkKey::from_bytes(&RandomIds::default().key());
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
        let outside = Outside { names: Some(names), ..Outside::default() };
        Service::assemble(store, metrics, settings, jwt_secret, clock, link_key, outside).await
    }

    /// The same, with somebody else to verify messages of Amazon SNS than the settings make.
    pub async fn start_verifying_by(
        sns: Arc<SnsVerifier>,
        store: Arc<dyn Store>,
        settings: &Settings,
        jwt_secret: Option<&SecretString>,
    ) -> Result<Service, StartError> {
        let link_key = LinkKey::from_bytes(&RandomIds::default().key());
        let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
        let outside = Outside { sns: Some(sns), ..Outside::default() };
        Service::assemble(store, metrics, settings, jwt_secret, clock, link_key, outside).await
    }

    async fn assemble(
        store: Arc<dyn Store>,
        metrics: Arc<Metrics>,
        settings: &Settings,
        jwt_secret: Option<&SecretString>,
        clock: Arc<dyn Clock>,
        link_key: LinkKey,
        outside: Outside,
    ) -> Result<Service, StartError> {
        let telemetry = Telemetry::start(&settings.telemetry, &metrics)?;
        let ids = Arc::new(RandomIds::default());
        let sources = Sources { clock, ids, traces: telemetry.traces().clone() };
        let wanted = settings.listen.address;
        let listening = Listener::bind(wanted).await;
        let (socket, address) = listening.map_err(|source| StartError::Listen { address: wanted, source })?;
        let jwt = Arc::new(verifier(&settings.auth, jwt_secret, sources.clock.clone()).await?);
        let extra_roots = extra_roots(&settings.egress)?;
        let mailing = mailing(settings, extra_roots.clone(), sources.clock.clone())?;
        let mailing = Mailing { sns: outside.sns.unwrap_or(mailing.sns), names: outside.names, ..mailing };
        let channel = channel(&settings.egress, address, sources.clock.clone())?;
        let library = library(settings, address, sources.clock.clone())?;
        let Sources { clock, ids, traces } = sources.clone();
        let files = voice_files::files(settings, extra_roots.clone(), clock.clone())?;
        let handles = settings.auth.handles.into();
        let support = settings.support.handle.clone().map(|handle| SupportDesk { handle, handles });
        let parts =
            Parts { store, channel, mailing, library, clock, ids, metrics, traces, files, link_key, support };
        let engine = Arc::new(Box::pin(Engine::start(parts, settings.engine())).await?);
        let authority = Authority::new(jwt, engine.tokens.clone());
        let callers = Callers {
            proxies: Proxies::new(&settings.listen.trusted_proxies),
            rates: RateLimits::new(&settings.rates(), &sources.clock),
            handles,
        };
        let schemes = AppSchemes(settings.inbox.app_schemes.as_slice().into());
        let public_url = PublicUrl::new(settings.listen.public_url.as_deref());
        let limits = settings.request_limits();
        let app = App::new(engine.clone(), authority, limits, callers, sources, schemes, public_url);
        let router = api::router(&app, mcp::hosts(settings, address));
        let listener = Listener::serve(socket, router, settings.listener_limits())
            .map_err(|source| StartError::Listen { address, source })?;
        let grace = Duration::from_secs(settings.listen.drain_seconds);
        Ok(Service { listener, engine, telemetry, grace, store_ended: None })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Waits until the store can no longer write, and says why. Nothing is accepted from then on, and a
    /// drain could not be written: the process is to end, and its successor opens the store anew.
    pub async fn store_ended(&mut self) -> String {
        match &mut self.store_ended {
            Some(ended) => match ended.recv().await {
                Some(reason) => reason,
                None => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Accepts nothing more and starts no attempt, and lets what is under way end.
    pub async fn stop(self) -> Drained {
        let listener = self.listener.stop(self.grace.min(CONNECTIONS_GRACE));
        // What is still accepted meanwhile is on stable storage, and due at the next start.
        let (drained, ()) = tokio::join!(self.engine.drain(self.grace), listener);
        // The spans of the last attempts have ended by now.
        self.telemetry.end(self.grace).await;
        drained
    }
}

/// The secret that JWTs are signed with; one of our own if the settings name no key of any kind.
fn jwt_secret(settings: &Settings) -> Result<Option<SecretString>, KeyError> {
    let configured = keyring::configured_jwt_secret(&settings.auth)?;
    let others = !settings.auth.public_keys.is_empty() || settings.auth.jwks.is_some();
    if configured.is_some() || others {
        return Ok(configured);
    }
    keyring::own_jwt_secret(&settings.store, &RandomIds::default()).map(Some)
}

/// Where attempts may go, by the operator's word.
pub(crate) fn address_policy(settings: &EgressSettings, own_address: SocketAddr) -> AddressPolicy {
    AddressPolicy {
        allow: settings.allow.clone(),
        allow_http: settings.allow_http,
        nat64: settings.nat64,
        own_addresses: vec![own_address],
        own_hosts: settings.own_hosts.iter().map(|host| host.to_lowercase()).collect(),
    }
}

fn channel(
    settings: &EgressSettings,
    own_address: SocketAddr,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Channel>, StartError> {
    let settings = outbound(settings, own_address, clock)?;
    let channel = WebhookChannel::new(settings).map_err(|error| StartError::Channel(error.to_string()))?;
    Ok(Arc::new(channel))
}

/// What reads documents for the context store: with the policy and the certificates of webhooks.
fn library(
    settings: &Settings,
    own_address: SocketAddr,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Library>, StartError> {
    let outbound = outbound(&settings.egress, own_address, clock)?;
    let library = OpenLibrary::new(outbound, settings.context.folders.clone());
    Ok(Arc::new(library.map_err(|error| StartError::Channel(error.to_string()))?))
}

fn outbound(
    settings: &EgressSettings,
    own_address: SocketAddr,
    clock: Arc<dyn Clock>,
) -> Result<webhook::Settings, StartError> {
    let policy = address_policy(settings, own_address);
    let roots = extra_roots(settings)?;
    let origin = settings.webhook_origin.as_ref().or_else(|| settings.own_hosts.first()).cloned();
    let origin = origin.unwrap_or_else(|| webhook::ORIGIN_DEFAULT.to_owned());
    let now = Arc::new(move || clock.now());
    let settings =
        webhook::Settings::new(policy, now).map_err(|error| StartError::Channel(error.to_string()))?;
    Ok(webhook::Settings { extra_roots: roots, origin, ..settings })
}

/// The operator's own certificate authorities.
pub(crate) fn extra_roots(settings: &EgressSettings) -> Result<Vec<CertificateDer<'static>>, StartError> {
    Ok(settings.extra_ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| StartError::Certificates { path: path.to_owned(), reason: error.to_string() })
}

//! Settings: a file, under the environment, under the command line.
//!
//! One struct a component. Every value has its unit in its name and its reason
//! beside it; a key that we do not know is refused with its path.

mod overlay;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use angarium_channels::egress::AllowRule;
use angarium_domain::retention::Retention;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use crate::limits::Limits;
use crate::listener::ListenerLimits;

pub use overlay::{Environment, SettingsError, load};

/// The most events that an operator may allow in one batch: all of them are in memory at once.
pub const BATCH_EVENTS_LIMIT_MAX: usize = 10_000;

/// Everything that can be set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The socket.
    pub listen: ListenSettings,
    /// The memory.
    pub store: StoreSettings,
    /// Whose word is taken.
    pub auth: AuthSettings,
    /// Where attempts may go.
    pub egress: EgressSettings,
    /// How attempts are made.
    pub delivery: DeliverySettings,
    /// How long finished things are kept.
    pub retention: RetentionSettings,
    /// How much a caller may send.
    pub limits: LimitSettings,
    /// The log.
    pub log: LogSettings,
    /// Traces.
    pub telemetry: TelemetrySettings,
}

/// `[listen]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSettings {
    /// Address and port. Loopback unless the operator says otherwise: TLS ends in front of us.
    pub address: SocketAddr,
    /// The most connections at a time; each may hold a body in memory.
    pub connections_max: usize,
    /// How long a request's head may take, and how long a connection may idle.
    pub header_timeout_seconds: u64,
    /// The largest head of a request.
    pub header_bytes_max: usize,
    /// How long a request's body may take.
    pub body_timeout_seconds: u64,
    /// How long a stop waits for requests and attempts under way.
    pub drain_seconds: u64,
}

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// The database. Its folder is made on the first start and also holds the keys that we make.
    pub path: PathBuf,
    /// The master key's text: 64 hex digits or base64 of 32 bytes.
    pub key: Option<Secret>,
    /// A file with the master key's text. Neither this nor `key`: `master.key` beside the
    /// database, made on the first start.
    pub key_file: Option<PathBuf>,
}

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// A secret of 32 bytes or more that JWTs are signed with (HS256).
    pub hs256_secret: Option<Secret>,
    /// A file with such a secret. If no key of any kind is set: `jwt.secret` beside the database,
    /// made on the first start.
    pub hs256_secret_file: Option<PathBuf>,
    /// Public keys of whoever signs JWTs.
    pub public_keys: Vec<PublicKeySettings>,
    /// A JWKS: a file, or an https address that is read again every ten minutes.
    pub jwks: Option<String>,
    /// The only `iss` that is taken, if set.
    pub issuer: Option<String>,
    /// The only `aud` that is taken, if set.
    pub audience: Option<String>,
    /// The claim that maps handles, or `*`, to roles.
    pub roles_claim: String,
    /// How far the issuer's clock may differ from ours; 60 at most.
    pub leeway_seconds: u64,
}

/// One of `auth.public_keys`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeySettings {
    /// A PEM file.
    pub file: PathBuf,
    /// The one algorithm that the key verifies.
    pub algorithm: KeyAlgorithm,
    /// The `kid` that tokens call it by; none if tokens may leave it out.
    pub kid: Option<String>,
}

/// What a public key verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// `[egress]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Networks that are open although they are not public, such as `10.1.0.0/16:8080-8090`.
    #[serde(deserialize_with = "rules")]
    pub allow: Vec<AllowRule>,
    /// Whether plain http may be used towards those networks.
    pub allow_http: bool,
    /// Whether this host reaches IPv4 through NAT64.
    pub nat64: bool,
    /// A PEM file with certificate authorities that are trusted beside the system's.
    pub extra_ca_file: Option<PathBuf>,
    /// The names under which this service is reached from outside: never a webhook's target.
    pub own_hosts: Vec<String>,
    /// The name that receivers are asked under whether they want our deliveries. None: the first of
    /// `own_hosts`, or else `localhost`.
    pub webhook_origin: Option<String>,
}

/// `[delivery]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliverySettings {
    /// Attempts under way at a time; each costs a socket and about 50 KiB.
    pub attempts_in_flight_max: usize,
    /// Attempts under way at a time to one webhook whose owner names no smaller number.
    pub concurrency_per_subscription_max: u32,
    /// How much of a policy's waits is really waited: less than 100 for demonstrations and tests.
    pub retry_waits_percent: u32,
}

/// `[retention]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Delivered and cancelled deliveries, their attempts and their events.
    pub finished_days: u64,
    /// Dead letters that nobody replayed or discarded.
    pub dead_days: u64,
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// The largest body of a request.
    pub body_bytes_max: usize,
    /// The largest payload of an event; receivers are told to expect no more.
    pub payload_bytes_max: usize,
    /// The most events in one batch: they are one commit.
    pub batch_events_max: usize,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// For people or for programs.
    pub format: LogFormat,
    /// A level, or a filter such as `info,angarium::access=warn`.
    pub level: String,
}

/// `[telemetry]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// A collector of OpenTelemetry's, such as `http://127.0.0.1:4318`: spans are sent there by
    /// OTLP over HTTP. None: there are no spans, and they cost nothing.
    pub otlp_endpoint: Option<String>,
    /// Headers for the collector, as `name=value,name=value`.
    pub otlp_headers: Option<Secret>,
    /// How much of the requests is recorded whose callers do not say so themselves, from 0 to 1.
    pub sampling_ratio: f64,
    /// What this service is called in traces.
    pub service_name: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// A text that is not shown.
#[derive(Debug, Clone)]
pub struct Secret(pub SecretString);

impl Default for ListenSettings {
    fn default() -> ListenSettings {
        ListenSettings {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            connections_max: 4096,
            header_timeout_seconds: 10,
            header_bytes_max: 32 * 1024,
            body_timeout_seconds: 30,
            drain_seconds: 30,
        }
    }
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings { path: PathBuf::from("angarium-data/angarium.db"), key: None, key_file: None }
    }
}

impl Default for AuthSettings {
    fn default() -> AuthSettings {
        AuthSettings {
            hs256_secret: None,
            hs256_secret_file: None,
            public_keys: Vec::new(),
            jwks: None,
            issuer: None,
            audience: None,
            roles_claim: "handles".to_owned(),
            leeway_seconds: 60,
        }
    }
}

impl Default for DeliverySettings {
    fn default() -> DeliverySettings {
        let engine = angarium_engine::Settings::default();
        DeliverySettings {
            attempts_in_flight_max: engine.attempts_in_flight_max,
            concurrency_per_subscription_max: engine.concurrency_per_subscription_max,
            retry_waits_percent: engine.retry_waits_percent,
        }
    }
}

impl Default for RetentionSettings {
    fn default() -> RetentionSettings {
        RetentionSettings { finished_days: 30, dead_days: 90 }
    }
}

impl Default for LimitSettings {
    fn default() -> LimitSettings {
        LimitSettings { body_bytes_max: 1024 * 1024, payload_bytes_max: 256 * 1024, batch_events_max: 1000 }
    }
}

impl Default for TelemetrySettings {
    fn default() -> TelemetrySettings {
        TelemetrySettings {
            otlp_endpoint: None,
            otlp_headers: None,
            sampling_ratio: 1.0,
            service_name: "angarium".to_owned(),
        }
    }
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Settings {
    /// What is read of a request.
    pub fn request_limits(&self) -> Limits {
        Limits {
            body_bytes_max: self.limits.body_bytes_max,
            body_timeout: Duration::from_secs(self.listen.body_timeout_seconds),
            payload_bytes_max: self.limits.payload_bytes_max,
            batch_events_max: self.limits.batch_events_max,
        }
    }

    /// What the listener takes.
    pub fn listener_limits(&self) -> ListenerLimits {
        ListenerLimits {
            connections_max: self.listen.connections_max,
            header_timeout: Duration::from_secs(self.listen.header_timeout_seconds),
            header_bytes_max: self.listen.header_bytes_max,
        }
    }

    /// How the engine runs.
    pub fn engine(&self) -> angarium_engine::Settings {
        let days = |days: u64| Duration::from_secs(days.saturating_mul(24 * 3600));
        angarium_engine::Settings {
            attempts_in_flight_max: self.delivery.attempts_in_flight_max,
            concurrency_per_subscription_max: self.delivery.concurrency_per_subscription_max,
            retry_waits_percent: self.delivery.retry_waits_percent,
            retention: Retention {
                finished: days(self.retention.finished_days),
                dead: days(self.retention.dead_days),
            },
            ..angarium_engine::Settings::default()
        }
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), SettingsError> {
        if let Some(origin) = &self.egress.webhook_origin
            && !is_dns_name(origin)
        {
            let reason = format!("is {origin:?}, it must be a DNS name such as events.example.com");
            return Err(SettingsError::Invalid { path: "egress.webhook_origin".to_owned(), reason });
        }
        if let Some(endpoint) = &self.telemetry.otlp_endpoint
            && !is_address(endpoint)
        {
            let reason = format!("is {endpoint:?}, it must be an address such as http://127.0.0.1:4318");
            return Err(SettingsError::Invalid { path: "telemetry.otlp_endpoint".to_owned(), reason });
        }
        let ratio = self.telemetry.sampling_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            let reason = format!("is {ratio}, the limits are 0 and 1");
            return Err(SettingsError::Invalid { path: "telemetry.sampling_ratio".to_owned(), reason });
        }
        within("listen.connections_max", self.listen.connections_max as u64, 1, 1_000_000)?;
        within("listen.header_timeout_seconds", self.listen.header_timeout_seconds, 1, 3600)?;
        within("listen.header_bytes_max", self.listen.header_bytes_max as u64, 1024, 1024 * 1024)?;
        within("listen.body_timeout_seconds", self.listen.body_timeout_seconds, 1, 3600)?;
        within("auth.leeway_seconds", self.auth.leeway_seconds, 0, 60)?;
        within("delivery.attempts_in_flight_max", self.delivery.attempts_in_flight_max as u64, 1, 100_000)?;
        let concurrency = self.delivery.concurrency_per_subscription_max;
        within("delivery.concurrency_per_subscription_max", concurrency.into(), 1, 10_000)?;
        within("delivery.retry_waits_percent", self.delivery.retry_waits_percent.into(), 1, 100)?;
        within("retention.finished_days", self.retention.finished_days, 1, 36_500)?;
        within("retention.dead_days", self.retention.dead_days, 1, 36_500)?;
        within("limits.body_bytes_max", self.limits.body_bytes_max as u64, 1024, 64 * 1024 * 1024)?;
        within("limits.payload_bytes_max", self.limits.payload_bytes_max as u64, 1024, 1024 * 1024)?;
        within(
            "limits.batch_events_max",
            self.limits.batch_events_max as u64,
            1,
            BATCH_EVENTS_LIMIT_MAX as u64,
        )
    }
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Whether it names a scheme and a host, and neither a person nor a query.
fn is_address(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_bare = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        is_known && is_bare && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    })
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), SettingsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let reason = format!("is {value}, the limits are {least} and {most}");
    Err(SettingsError::Invalid { path: key.to_owned(), reason })
}

/// A list of rules, or one text with commas between them, as a variable has it.
fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AllowRule>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of rules such as [\"10.1.0.0/16:443\"]")]
    enum Rules {
        List(Vec<String>),
        Text(String),
    }
    let texts = match Rules::deserialize(deserializer)? {
        Rules::List(texts) => texts,
        Rules::Text(text) => text.split(',').map(|rule| rule.trim().to_owned()).collect(),
    };
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        Ok(Secret(String::deserialize(deserializer)?.into()))
    }
}

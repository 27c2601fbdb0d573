//! Settings: a file, under the environment, under the command line.
//!
//! One table says what there is: each setting with its type, its default, its limits and its meaning.
//! The structs, the checks and the page `docs/settings.md` are made from it (decisions/0027). Every
//! value has its unit in its name; a key that we do not know is refused with the nearest that we do.

mod effect;
mod overlay;
mod page;
mod table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use angarium_channels::egress::AllowRule;
use angarium_domain::account;
use angarium_domain::chain::Room;
use angarium_domain::handle::Handle;
use angarium_domain::inbox::AppScheme;
use angarium_domain::retention::Retention;
use angarium_domain::sns::TopicArn;
use angarium_domain::voice_note::Quota;
use angarium_engine::VoiceNoteLimits;
use angarium_engine::inbox_live::StreamLimits;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use crate::keyring;
use crate::limits::Limits;
use crate::listener::ListenerLimits;
use crate::peer::Proxies;
use crate::rate::{Rate, Rates};

pub(crate) use effect::{Effect, effects};
use overlay::PREFIX;
pub use overlay::{Environment, SettingsError, load};
pub use page::page;
use table::{Shape, sections};

/// The most events that an operator may allow in one batch: all of them are in memory at once.
pub const BATCH_EVENTS_LIMIT_MAX: usize = 10_000;
/// This machine: where TLS mostly ends in front of us.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// The folder of voice notes, if no other is set.
const VOICE_NOTES_FOLDER: &str = "voice-notes";
/// A rate beyond this is no limit; 0 says so better.
const RATE_MAX: u32 = 10_000_000;

const DNS_NAME: Shape = Shape { words: "a DNS name such as events.example.com", fits: is_dns_name };
const REGION: Shape = Shape { words: "a region such as eu-central-1", fits: is_region };
const BUCKET: Shape = Shape { words: "the name of a bucket such as voice-notes", fits: is_bucket };
const ADDRESS: Shape = Shape { words: "an address such as http://127.0.0.1:4318", fits: is_address };

sections! {
    /// The socket.
    /// TLS ends in front of it, and `/metrics`, `/healthz` and `/readyz` need no credential: no proxy should show them to the world.
    [listen] ListenSettings {
        /// Address and port; also the flag `--listen` of `serve`.
        address: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
        /// Connections at a time, each of which may hold a body in memory; more are closed at once.
        connections_max: usize = 4096, within 1..=1_000_000;
        /// Connections at a time of one address that is not a trusted proxy's; an IPv6 address counts as its network of 64 bits.
        connections_per_address_max: usize = 256, within 1..=1_000_000;
        /// How long the head of a request may take, and how long a connection may idle.
        header_timeout_seconds: u64 = 10, within 1..=3600;
        /// The largest head of a request.
        header_bytes_max: usize = 32 * 1024, within 1024..=1024 * 1024;
        /// How long the body of a request may take.
        body_timeout_seconds: u64 = 30, within 1..=3600;
        /// How long a peer may take nothing of an answer that it asked for, before its connection is closed.
        write_timeout_seconds: u64 = 30, within 1..=3600;
        /// How long a stop waits for requests and attempts under way.
        drain_seconds: u64 = 30, within 0..=3600;
        /// The address under which callers reach this service from outside, such as `https://events.example.com`.
        /// None: addresses that are given out, as for the files of voice notes, begin with the path, and no mails can be sent, because they hold links.
        public_url: Option<String> = None, being ADDRESS;
        /// Networks of proxies whose `x-forwarded-for` says who asks; everybody else is the address that connects.
        #[serde(deserialize_with = "networks")]
        trusted_proxies: Vec<IpNet> = loopback();
    }

    /// The store, and the master key that its secrets are sealed with.
    [store] StoreSettings {
        /// The database; also the flag `--store`.
        /// Its folder is made on the first start and also holds the keys that we make.
        path: PathBuf = PathBuf::from("angarium-data/angarium.db");
        /// The master key: 64 hex digits, or base64 of 32 bytes.
        key: Option<Secret> = None;
        /// A file with such a text.
        /// Without this and `key`: `master.key` beside the database, made on the first start.
        key_file: Option<PathBuf> = None;
    }

    /// Whose word is taken.
    /// Each key verifies one algorithm, whatever a token says about itself; `exp` is required.
    [auth] AuthSettings {
        /// A shared secret of 32 bytes or more that JWTs are signed with (HS256).
        hs256_secret: Option<Secret> = None;
        /// A file with such a secret.
        /// If no key of any kind is set: `jwt.secret` beside the database, made on the first start.
        hs256_secret_file: Option<PathBuf> = None;
        /// Public keys of whoever signs JWTs, each `{ file, algorithm, kid }`: a PEM file; `RS256`, `ES256` or `EdDSA`; and the name that tokens call it by, which may be left out.
        public_keys: Vec<PublicKeySettings> = Vec::new();
        /// A JWKS: a file, or an https address, read again every ten minutes and, at most once a minute, when a token names a key that is not known.
        jwks: Option<String> = None;
        /// The only `iss` that is taken, if set.
        issuer: Option<String> = None;
        /// The only `aud` that is taken, if set.
        audience: Option<String> = None;
        /// The claim that maps handles, or `*`, to `CREATOR`, `OPERATOR` or `OWNER`.
        roles_claim: String = "handles".to_owned();
        /// How far the issuer's clock may differ from ours.
        leeway_seconds: u64 = 60, within 0..=60;
        /// The claim that, if it is `true`, makes of a person a platform admin, who looks after handles.
        platform_admin_claim: String = "platform_admin".to_owned();
        /// Whether a handle exists because a credential names it, or only if a platform admin made it.
        handles: HandlesRule = HandlesRule::Credentials;
    }

    /// Where attempts may go.
    /// The defaults allow https to the public internet and nothing else; [0012](../decisions/0012-egress.md) has the whole rule.
    [egress] EgressSettings {
        /// Networks that attempts may go to although they are not public: `network:ports`, such as `10.1.0.0/16:8080-8090` or `127.0.0.1:*`.
        #[serde(deserialize_with = "rules")]
        allow: Vec<AllowRule> = Vec::new();
        /// Whether plain http may be used, and then only towards those networks.
        allow_http: bool = false;
        /// Whether this host reaches IPv4 through NAT64.
        nat64: bool = false;
        /// A PEM file with certificate authorities that are trusted beside the system's.
        extra_ca_file: Option<PathBuf> = None;
        /// The names under which this service is reached from outside: never a webhook's target.
        #[serde(deserialize_with = "listed")]
        own_hosts: Vec<String> = Vec::new();
        /// The name that receivers are asked under whether they want our deliveries (`verification: cloudevents`).
        /// None: the first of `own_hosts`, or else `localhost`.
        webhook_origin: Option<String> = None, being DNS_NAME;
    }

    /// Where documents of the context store may come from, besides public addresses.
    [context] ContextSettings {
        /// A folder that holds a folder for each handle, by the handle's name, whose documents its sources may be.
        /// None: no source may be a folder.
        folders: Option<PathBuf> = None;
        /// How many bytes of text the sources of a handle may have together; on disk they take about twice as much, with their index.
        bytes_per_handle_max: u64 = of_the_engine().context_bytes_per_handle_max, within 0..=1_u64 << 40;
    }

    /// How attempts are made.
    [delivery] DeliverySettings {
        /// Attempts under way at a time, over all subscriptions; each costs a socket and about 50 KiB.
        attempts_in_flight_max: usize = of_the_engine().attempts_in_flight_max, within 1..=100_000;
        /// Attempts under way at a time to one webhook whose owner names no smaller number.
        concurrency_per_subscription_max: u32 = of_the_engine().concurrency_per_subscription_max, within 1..=10_000;
        /// How much of a policy's waits is really waited: less than 100 for demonstrations and tests.
        retry_waits_percent: u32 = of_the_engine().retry_waits_percent, within 1..=100;
    }

    /// How mails are sent: to those who subscribed by e-mail, and to owners.
    /// [email.md](email.md) tells what else is needed, DNS above all.
    [email] EmailSettings {
        /// How mails leave: not at all, to a mail server, through Amazon SES (see `[ses]`), or as files into a folder.
        transport: EmailTransport = EmailTransport::None;
        /// Whom mails are from, such as `Angarium <events@example.com>`.
        /// Needed to send mails.
        from: Option<String> = None;
        /// The mail server's name, which its certificate must be for.
        host: Option<String> = None;
        /// Its port.
        port: u32 = 587, within 1..=65_535;
        /// How the way there is encrypted; `none` only to this machine.
        encryption: EmailEncryption = EmailEncryption::Starttls;
        /// The user name, if the server asks for one.
        user: Option<String> = None;
        /// The password that belongs to it.
        password: Option<Secret> = None;
        /// A file with the password.
        password_file: Option<PathBuf> = None;
        /// Connections to the mail server, or to Amazon SES, at a time.
        connections_max: usize = 4, within 1..=100;
        /// What the SPF record of the domain of `from` must include, such as `_spf.example.net`; `angarium doctor` looks.
        spf_include: Option<String> = None, being DNS_NAME;
        /// The selectors of the DKIM keys that the mail server signs with; `angarium doctor` looks for the keys.
        #[serde(deserialize_with = "listed")]
        dkim_selectors: Vec<String> = Vec::new();
        /// The folder that mails are written to as `.eml` files, for the transport `folder`.
        folder: Option<PathBuf> = None;
    }

    /// Amazon SES, for `email.transport = "ses"`, and what it tells of mails by SNS.
    /// Without keys, credentials are found as the tools of AWS find them: `AWS_…` variables, the shared files, web identity, the role of the container or the machine.
    [ses] SesSettings {
        /// The region, such as `eu-central-1`.
        /// Needed to send mails.
        region: Option<String> = None, being REGION;
        /// Another address than `https://email.<region>.amazonaws.com`, such as one in a private network.
        endpoint: Option<String> = None, being ADDRESS;
        /// The id of an access key.
        access_key_id: Option<String> = None;
        /// The secret that belongs to it.
        secret_access_key: Option<Secret> = None;
        /// A file with the secret.
        secret_access_key_file: Option<PathBuf> = None;
        /// The configuration set whose events go to one of `topics`.
        /// Without it, nothing is learnt of bounces and complaints.
        configuration_set: Option<String> = None;
        /// The topics whose messages are taken at `/v2/public/providers/sns`, such as `arn:aws:sns:eu-central-1:123456789012:bounces`.
        #[serde(deserialize_with = "topics")]
        topics: Vec<TopicArn> = Vec::new();
        /// The three tokens of Easy DKIM that SES shows for the domain; `angarium doctor` looks their records up.
        #[serde(deserialize_with = "listed")]
        dkim_tokens: Vec<String> = Vec::new();
        /// The custom MAIL FROM domain, if SES was given one.
        mail_from_domain: Option<String> = None, being DNS_NAME;
    }

    /// How long finished things are kept.
    /// Nothing unfinished is ever forgotten.
    /// Forgotten rows leave pages that are used again; the file does not shrink.
    [retention] RetentionSettings {
        /// Delivered, cancelled, replayed and discarded deliveries, their attempts, and events with no delivery left.
        finished_days: u64 = 30, within 1..=36_500;
        /// Dead letters that nobody replayed or discarded; never shorter than `finished_days`.
        dead_days: u64 = 90, within 1..=36_500;
        /// Items of inboxes, read or not.
        inbox_days: u64 = 90, within 1..=36_500;
        /// Signals of sessions, each by its own age; a session goes with the last of its signals.
        signal_days: u64 = 30, within 1..=3_650;
        /// Reports of users, operators and strangers.
        reports_days: u64 = 365, within 1..=36_500;
        /// Reports of strangers, of which the newest 5,000 are kept; never longer than `reports_days`.
        strangers_reports_days: u64 = 30, within 1..=36_500;
    }

    /// Reports to whoever runs the service; [docs/support.md](support.md) tells of them.
    [support] SupportSettings {
        /// A handle of your own, which is told of reports: by the event `support.report.received`, by mail to its owner default address, or in its inbox.
        /// None: reports are only listed.
        handle: Option<Handle> = None;
    }

    /// Inboxes; [docs/inbox.md](inbox.md) is their manual.
    [inbox] InboxSettings {
        /// Schemes of your apps, such as `acme-app`, that an item may lead into beside `https`.
        #[serde(deserialize_with = "schemes")]
        app_schemes: Vec<AppScheme> = Vec::new();
        /// How many items one inbox keeps; beyond it the oldest go, within a minute.
        items_max: u64 = of_the_engine().retention.inbox_items_max, within 1..=10_000_000;
        /// How many of `listen.connections_max` may be streams of inboxes: each is a connection for as long as it is open, and the rest is for everything else.
        streams_percent: u32 = 50, within 1..=90;
        /// Streams at a time of one handle's inbox.
        streams_per_handle_max: usize = of_the_engine().inbox_streams.per_handle_max, within 1..=1_000_000;
    }

    /// Chains, whose public routes anybody may use; [docs/chain.md](chain.md) is their manual.
    [chain] ChainSettings {
        /// How many sessions with a signal a handle may have at a time; beyond it new sessions are refused with 429.
        sessions_per_handle_max: u64 = of_the_engine().chain_room.sessions_max, within 0..=1_u64 << 40;
        /// How many bytes the signals of a handle and the decisions whose rules rest may have together, 64 for each included; beyond it they are refused with 429.
        bytes_per_handle_max: u64 = of_the_engine().chain_room.bytes_max, within 0..=1_u64 << 50;
    }

    /// Voice notes, and where their files are; [voice-notes.md](voice-notes.md) tells of them.
    [voice] VoiceSettings {
        /// Where the files are: in a folder, or in a bucket of an S3-compatible store (see `[s3]`), which senders and readers reach by themselves.
        store: VoiceStore = VoiceStore::Folder;
        /// The folder of the files, on a disk of this machine.
        /// None: `voice-notes` beside the database.
        path: Option<PathBuf> = None;
        /// The largest file; two of them may be in memory at a time.
        bytes_max: u64 = of_the_engine().voice_notes.bytes_max, within 1024..=256 * 1024 * 1024;
        /// How many notes a handle may keep, those counted that may still be uploaded.
        per_handle_max: u64 = of_the_engine().voice_notes.quota.notes_max, within 0..=100_000;
        /// How many bytes the notes of a handle may have together.
        bytes_per_handle_max: u64 = of_the_engine().voice_notes.quota.bytes_max, within 0..=1_u64 << 50;
    }

    /// A bucket of Amazon S3 or of a store that speaks its language, for `voice.store = "s3"`.
    /// Without keys, credentials are found as the tools of AWS find them: `AWS_…` variables, the shared files, web identity, the role of the container or the machine.
    [s3] S3Settings {
        /// The name of the bucket, which must be there.
        bucket: Option<String> = None, being BUCKET;
        /// The region, such as `eu-central-1`; a store of your own usually takes `us-east-1`.
        region: Option<String> = None, being REGION;
        /// Another address than Amazon's, such as `https://minio.example.com`; senders and readers must reach it, too.
        endpoint: Option<String> = None, being ADDRESS;
        /// What the names of all objects begin with, such as `angarium/`.
        /// Two services must not share it.
        prefix: String = String::new();
        /// The id of an access key.
        access_key_id: Option<String> = None;
        /// The secret that belongs to it.
        secret_access_key: Option<Secret> = None;
        /// A file with the secret.
        secret_access_key_file: Option<PathBuf> = None;
    }

    /// How much a caller may send, and how often.
    /// A rate of 0 is no limit; a burst of 0 is as many as the minute (for v1, the hour) has.
    /// A credential is counted on each handle for itself, and an IPv6 address as its network of 64 bits.
    /// Behind a proxy, refused credentials and requests without one are counted against the last address in `x-forwarded-for` that is not a proxy's; if the proxy names none, they are not counted.
    /// Rates are kept in memory: a restart fills every bucket. [0019](../decisions/0019-limits-and-quotas.md) has the reasons.
    /// Fixed in the code: 50 subscriptions, 100 tokens and 100 API keys a handle, 100 event patterns a subscription, 20 attempts and 7 days for a policy of one's own.
    [limits] LimitSettings {
        /// The largest body of a request.
        body_bytes_max: usize = 1024 * 1024, within 1024..=64 * 1024 * 1024;
        /// The largest payload of an event; receivers are told to expect no more.
        payload_bytes_max: usize = 256 * 1024, within 1024..=1024 * 1024;
        /// The most events in one batch: they are one commit.
        batch_events_max: usize = 1000, within 1..=BATCH_EVENTS_LIMIT_MAX;
        /// How often one credential may read.
        reads_per_minute: u32 = 6000, within 0..=RATE_MAX;
        /// How many reads may come at once after a silence.
        reads_burst: u32 = 0, within 0..=RATE_MAX;
        /// How often one credential may change something.
        writes_per_minute: u32 = 600, within 0..=RATE_MAX;
        /// How many changes may come at once after a silence.
        writes_burst: u32 = 0, within 0..=RATE_MAX;
        /// How often one credential may publish, one event or a batch.
        /// No limit, since the store refuses with 503 what it cannot take.
        publishes_per_minute: u32 = 0, within 0..=RATE_MAX;
        /// How many publications may come at once after a silence.
        publishes_burst: u32 = 0, within 0..=RATE_MAX;
        /// How often one key of the v1 API may ask anything, in an hour.
        v1_per_hour: u32 = 1000, within 0..=RATE_MAX;
        /// How many requests of a key may come at once after a silence.
        v1_burst: u32 = 0, within 0..=RATE_MAX;
        /// How often one address may ask what needs no credential, such as the public routes of chains.
        public_per_minute: u32 = 120, within 0..=RATE_MAX;
        /// How many such requests may come at once after a silence.
        public_burst: u32 = 0, within 0..=RATE_MAX;
        /// How often one address may report something without a credential.
        reports_per_minute: u32 = 5, within 0..=RATE_MAX;
        /// How many such reports may come at once after a silence.
        reports_burst: u32 = 10, within 0..=RATE_MAX;
        /// How many signals one session takes.
        signals_per_minute: u32 = 60, within 0..=RATE_MAX;
        /// How many signals of one session may come at once after a silence.
        signals_burst: u32 = 0, within 0..=RATE_MAX;
        /// How often one address may show a credential that is refused; beyond it none of its requests is looked at.
        refused_credentials_per_minute: u32 = 60, within 0..=RATE_MAX;
        /// How many refused credentials may come at once.
        refused_credentials_burst: u32 = 0, within 0..=RATE_MAX;
    }

    /// The log, on standard error.
    /// It holds no tokens, bodies, payloads or queries of endpoints.
    [log] LogSettings {
        /// For people or for programs.
        format: LogFormat = LogFormat::Text;
        /// A level, or a filter such as `info,angarium::access=warn`, which drops the line for each request.
        level: String = "info".to_owned();
    }

    /// Traces; what there is to see in them is told in [operators.md](operators.md#traces).
    [telemetry] TelemetrySettings {
        /// A collector of OpenTelemetry's: spans are sent there, to `/v1/traces`, by OTLP over HTTP.
        /// None: there are no spans, and they cost nothing.
        otlp_endpoint: Option<String> = None, being ADDRESS;
        /// Headers for the collector, as `name=value,name=value`.
        otlp_headers: Option<Secret> = None;
        /// How much of the requests is recorded whose callers do not say so themselves.
        sampling_ratio: f64 = 1.0, within 0.0..=1.0;
        /// What this service is called in traces.
        service_name: String = "angarium".to_owned();
    }
}

/// Where the files of voice notes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VoiceStore {
    /// In a folder on a disk of this machine.
    Folder,
    /// In a bucket.
    S3,
}

impl VoiceStore {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            VoiceStore::Folder => "folder",
            VoiceStore::S3 => "s3",
        }
    }
}

/// How mails leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailTransport {
    /// Not at all.
    None,
    /// To a mail server.
    Smtp,
    /// Through Amazon SES.
    Ses,
    /// As files.
    Folder,
}

impl EmailTransport {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EmailTransport::None => "none",
            EmailTransport::Smtp => "smtp",
            EmailTransport::Ses => "ses",
            EmailTransport::Folder => "folder",
        }
    }
}

/// How the way to the mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmailEncryption {
    /// STARTTLS, or nothing is sent.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// None.
    None,
}

impl EmailEncryption {
    fn as_str(self) -> &'static str {
        match self {
            EmailEncryption::Starttls => "starttls",
            EmailEncryption::Implicit => "implicit",
            EmailEncryption::None => "none",
        }
    }
}

/// How handles come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandlesRule {
    /// A valid credential names them.
    Credentials,
    /// A platform admin declares them.
    Declared,
}

impl HandlesRule {
    fn as_str(self) -> &'static str {
        match self {
            HandlesRule::Credentials => "credentials",
            HandlesRule::Declared => "declared",
        }
    }
}

impl From<HandlesRule> for account::Handles {
    fn from(rule: HandlesRule) -> account::Handles {
        match rule {
            HandlesRule::Credentials => account::Handles::ByCredentials,
            HandlesRule::Declared => account::Handles::Declared,
        }
    }
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

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LogFormat {
    fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// A text that is not shown.
#[derive(Debug, Clone)]
pub struct Secret(pub SecretString);

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

    /// How often callers may ask.
    pub fn rates(&self) -> Rates {
        let limits = &self.limits;
        Rates {
            read: Rate::per_minute(limits.reads_per_minute, limits.reads_burst),
            write: Rate::per_minute(limits.writes_per_minute, limits.writes_burst),
            publish: Rate::per_minute(limits.publishes_per_minute, limits.publishes_burst),
            v1: Rate::per_hour(limits.v1_per_hour, limits.v1_burst),
            reports: Rate::per_minute(limits.reports_per_minute, limits.reports_burst),
            signals: Rate::per_minute(limits.signals_per_minute, limits.signals_burst),
            public: Rate::per_minute(limits.public_per_minute, limits.public_burst),
            unauthenticated: Rate::per_minute(
                limits.refused_credentials_per_minute,
                limits.refused_credentials_burst,
            ),
        }
    }

    /// What the listener takes.
    pub fn listener_limits(&self) -> ListenerLimits {
        ListenerLimits {
            connections_max: self.listen.connections_max,
            connections_per_address_max: self.listen.connections_per_address_max,
            proxies: Proxies::new(&self.listen.trusted_proxies),
            write_timeout: Duration::from_secs(self.listen.write_timeout_seconds),
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
            context_bytes_per_handle_max: self.context.bytes_per_handle_max,
            retention: Retention {
                finished: days(self.retention.finished_days),
                dead: days(self.retention.dead_days),
                inbox: days(self.retention.inbox_days),
                inbox_items_max: self.inbox.items_max,
                signals: days(self.retention.signal_days),
                reports: days(self.retention.reports_days),
                strangers_reports: days(self.retention.strangers_reports_days),
            },
            voice_notes: VoiceNoteLimits {
                bytes_max: self.voice.bytes_max,
                quota: Quota {
                    notes_max: self.voice.per_handle_max,
                    bytes_max: self.voice.bytes_per_handle_max,
                },
            },
            chain_room: Room {
                sessions_max: self.chain.sessions_per_handle_max,
                bytes_max: self.chain.bytes_per_handle_max,
            },
            inbox_streams: StreamLimits {
                all_max: self.streams_max(),
                per_handle_max: self.inbox.streams_per_handle_max,
            },
            ..angarium_engine::Settings::default()
        }
    }

    /// How many streams of inboxes there may be: some connections are always left for others.
    fn streams_max(&self) -> usize {
        (self.listen.connections_max * self.inbox.streams_percent as usize / 100).max(1)
    }

    /// The folder that the files of voice notes are in, unless they are in a bucket.
    pub(crate) fn voice_folder(&self) -> PathBuf {
        let beside = || keyring::beside(&self.store.path, VOICE_NOTES_FOLDER);
        self.voice.path.clone().unwrap_or_else(beside)
    }

    /// What the types cannot say.
    fn check(&self) -> Result<(), SettingsError> {
        let settings = Settings::table().into_iter().flat_map(|section| section.settings);
        let faults = settings.filter_map(|setting| Some((setting.name(), (setting.fault)(self)?)));
        match faults.map(|(path, reason)| SettingsError::Invalid { path, reason }).next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn of_the_engine() -> angarium_engine::Settings {
    angarium_engine::Settings::default()
}

fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (3..=32).contains(&text.len()) && text.bytes().all(plain)
}

fn is_bucket(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (3..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether it names a scheme and a host, and neither a person nor a query.
fn is_address(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_bare = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        is_known && is_bare && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    })
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AllowRule>, D::Error> {
    let texts = listed(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn schemes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<AppScheme>, D::Error> {
    let texts = listed(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn topics<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TopicArn>, D::Error> {
    let texts = listed(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = listed(deserializer)?;
    let network = |text: &String| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.or_else(|_| text.parse()).map_err(|_| format!("{text:?} is no network such as 10.1.0.0/16"))
    };
    texts.iter().map(|text| network(text).map_err(serde::de::Error::custom)).collect()
}

fn loopback() -> Vec<IpNet> {
    LOOPBACK.map(|network| network.parse().expect("a network")).into()
}

/// A list of texts, or one text with commas between them, as a variable has it.
fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of texts, or one text with commas between them")]
    enum Texts {
        List(Vec<String>),
        Text(String),
    }
    match Texts::deserialize(deserializer)? {
        Texts::List(texts) => Ok(texts),
        // It spells a list in TOML, which is for the overlay to read.
        Texts::Text(text) if text.starts_with('[') => Err(serde::de::Error::custom("a list within a text")),
        // An empty variable names none.
        Texts::Text(text) => {
            Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        Ok(Secret(String::deserialize(deserializer)?.into()))
    }
}

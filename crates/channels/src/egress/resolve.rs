//! From names to addresses, with nothing of the host's own search rules in between.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};

/// The most addresses that a name may have. Beyond it the answer is an attack or a mistake.
pub const ADDRESSES_MAX: usize = 32;
/// The most aliases between a name and its addresses.
pub const ALIASES_MAX: usize = 8;

/// One question to one name server; there is time for a second one within the deadline of a lookup.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(1_400);
/// An answer is asked for again after this time, whatever its owner says: receivers move.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(300);
/// A refusal is asked for again after this time: a name is often registered after its subscription.
const REFUSAL_AGE_MAX: Duration = Duration::from_secs(5);
/// How many answers are remembered.
const ANSWERS_KEPT: u64 = 8_192;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of a fully qualified name, IPv4 and IPv6, at most [`ADDRESSES_MAX`].
    ///
    /// The caller sets the deadline, and judges what comes back.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError>;
}

/// Why a name has no address now. Asking again later may help in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name or its addresses do not exist.
    #[error("the host does not resolve to an address")]
    NoAddress,
    /// The name servers do not answer, or say that they cannot.
    #[error("the name servers of the host gave no answer")]
    NoAnswer,
    /// The deadline passed.
    #[error("the host was not resolved in time")]
    TimedOut,
    /// More than [`ADDRESSES_MAX`].
    #[error("the host resolves to {found} addresses, the limit is {ADDRESSES_MAX}")]
    TooManyAddresses {
        /// How many came.
        found: usize,
    },
    /// More than [`ALIASES_MAX`] from the name to its addresses.
    #[error("the host has more than {ALIASES_MAX} aliases")]
    TooManyAliases,
}

/// The host's settings for name servers cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the settings of the name servers cannot be read")]
pub struct NoResolver(#[source] NetError);

/// Asks the name servers that the host is set to. Reads no hosts file and tries no search domains: both
/// would make inner names out of outer ones.
pub struct SystemResolver {
    inner: TokioResolver,
}

impl SystemResolver {
    /// Reads the host's settings. They are not read again.
    pub fn new() -> Result<SystemResolver, NoResolver> {
        let (settings, _) = read_system_conf().map_err(|error| NoResolver(error.into()))?;
        let (_, _, servers) = settings.into_parts();
        SystemResolver::asking(ResolverConfig::from_parts(None, Vec::new(), servers))
    }

    fn asking(servers: ResolverConfig) -> Result<SystemResolver, NoResolver> {
        let inner = Resolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options())
            .build()
            .map_err(NoResolver)?;
        Ok(SystemResolver { inner })
    }
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    // Both families at once: an inner address must not hide in the one that was not asked for.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Aliases are kept so that they can be counted.
    options.preserve_intermediates = true;
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 1;
    options.cache_size = ANSWERS_KEPT;
    options.positive_max_ttl = Some(ANSWER_AGE_MAX);
    options.negative_max_ttl = Some(REFUSAL_AGE_MAX);
    options
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        // The final dot says that the name is complete.
        let found = self.inner.lookup_ip(format!("{name}.")).await.map_err(|error| failure(&error))?;
        bounded(&found)
    }
}

fn failure(error: &NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::TimedOut,
        _ if error.is_nx_domain() || error.is_no_records_found() => ResolveError::NoAddress,
        _ => ResolveError::NoAnswer,
    }
}

fn bounded(found: &LookupIp) -> Result<Vec<IpAddr>, ResolveError> {
    let records = found.as_lookup().answers();
    let aliases = records.iter().filter(|record| record.record_type() == RecordType::CNAME).count();
    // The chain is there twice, once for each family.
    if aliases > 2 * ALIASES_MAX {
        return Err(ResolveError::TooManyAliases);
    }
    let addresses: Vec<IpAddr> = found.iter().take(ADDRESSES_MAX + 1).collect();
    match addresses.len() {
        0 => Err(ResolveError::NoAddress),
        1..=ADDRESSES_MAX => Ok(addresses),
        _ => Err(ResolveError::TooManyAddresses { found: found.iter().count() }),
    }
}

//! From names to addresses, with nothing of the host's own search rules in between.

use std::net::IpAddr;
use std::time::Duration;

use angarium_domain::sender_domain;
use async_trait::async_trait;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Resolver, TokioResolver};

/// The most addresses that a name may have. Beyond it the answer is an attack or a mistake.
pub const ADDRESSES_MAX: usize = 32;
/// The most aliases between a name and its addresses.
pub const ALIASES_MAX: usize = 8;

/// One question to one name server; there is time for a second one within the deadline of a lookup.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(1_400);
/// An answer is asked for again after this time, whatever its owner says: receivers move.
const ANSWER_AGE_MAX: Duration = Duration::from_mins(5);
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

/// Finds what else the DNS says of a name.
#[async_trait]
pub trait LookUp: Send + Sync {
    /// The records of a fully qualified name that are of this kind, as text: the parts of a text are
    /// joined, names are without a final dot, a mail server has its preference before it. At most
    /// [`ADDRESSES_MAX`]; that there is none is [`ResolveError::NoAddress`].
    ///
    /// The caller sets the deadline.
    async fn look_up(
        &self,
        name: &str,
        record_type: sender_domain::RecordType,
    ) -> Result<Vec<String>, ResolveError>;
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
pub struct NoResolver(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Asks the name servers that the host is set to. Reads no hosts file and tries no search domains: both
/// would make inner names out of outer ones.
pub struct SystemResolver {
    inner: TokioResolver,
}

impl SystemResolver {
    /// Reads the host's settings. They are not read again.
    pub fn new() -> Result<SystemResolver, NoResolver> {
        let (settings, _) = read_system_conf().map_err(|error| NoResolver(Box::new(error)))?;
        let (_, _, servers) = settings.into_parts();
        SystemResolver::asking(ResolverConfig::from_parts(None, Vec::new(), servers))
    }

    fn asking(servers: ResolverConfig) -> Result<SystemResolver, NoResolver> {
        let inner = Resolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options())
            .build()
            .map_err(|error| NoResolver(Box::new(error)))?;
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

#[async_trait]
impl LookUp for SystemResolver {
    async fn look_up(
        &self,
        name: &str,
        record_type: sender_domain::RecordType,
    ) -> Result<Vec<String>, ResolveError> {
        let wanted = match record_type {
            sender_domain::RecordType::Txt => RecordType::TXT,
            sender_domain::RecordType::Cname => RecordType::CNAME,
            sender_domain::RecordType::Mx => RecordType::MX,
        };
        let found = self.inner.lookup(format!("{name}."), wanted).await.map_err(|error| failure(&error))?;
        let records = found.answers().iter().filter(|record| record.record_type() == wanted);
        let values: Vec<String> =
            records.take(ADDRESSES_MAX).filter_map(|record| text_of(&record.data)).collect();
        if values.is_empty() { Err(ResolveError::NoAddress) } else { Ok(values) }
    }
}

fn text_of(data: &RData) -> Option<String> {
    let bare = |name: &Name| name.to_ascii().trim_end_matches('.').to_owned();
    match data {
        RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
        RData::CNAME(alias) => Some(bare(&alias.0)),
        RData::MX(server) => Some(format!("{} {}", server.preference, bare(&server.exchange))),
        _ => None,
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hickory_resolver::config::NameServerConfig;
    use hickory_resolver::proto::op::{Message, Query, ResponseCode};
    use hickory_resolver::proto::rr::{Record, rdata};
    use tokio::net::UdpSocket;
    use tokio::task::JoinSet;

    use super::*;

    /// What a name server says to a question.
    type Script = fn(&Query) -> Answer;

    enum Answer {
        Records(Vec<Record>),
        Error(ResponseCode),
        Silence,
    }

    /// Resolves a name by a name server that follows a script.
    async fn resolve(script: Script) -> Result<Vec<IpAddr>, ResolveError> {
        let (resolver, _serving) = asking_a_server_with(script).await;
        resolver.resolve("hooks.example.com").await
    }

    /// A resolver, and the name server that it asks.
    async fn asking_a_server_with(script: Script) -> (SystemResolver, JoinSet<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a loopback port");
        let mut server = NameServerConfig::udp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        server.connections[0].port = socket.local_addr().expect("it is bound").port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut bytes = [0; 1024];
            while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
                let question = Message::from_vec(&bytes[..length]).expect("a question");
                if let Some(answer) = answer(&question, script) {
                    socket.send_to(&answer, from).await.expect("an answer goes out");
                }
            }
        });
        let resolver = SystemResolver::asking(ResolverConfig::from_parts(None, Vec::new(), vec![server]));
        (resolver.expect("one server"), serving)
    }

    fn answer(question: &Message, script: Script) -> Option<Vec<u8>> {
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.add_query(question.queries[0].clone());
        match script(&question.queries[0]) {
            Answer::Records(records) => answer.add_answers(records),
            Answer::Error(code) => {
                answer.metadata.response_code = code;
                &mut answer
            }
            Answer::Silence => return None,
        };
        Some(answer.to_vec().expect("a message"))
    }

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn address(owner: &Name, ip: IpAddr) -> Record {
        Record::from_rdata(owner.clone(), 60, RData::from(ip))
    }

    fn alias(from: &str, to: &str) -> Record {
        Record::from_rdata(name(from), 60, RData::CNAME(rdata::CNAME(name(to))))
    }

    /// An address of the family that is asked for.
    fn of_family(question: &Query, last: u8) -> IpAddr {
        match question.query_type() {
            RecordType::AAAA => IpAddr::V6(Ipv6Addr::new(0x2606, 0, 0, 0, 0, 0, 0, last.into())),
            _ => IpAddr::V4(Ipv4Addr::new(8, 8, 8, last)),
        }
    }

    /// A chain of so many aliases, with an address at its end.
    fn chain(question: &Query, aliases: usize) -> Answer {
        let link =
            |at: usize| if at == 0 { "hooks.example.com.".to_owned() } else { format!("a{at}.example.net.") };
        let mut records: Vec<Record> = (0..aliases).map(|at| alias(&link(at), &link(at + 1))).collect();
        records.push(address(&name(&link(aliases)), of_family(question, 1)));
        Answer::Records(records)
    }

    #[tokio::test]
    async fn addresses_of_both_families_are_found() {
        let found =
            resolve(|question| Answer::Records(vec![address(question.name(), of_family(question, 1))])).await;
        let mut found = found.expect("two addresses");
        found.sort();
        assert_eq!(found, ["8.8.8.1".parse::<IpAddr>().expect("v4"), "2606::1".parse().expect("v6")]);
    }

    #[tokio::test]
    async fn an_inner_address_in_one_family_is_not_hidden_by_the_other() {
        let found = resolve(|question| match question.query_type() {
            RecordType::A => Answer::Records(vec![address(question.name(), of_family(question, 1))]),
            _ => Answer::Records(vec![address(question.name(), IpAddr::V6(Ipv6Addr::LOCALHOST))]),
        })
        .await;
        assert!(found.expect("two addresses").contains(&IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }

    #[tokio::test]
    async fn answers_without_an_address_say_why() {
        assert_eq!(resolve(|_| Answer::Error(ResponseCode::NXDomain)).await, Err(ResolveError::NoAddress));
        assert_eq!(resolve(|_| Answer::Records(Vec::new())).await, Err(ResolveError::NoAddress));
        assert_eq!(resolve(|_| Answer::Error(ResponseCode::ServFail)).await, Err(ResolveError::NoAnswer));
        assert_eq!(resolve(|_| Answer::Silence).await, Err(ResolveError::TimedOut));
    }

    #[tokio::test]
    async fn a_name_with_too_many_addresses_has_none() {
        let flood = |question: &Query| {
            Answer::Records(
                (1..=20).map(|last| address(question.name(), of_family(question, last))).collect(),
            )
        };
        assert_eq!(resolve(flood).await, Err(ResolveError::TooManyAddresses { found: 40 }));
    }

    #[tokio::test]
    async fn aliases_are_followed_so_far_and_no_further() {
        assert_eq!(resolve(|question| chain(question, ALIASES_MAX)).await.map(|found| found.len()), Ok(2));
        assert_eq!(
            resolve(|question| chain(question, ALIASES_MAX + 1)).await,
            Err(ResolveError::TooManyAliases)
        );
        assert!(resolve(|question| chain(question, 20)).await.is_err());
    }

    #[tokio::test]
    async fn aliases_in_a_circle_lead_nowhere() {
        let circle = |question: &Query| {
            let owner = question.name().to_ascii();
            let other = if owner.starts_with("hooks") { "other.example.com." } else { "hooks.example.com." };
            Answer::Records(vec![alias(&owner, other)])
        };
        assert!(resolve(circle).await.is_err());
    }

    #[tokio::test]
    async fn records_are_found_as_their_owners_wrote_them() {
        use sender_domain::RecordType::{Cname, Mx, Txt};
        let (resolver, _serving) = asking_a_server_with(|question| {
            let data = match (question.query_type(), question.name().to_ascii().as_str()) {
                (RecordType::TXT, "mail.example.") => {
                    // A text is at most 255 bytes; a longer one comes in parts.
                    let parts = vec!["v=DKIM1; p=AAAA".to_owned(), "BBBB".to_owned()];
                    RData::TXT(rdata::TXT::new(parts))
                }
                (RecordType::CNAME, _) => RData::CNAME(rdata::CNAME(name("abc.dkim.amazonses.com."))),
                (RecordType::MX, _) => RData::MX(rdata::MX::new(10, name("mx.example."))),
                (_, "absent.example.") => return Answer::Error(ResponseCode::NXDomain),
                (_, "broken.example.") => return Answer::Error(ResponseCode::ServFail),
                _ => return Answer::Records(Vec::new()),
            };
            Answer::Records(vec![Record::from_rdata(question.name().clone(), 60, data)])
        })
        .await;
        for (name, record_type, expected) in [
            ("mail.example", Txt, Ok(vec!["v=DKIM1; p=AAAABBBB".to_owned()])),
            ("mail.example", Cname, Ok(vec!["abc.dkim.amazonses.com".to_owned()])),
            ("mail.example", Mx, Ok(vec!["10 mx.example".to_owned()])),
            ("absent.example", Txt, Err(ResolveError::NoAddress)),
            ("bare.example", Txt, Err(ResolveError::NoAddress)),
            ("broken.example", Txt, Err(ResolveError::NoAnswer)),
        ] {
            assert_eq!(resolver.look_up(name, record_type).await, expected, "{name} {record_type:?}");
        }
    }
}

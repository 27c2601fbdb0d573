//! The one way from an endpoint to socket addresses: resolve, judge all, pin.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::endpoint::{Endpoint, Host};
use super::policy::{AddressPolicy, Standing};
use super::resolve::{Resolve, ResolveError};
use crate::RefusedAddress;

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Judges endpoints by a policy, and lets out only addresses that may be connected to.
pub struct Guard {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolve>,
    lookup_timeout: Duration,
}

/// Why an endpoint has no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The policy forbids it. Asking again is of no use.
    #[error(transparent)]
    Blocked(#[from] RefusedAddress),
    /// The name does not resolve now.
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
}

impl Guard {
    /// A guard that gives each lookup of a name so much time.
    pub fn new(policy: AddressPolicy, resolver: Arc<dyn Resolve>, lookup_timeout: Duration) -> Guard {
        Guard { policy, resolver, lookup_timeout }
    }

    /// Reads a URL and judges what its text says.
    pub fn read(&self, url: &str) -> Result<Endpoint, RefusedAddress> {
        Endpoint::parse(url, &self.policy)
    }

    /// The addresses of an endpoint, not empty, all of them permitted.
    ///
    /// One forbidden address among them blocks the endpoint, since whoever answers could choose which
    /// one we take. Nothing is said about what the name resolved to: that is not the subscriber's to know.
    pub async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Denied> {
        let port = endpoint.port();
        let addresses = match endpoint.host() {
            Host::Address(ip) => {
                let address = SocketAddr::new(*ip, port);
                endpoint.may_be_at(self.policy.judge(address))?;
                return Ok(vec![address]);
            }
            host @ Host::Name(_) if host.is_localhost() => self.opened_loopback(port),
            Host::Name(name) => with_port(&self.look_up(name).await?, port),
        };
        let permitted = |address: &SocketAddr| endpoint.may_be_at(self.policy.judge(*address)).is_ok();
        if addresses.is_empty() || !addresses.iter().all(permitted) {
            return Err(Denied::Blocked(RefusedAddress::because(
                "the host resolves to an address that is not allowed",
            )));
        }
        Ok(addresses)
    }

    /// Judges the two ends of a connection that stands, before anything is sent.
    pub fn check_connected(
        &self,
        endpoint: &Endpoint,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<(), RefusedAddress> {
        endpoint
            .may_be_at(self.policy.judge_connected(peer, local))
            .map_err(|_| RefusedAddress::because("the host is at an address that is not allowed"))
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let found = timeout(self.lookup_timeout, self.resolver.resolve(name))
            .await
            .map_err(|_| ResolveError::TimedOut)??;
        if found.is_empty() { Err(ResolveError::NoAddress) } else { Ok(found) }
    }

    /// The loopback addresses that a rule covers: an operator who opens one of the two means that one.
    fn opened_loopback(&self, port: u16) -> Vec<SocketAddr> {
        let mut addresses = with_port(&LOOPBACK, port);
        addresses.retain(|address| self.policy.judge(*address) == Standing::Opened);
        addresses
    }
}

fn with_port(ips: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect()
}

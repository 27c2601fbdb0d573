//! Rows 22 to 24 and 36 to 45 of the attack list: what names resolve to, and when.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use angarium_channels::Channel;
use angarium_channels::egress::{AddressPolicy, Resolve, ResolveError};
use angarium_channels::webhook::WebhookChannel;
use angarium_domain::outcome::Failure;
use async_trait::async_trait;

use crate::receiver::Receiver;
use crate::sender::{Names, answered, channel, failed, local, loopback, opening, request, send, settings};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const URL: &str = "https://hooks.example.com/hook";
const SAYS_NOTHING: &str = "the host resolves to an address that is not allowed";

fn names(addresses: &[&str]) -> Names {
    Names::default().with("hooks.example.com", addresses)
}

/// Rows 24, 36, 37, 38, 40 and 42: an alias to an inner name ends in the same answers.
#[tokio::test]
async fn one_inner_address_in_an_answer_blocks_the_whole_name() {
    for addresses in [
        &["127.0.0.1"][..],
        &["169.254.169.254"],
        &["8.8.8.8", "10.0.0.1"],
        &["10.0.0.1", "8.8.8.8"],
        &["8.8.8.8", "::1"],
        &["8.8.8.8", "::ffff:10.0.0.1"],
        &["64:ff9b::a9fe:a9fe"],
        &["8.8.8.8", "2606:4700:4700::1111", "0.0.0.0"],
    ] {
        let strict = channel(AddressPolicy::default(), names(addresses));
        let refused = strict.check_address(URL).await.expect_err("an inner address");
        assert_eq!(refused.reason, SAYS_NOTHING, "{addresses:?}");

        let exchange = send(&strict, URL).await;
        assert_eq!(exchange.outcome, failed(Failure::BlockedAddress), "{addresses:?}");
        assert_eq!(exchange.detail.as_deref(), Some(SAYS_NOTHING));
        assert_eq!(exchange.remote_address, None);
    }
}

#[tokio::test]
async fn a_name_on_the_public_internet_is_accepted() {
    let strict = channel(AddressPolicy::default(), names(&["8.8.8.8", "2606:4700:4700::1111"]));
    assert_eq!(strict.check_address(URL).await.map(|url| url.as_str().to_owned()), Ok(URL.to_owned()));
}

/// Row 42, where there is a gateway.
#[tokio::test]
async fn nat64_is_no_way_to_an_inner_address() {
    let policy = AddressPolicy { nat64: true, ..AddressPolicy::default() };
    assert!(channel(policy.clone(), names(&["64:ff9b::a9fe:a9fe"])).check_address(URL).await.is_err());
    assert!(channel(policy, names(&["64:ff9b::808:808"])).check_address(URL).await.is_ok());
}

/// Row 39: the first answer is good, every other one leads to a trap.
#[tokio::test]
async fn a_name_that_moves_is_never_followed_to_an_inner_address() {
    let receiver = Receiver::answering_once("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
    let trap = Receiver::start_at(
        format!("127.0.0.2:{}", receiver.port()).parse().expect("an address"),
        |_, _| async {},
    )
    .await;
    let moving = names(&["127.0.0.1"]).with("hooks.example.com", &["127.0.0.2"]);
    let channel = channel(opening(&["127.0.0.1:*"]), moving);
    let url = format!("http://hooks.example.com:{}/hook", receiver.port());

    assert_eq!(send(&channel, &url).await.outcome, answered(200));
    for _ in 1..200 {
        assert_eq!(send(&channel, &url).await.outcome, failed(Failure::BlockedAddress));
    }
    assert_eq!((receiver.connections(), trap.connections()), (1, 0));
}

/// Row 39: what was judged is what is dialled, with no second lookup in between.
#[tokio::test]
async fn each_connection_asks_once_and_dials_what_it_was_told() {
    let receiver = Receiver::answering_once("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
    let trap = Receiver::start_at(
        format!("127.0.0.2:{}", receiver.port()).parse().expect("an address"),
        |_, _| async {},
    )
    .await;
    let mut moving = Names::default();
    for turn in 0..200 {
        moving =
            moving.with("hooks.example.com", if turn % 2 == 0 { &["127.0.0.1"] } else { &["127.0.0.2"] });
    }
    let asked = moving.asked();
    let channel = channel(opening(&["127.0.0.1:*"]), moving);
    let url = format!("http://hooks.example.com:{}/hook", receiver.port());

    for turn in 0..200 {
        let expected = if turn % 2 == 0 { answered(200) } else { failed(Failure::BlockedAddress) };
        assert_eq!(send(&channel, &url).await.outcome, expected);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 200);
    assert_eq!((receiver.connections(), trap.connections()), (100, 0));
}

/// Row 41, and the ends of row 40.
#[tokio::test]
async fn a_name_that_does_not_resolve_is_no_refusal_but_fails_its_attempts() {
    for error in [
        ResolveError::NoAddress,
        ResolveError::NoAnswer,
        ResolveError::TimedOut,
        ResolveError::TooManyAddresses { found: 500 },
        ResolveError::TooManyAliases,
    ] {
        let strict =
            channel(AddressPolicy::default(), Names::default().then("hooks.example.com", Err(error)));
        assert!(strict.check_address(URL).await.is_ok(), "{error}");
        let exchange = send(&strict, URL).await;
        assert_eq!(exchange.outcome, failed(Failure::DnsError));
        assert_eq!(exchange.detail, Some(error.to_string()));
    }
    let empty = channel(AddressPolicy::default(), names(&[]));
    assert_eq!(send(&empty, URL).await.outcome, failed(Failure::DnsError));
}

struct Silent;

#[async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn name_servers_that_are_silent_have_a_limit() {
    let mut silent = settings(AddressPolicy::default(), Names::default());
    silent.resolver = std::sync::Arc::new(Silent);
    silent.limits.lookup = Duration::from_millis(50);
    let channel = WebhookChannel::new(silent).expect("no extra roots");
    assert_eq!(send(&channel, URL).await.outcome, failed(Failure::DnsError));
}

/// Rows 22 and 23, where an operator opened something.
#[tokio::test]
async fn inner_names_lead_only_where_a_rule_leads() {
    for (name, addresses, allowed) in [
        ("receiver", &["10.1.0.7"][..], true),
        ("receiver.internal", &["10.1.0.7", "10.1.0.8"], true),
        ("receiver", &["10.1.0.7", "10.2.0.1"], false),
        ("receiver", &["8.8.8.8"], false),
        ("printer.local", &["10.2.0.1"], false),
        ("metadata.google.internal", &["169.254.169.254"], false),
    ] {
        let channel = channel(opening(&["10.1.0.0/16:8080"]), Names::default().with(name, addresses));
        let outcome = channel.check_address(&format!("http://{name}:8080/")).await;
        assert_eq!(outcome.is_ok(), allowed, "{name} at {addresses:?}");
    }
}

#[tokio::test]
async fn plain_http_leads_only_where_a_rule_leads() {
    let channel = channel(opening(&["10.1.0.0/16:*"]), names(&["8.8.8.8"]));
    assert!(channel.check_address("http://hooks.example.com/").await.is_err());
    assert!(channel.check_address("https://hooks.example.com/").await.is_ok());
}

#[tokio::test]
async fn localhost_is_this_host_and_no_name_server_is_asked() {
    let receiver = Receiver::answering(OK).await;
    let unasked = Names::default().with("localhost", &["8.8.8.8"]);
    let asked = unasked.asked();
    let channel = channel(loopback(), unasked);
    for host in ["localhost", "hooks.localhost"] {
        let url = format!("http://{host}:{}/", receiver.port());
        assert!(channel.check_address(&url).await.is_ok());
        assert_eq!(send(&channel, &url).await.outcome, answered(200));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let elsewhere = opening(&["10.0.0.0/8:*"]);
    assert!(
        crate::sender::channel(elsewhere, Names::default()).check_address("http://localhost/").await.is_err()
    );
}

/// Row 45.
#[tokio::test]
async fn our_own_listener_is_not_connected_to() {
    let ourselves = Receiver::answering(OK).await;
    for own in [ourselves.address, (Ipv4Addr::UNSPECIFIED, ourselves.port()).into()] {
        let policy = AddressPolicy { own_addresses: vec![own], ..loopback() };
        let exchange = send(&channel(policy, Names::default()), &ourselves.url()).await;
        assert_eq!(exchange.outcome, failed(Failure::BlockedAddress));
        assert_eq!(exchange.detail.as_deref(), Some("the host is an address of this service"));
    }
    assert_eq!(ourselves.connections(), 0);
}

/// An address that was accepted once is judged again when it is dialled, literal or not.
#[tokio::test]
async fn a_stored_address_has_no_privilege() {
    let receiver = Receiver::answering(OK).await;
    for url in
        [receiver.url(), format!("https://127.0.0.1:{}/", receiver.port()), "https://2130706433/".into()]
    {
        let strict = channel(AddressPolicy::default(), Names::default());
        assert_eq!(send(&strict, &url).await.outcome, failed(Failure::BlockedAddress), "{url}");
    }
    assert_eq!(receiver.connections(), 0);
}

/// Row 43.
#[tokio::test]
async fn redirects_are_recorded_and_not_followed() {
    let trap = Receiver::answering(OK).await;
    let channel = local();
    for status in [301, 302, 303, 307, 308] {
        for location in ["http://169.254.169.254/".to_owned(), trap.url(), "/hook".to_owned()] {
            let head =
                format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            let receiver = Receiver::answering(head).await;
            let exchange = send(&channel, &receiver.url()).await;
            assert_eq!(exchange.outcome, answered(status));
            assert!(exchange.response_headers.contains(&("location".to_owned(), location)));
            assert_eq!(receiver.requests().len(), 1);
        }
    }
    assert_eq!(trap.connections(), 0);
}

/// Row 44: the same delivery, in a process whose environment names a proxy.
#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    let trap = Receiver::answering(OK).await;
    let proxy = format!("http://{}", trap.address);
    let delivery = std::env::current_exe().expect("the path of this test");
    let run = tokio::task::spawn_blocking(move || {
        let mut command = std::process::Command::new(delivery);
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env(name, &proxy);
        }
        command.args(["--exact", "names::a_delivery_arrives"]).output().expect("it starts")
    })
    .await
    .expect("it ends");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(trap.connections(), 0);
}

#[tokio::test]
async fn a_delivery_arrives() {
    let receiver = Receiver::answering(OK).await;
    assert_eq!(
        local().send(request(&receiver.url()), crate::receiver::PATIENCE).await.outcome,
        answered(200)
    );
    assert_eq!(receiver.requests().len(), 1);
}

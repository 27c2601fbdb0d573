//! Rows 1 to 34 of the attack list: what is refused by its text.

use angarium_channels::egress::{AddressPolicy, URL_BYTES_MAX};
use angarium_channels::webhook::WebhookChannel;
use angarium_channels::{Channel, RefusedAddress};

use crate::sender::{Names, channel, opening};

/// Where subscribers register, under one policy. No name resolves.
struct Registry(WebhookChannel);

impl Registry {
    fn under(policy: AddressPolicy) -> Registry {
        Registry(channel(policy, Names::default()))
    }

    fn strict() -> Registry {
        Registry::under(AddressPolicy::default())
    }

    async fn register(&self, url: &str) -> Result<String, RefusedAddress> {
        self.0.check_address(url).await.map(|url| url.as_str().to_owned())
    }

    /// Refused as it stands, and over https.
    async fn check_refused(&self, row: u32, urls: &[&str]) {
        for url in urls {
            for url in [(*url).to_owned(), url.replacen("http:", "https:", 1)] {
                let outcome = self.register(&url).await;
                assert!(outcome.is_err(), "row {row}: {url:?} became {outcome:?}");
            }
        }
    }
}

/// One policy that opens nothing, and one that opens plain http and some network.
fn strict_and_open() -> [Registry; 2] {
    [Registry::strict(), Registry::under(opening(&["10.255.255.0/24:9000"]))]
}

#[tokio::test]
async fn inner_addresses_are_refused_in_every_spelling() {
    let registries = strict_and_open();
    for (row, urls) in [
        (1, &["http://127.0.0.1/"][..]),
        (2, &["http://127.1/", "http://127.0.1/"]),
        (3, &["http://2130706433/"]),
        (4, &["http://0x7f000001/", "http://0x7f.1/"]),
        (5, &["http://0177.0.0.1/", "http://017700000001/"]),
        (6, &["http://0/", "http://0x/", "http://0.0.0.0/"]),
        (7, &["http://127.0.0.1./"]),
        (8, &["http://①②⑦.⓪.⓪.①/", "http://１２７.０.０.１/", "http://127。0。0。1/"]),
        (9, &["http://%31%32%37.0.0.1/", "http://127%2e0%2e0%2e1/"]),
        (10, &["http://0xA9.0xFE.0xA9.0xFE/", "http://0251.0376.0251.0376/", "http://0251.254.169.254/"]),
        (
            11,
            &[
                "http://4294967296/",
                "http://256.1.1.1/",
                "http://1.2.3.4.5/",
                "http://425.510.425.510/",
                "http://09.1.1.1/",
                "http://o177.0.0.1/",
            ],
        ),
        (12, &["http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/"]),
        (
            13,
            &["http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:ffff:a9fe:a9fe]/"],
        ),
        (
            14,
            &[
                "http://[::127.0.0.1]/",
                "http://[::7f00:1]/",
                "http://[::ffff:0:127.0.0.1]/",
                "http://[::5efe:7f00:1]/",
            ],
        ),
        (15, &["http://[64:ff9b::7f00:1]/", "http://[64:ff9b:1::a9fe:a9fe]/"]),
        (16, &["http://[2002:7f00:1::]/", "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/"]),
        (17, &["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"]),
        (
            18,
            &[
                "http://[fec0::1]/",
                "http://[fc00::1]/",
                "http://[fd00:ec2::254]/",
                "http://[ff02::1]/",
                "http://[100::1]/",
                "http://[5f00::1]/",
                "http://[3fff::1]/",
            ],
        ),
        (
            19,
            &[
                "http://168.63.129.16/",
                "http://100.100.100.200/",
                "http://192.0.0.192/",
                "http://169.254.170.2/",
            ],
        ),
        (
            20,
            &[
                "http://10.0.0.1/",
                "http://172.16.0.1/",
                "http://172.31.255.255/",
                "http://192.168.0.1/",
                "http://100.64.0.1/",
                "http://100.127.255.254/",
                "http://198.18.0.1/",
                "http://192.88.99.1/",
                "http://224.0.0.1/",
                "http://240.0.0.1/",
                "http://255.255.255.255/",
            ],
        ),
    ] {
        for registry in &registries {
            registry.check_refused(row, urls).await;
        }
    }
    let nat64 = AddressPolicy { nat64: true, ..AddressPolicy::default() };
    assert!(
        Registry::under(nat64).register("https://[64:ff9b::7f00:1]/").await.is_err(),
        "row 15 with NAT64"
    );
}

/// Row 13: the mapped form is judged as the address that it maps, in both directions.
#[tokio::test]
async fn a_public_address_in_its_mapped_form_is_public() {
    let url = "https://[::ffff:1ff:1]/";
    assert_eq!(Registry::strict().register(url).await, Ok(url.to_owned()));
}

/// Row 21.
#[tokio::test]
async fn neighbours_of_inner_networks_are_accepted() {
    let registry = Registry::strict();
    for host in [
        "100.63.255.254",
        "100.128.0.1",
        "172.15.255.255",
        "172.32.0.1",
        "192.88.98.255",
        "223.255.255.255",
        "[2606:4700:4700::1111]",
        "[2001:200::1]",
    ] {
        let url = format!("https://{host}/");
        assert_eq!(registry.register(&url).await, Ok(url.clone()));
    }
}

#[tokio::test]
async fn names_of_inner_networks_are_refused() {
    // Where a rule may cover them they are looked up; see `names`.
    let registry = Registry::strict();
    registry
        .check_refused(
            22,
            &[
                "http://localhost/",
                "http://LOCALHOST/",
                "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
                "http://%6c%6f%63alhost/",
                "http://localhost./",
                "http://foo.localhost/",
            ],
        )
        .await;
    registry
        .check_refused(
            23,
            &[
                "http://instance-data/",
                "http://metadata/",
                "http://metadata.google.internal/",
                "http://printer.local/",
                "http://./",
                "http://a..b/",
                "http://*.example.com/",
            ],
        )
        .await;
}

#[tokio::test]
async fn what_parsers_repair_is_refused() {
    let registries = strict_and_open();
    for (row, urls) in [
        (
            25,
            &[
                "http://user:pass@example.com/",
                "http://example.com@127.0.0.1/",
                "http://1.1.1.1 &@2.2.2.2# @3.3.3.3/",
            ][..],
        ),
        (25, &["http://@example.com/", "http://:@example.com/"]),
        (
            26,
            &[
                "http://127.0.0.1:80\\@example.com/",
                "http://example.com\\@127.0.0.1/",
                "http://example.com/a\\b",
            ],
        ),
        (
            27,
            &[
                "http:127.0.0.1/",
                "http:///127.0.0.1/",
                "http:\\\\127.0.0.1\\",
                "http:/example.com",
                "http:///example.com/",
                "//127.0.0.1/",
                "//example.com/",
                "example.com",
                "",
                "http://",
            ],
        ),
        (
            27,
            &[
                "http://example.com/a/../b",
                "http://example.com/./",
                "http://example.com/{a}",
                "http://example.com/ü",
            ],
        ),
        (
            28,
            &[
                "ht\ntp://example.com/",
                "http://exam\tple.com/",
                " http://example.com/",
                "http://example.com/ ",
                "http://example.com/\0",
                "http://example.com/\u{a0}",
            ],
        ),
        (29, &["http://example.com\r\nX-A: b/", "http://example.com/?q=\r\nX:1"]),
        (30, &["http://exa\u{AD}mple.com/", "http://ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ/", "http://example。com/"]),
        (
            31,
            &[
                "file:///etc/passwd",
                "gopher://example.com/",
                "ftp://example.com/",
                "data:text/plain,x",
                "javascript:alert(1)",
                "unix:/run/docker.sock",
                "ws://example.com/",
                "blob:https://example.com/x",
            ],
        ),
        (34, &["http://example.com/#x", "http://example.com/?a#", "http://example.com#x"]),
    ] {
        for registry in &registries {
            registry.check_refused(row, urls).await;
        }
    }
}

#[tokio::test]
async fn ports_of_other_services_are_refused() {
    // Where a rule may cover their hosts these are looked up; see `names`.
    let registry = Registry::strict();
    registry
        .check_refused(
            32,
            &[
                "http://example.com:0/",
                "http://example.com:65536/",
                "http://example.com:22/",
                "http://example.com:25/",
                "http://example.com:6379/",
                "http://example.com:443x/",
                "http://example.com:/",
                "http://example.com:+443/",
                "http://8.8.8.8:6379/",
            ],
        )
        .await;
    for port in
        [0, 22, 25, 53, 110, 143, 445, 465, 587, 993, 2375, 2376, 2379, 3306, 5432, 6379, 9200, 11211, 27017]
    {
        registry.check_refused(32, &[&format!("https://example.com:{port}/")]).await;
    }
}

/// Row 33.
#[tokio::test]
async fn what_is_too_long_is_refused() {
    let label = |bytes: usize| "a".repeat(bytes);
    let name = |bytes: usize| {
        format!("{}com", "abcdefg.".repeat(bytes)).chars().rev().take(bytes).collect::<String>()
    };
    let path = |bytes: usize| format!("https://example.com/{}", label(bytes - "https://example.com/".len()));
    let registry = Registry::strict();
    for (url, accepted) in [
        (path(8_193), false),
        (path(URL_BYTES_MAX + 1), false),
        (path(URL_BYTES_MAX), true),
        (format!("https://{}.com/", label(64)), false),
        (format!("https://{}.com/", label(63)), true),
        (format!("https://{}/", name(254)), false),
        (format!("https://{}/", name(253)), true),
    ] {
        let outcome = registry.register(&url).await;
        assert_eq!(outcome.is_ok(), accepted, "{} bytes: {outcome:?}", url.len());
    }
}

#[tokio::test]
async fn honest_urls_are_brought_to_one_form() {
    let registry = Registry::strict();
    for (given, kept) in [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM/Hook", "https://example.com/Hook"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:0443/", "https://example.com/"),
        ("https://example.com:080/", "https://example.com:80/"),
        ("https://example.com:08443/", "https://example.com:8443/"),
        ("https://example.com./", "https://example.com/"),
        ("https://example.com?a=b", "https://example.com/?a=b"),
        ("https://example.com/a%2Fb?access_token=x&c=[1]", "https://example.com/a%2Fb?access_token=x&c=[1]"),
        ("https://o177.0.0.example/", "https://o177.0.0.example/"),
        ("https://раураl.com/", "https://xn--l-7sba6dbr.com/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://a_b.example.com/", "https://a_b.example.com/"),
    ] {
        let once = registry.register(given).await;
        assert_eq!(once.as_deref().map_err(ToString::to_string), Ok(kept), "{given}");
        assert_eq!(registry.register(kept).await.as_deref(), Ok(kept), "{given} twice");
    }
}

#[tokio::test]
async fn our_own_name_is_refused() {
    let policy =
        AddressPolicy { own_hosts: vec!["hooks.angarium.example".into()], ..AddressPolicy::default() };
    let refused = Registry::under(policy).register("https://Hooks.Angarium.example./v2/").await;
    assert_eq!(refused.map_err(|refused| refused.reason), Err("the host is this service itself".to_owned()));
}

#[tokio::test]
async fn an_operator_opens_literal_addresses_by_network_and_port() {
    let policy = opening(&["10.1.0.0/16:6379", "127.0.0.0/8:*"]);
    let without_http = Registry::under(AddressPolicy { allow_http: false, ..policy.clone() });
    let open = Registry::under(policy);
    for (url, accepted) in [
        ("http://10.1.2.3:6379/", true),
        ("https://10.1.2.3:6379/", true),
        ("https://10.1.2.3/", false),
        ("https://10.2.0.1:6379/", false),
        ("http://127.0.0.1:22/", true),
        ("http://8.8.8.8/", false),
        ("https://8.8.8.8/", true),
    ] {
        assert_eq!(open.register(url).await.is_ok(), accepted, "{url}");
        let secure = accepted && url.starts_with("https");
        assert_eq!(without_http.register(url).await.is_ok(), secure, "{url} without http");
    }
}

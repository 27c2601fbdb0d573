//! Documents at addresses: what is read, what is refused, and what a hostile address costs.

use angarium_channels::egress::AddressPolicy;
use angarium_channels::library::{Library, OpenLibrary, Reading};
use angarium_domain::context::document::DOCUMENT_BYTES_MAX;
use angarium_domain::context::source::{Config, TextRoom, Validators};
use angarium_domain::context::{Document, Reason};
use angarium_domain::handle::Handle;
use tokio::io::AsyncWriteExt;

use crate::receiver::Receiver;
use crate::sender::{Names, loopback, settings};

fn library(policy: AddressPolicy) -> OpenLibrary {
    OpenLibrary::new(settings(policy, Names::default()), None).expect("no extra roots")
}

pub(crate) fn acme() -> Handle {
    "acme".parse().expect("a handle")
}

fn at(url: &str) -> Config {
    Config::Http { url: url.to_owned(), headers: vec![("authorization".to_owned(), "Bearer x".to_owned())] }
}

async fn read(url: &str) -> Reading {
    library(loopback()).read(&acme(), &at(url), &Validators::default(), TextRoom::OfSource).await
}

/// The document that was read.
#[track_caller]
fn document(reading: Reading) -> Document {
    match reading {
        Reading::Documents(mut read) if read.documents.len() == 1 => read.documents.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Why nothing was read, and whether asking again may help.
#[track_caller]
fn trouble(reading: Reading) -> (Reason, bool) {
    match reading {
        Reading::Failed(trouble) => (trouble.reason, trouble.passing),
        other => panic!("{other:?}"),
    }
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[tokio::test]
async fn a_document_is_asked_for_with_the_headers_of_its_source_and_read() {
    let body = "# Guide\r\n\r\nRotate the secret.".as_bytes();
    let receiver =
        Receiver::answering(answer("200 OK\r\ncontent-type: text/markdown; charset=utf-8", body)).await;
    let read = document(read(&format!("{}?key=hidden", receiver.url())).await);
    assert_eq!((read.title.as_str(), read.text.as_str()), ("Guide", "# Guide\n\nRotate the secret."));
    assert_eq!(read.name, receiver.url());
    let request = receiver.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get /hook?key=hidden http/1.1\r\n"), "{request}");
    for line in [
        "authorization: bearer x\r\n",
        "accept: text/markdown, text/plain;q=0.9",
        "accept-encoding: identity",
    ] {
        assert!(request.contains(line), "{line}: {request}");
    }
}

#[tokio::test]
async fn an_address_is_asked_whether_anything_has_changed() {
    let head =
        "200 OK\r\ncontent-type: text/plain\r\netag: \"v1\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT";
    let receiver = Receiver::answering(answer(head, b"text")).await;
    let Reading::Documents(read) = read(&receiver.url()).await else { panic!("it reads") };
    let unchanged = Receiver::answering("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    let again =
        library(loopback()).read(&acme(), &at(&unchanged.url()), &read.validators, TextRoom::OfSource).await;
    assert_eq!(again, Reading::Unchanged);
    let request = unchanged.requests().remove(0).to_lowercase();
    assert!(request.contains("if-none-match: \"v1\"\r\n"), "{request}");
    assert!(request.contains("if-modified-since: sun, 06 nov 1994 08:49:37 gmt\r\n"), "{request}");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_for_good() {
    for (head, body, expected) in [
        ("200 OK\r\ncontent-type: image/png", &b"x"[..], Reason::UnsupportedType),
        ("200 OK\r\ncontent-type: text/html", b"<p>x</p>", Reason::UnsupportedType),
        ("200 OK", b"x", Reason::UnsupportedType),
        ("200 OK\r\ncontent-type: text/plain", b"\xff\xfe", Reason::InvalidText),
        ("200 OK\r\ncontent-type: application/json", b"{", Reason::InvalidText),
        ("200 OK\r\ncontent-type: text/plain", b" \n", Reason::Empty),
        ("302 Found\r\nlocation: http://169.254.169.254/", b"", Reason::RedirectNotFollowed),
        ("404 Not Found", b"", Reason::HttpStatus),
        ("204 No Content", b"", Reason::HttpStatus),
    ] {
        let receiver = Receiver::answering(answer(head, body)).await;
        assert_eq!(trouble(read(&receiver.url()).await), (expected, false), "{head}");
        assert_eq!(receiver.requests().len(), 1, "{head}");
    }
}

#[tokio::test]
async fn trouble_that_may_pass_is_told_apart() {
    let busy = Receiver::answering(answer("503 Service Unavailable\r\nretry-after: 7", b"")).await;
    let Reading::Failed(found) = read(&busy.url()).await else { panic!("it is busy") };
    assert_eq!((found.reason, found.passing, found.retry_after_seconds), (Reason::HttpStatus, true, Some(7)));
    let closing = Receiver::start(async |_stream, _received| {}).await;
    assert_eq!(trouble(read(&closing.url()).await), (Reason::ConnectError, true));
    let cut_short = Receiver::answering_once(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nhalf",
    )
    .await;
    assert_eq!(trouble(read(&cut_short.url()).await), (Reason::ConnectError, true));
}

#[tokio::test]
async fn a_body_is_read_up_to_the_limit_announced_or_not() {
    let whole = answer("200 OK\r\ncontent-type: text/plain", &vec![b'x'; DOCUMENT_BYTES_MAX]);
    let receiver = Receiver::answering(whole).await;
    assert_eq!(document(read(&receiver.url()).await).text.len(), DOCUMENT_BYTES_MAX);
    let endless = Receiver::start(async |mut stream, received| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
        received.request_from(&mut stream).await;
        let mut chunk = b"1000\r\n".to_vec();
        chunk.extend_from_slice(&[b'x'; 0x1000]);
        chunk.extend_from_slice(b"\r\n");
        let mut open = stream.write_all(head.as_bytes()).await.is_ok();
        while open {
            open = stream.write_all(&chunk).await.is_ok();
        }
    })
    .await;
    assert_eq!(trouble(read(&endless.url()).await), (Reason::TooLarge, false));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 999999999999\r\n\r\n";
    let announced = Receiver::answering_once(head).await;
    assert_eq!(trouble(read(&announced.url()).await), (Reason::TooLarge, false));
}

#[tokio::test]
async fn addresses_that_no_webhook_may_have_no_source_may_have() {
    let receiver = Receiver::answering(answer("200 OK\r\ncontent-type: text/plain", b"secret")).await;
    let library = library(AddressPolicy::default());
    for url in [
        receiver.url(),
        "https://127.0.0.1/".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::1]/".to_owned(),
        "https://localhost/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "https://user:pass@docs.example/".to_owned(),
    ] {
        let refused = library.check(at(&url)).await.err().unwrap_or_else(|| panic!("{url} is taken"));
        assert_eq!(refused.field, "url", "{url}");
        // Every sync judges again: what was allowed once may not be any more.
        let found = library.read(&acme(), &at(&url), &Validators::default(), TextRoom::OfSource).await;
        assert_eq!(trouble(found), (Reason::BlockedAddress, false), "{url}");
    }
    assert_eq!(receiver.connections(), 0);
}

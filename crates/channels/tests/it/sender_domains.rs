//! The domain that mails come from, by a DNS that says what a test wrote down.

use std::collections::HashMap;

use angarium_channels::egress::{LookUp, ResolveError};
use angarium_channels::sender_domain::examine;
use angarium_domain::sender_domain::{RecordType, SenderDomain, State};
use async_trait::async_trait;

/// Records by name and kind. A name of which nothing was written down never gets an answer.
#[derive(Default)]
struct Zone(HashMap<(String, RecordType), Result<Vec<String>, ResolveError>>);

#[async_trait]
impl LookUp for Zone {
    async fn look_up(&self, name: &str, record_type: RecordType) -> Result<Vec<String>, ResolveError> {
        match self.0.get(&(name.to_owned(), record_type)) {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }
}

impl Zone {
    fn with(mut self, name: &str, record_type: RecordType, answer: Result<&str, ResolveError>) -> Zone {
        let answer = answer.map(|value| vec![value.to_owned()]);
        self.0.insert((name.to_owned(), record_type), answer);
        self
    }
}

fn sender() -> SenderDomain {
    SenderDomain::of_ses("mail.example", "eu-west-1", &["abc".to_owned()], None)
}

#[tokio::test]
async fn a_domain_that_says_what_it_should_is_verified() {
    let zone = Zone::default()
        .with("abc._domainkey.mail.example", RecordType::Cname, Ok("abc.dkim.amazonses.com"))
        .with("_dmarc.mail.example", RecordType::Txt, Ok("v=DMARC1; p=reject"));
    let report = examine(&zone, &sender()).await;
    assert_eq!((report.domain.as_str(), report.state), ("mail.example", State::Verified));
    assert_eq!(report.records[0].found, ["abc.dkim.amazonses.com"]);
}

#[tokio::test]
async fn no_record_is_pending_and_no_answer_passes() {
    let dmarc = ("_dmarc.mail.example", RecordType::Txt);
    for (answer, state) in [
        (Err(ResolveError::NoAddress), State::Pending),
        (Err(ResolveError::NoAnswer), State::TemporarilyFailed),
        (Err(ResolveError::TimedOut), State::TemporarilyFailed),
        (Ok("v=DMARC1; p=nonsense"), State::Failed),
    ] {
        let zone = Zone::default()
            .with("abc._domainkey.mail.example", RecordType::Cname, Ok("abc.dkim.amazonses.com"))
            .with(dmarc.0, dmarc.1, answer);
        assert_eq!(examine(&zone, &sender()).await.state, state);
    }
}

#[tokio::test(start_paused = true)]
async fn name_servers_that_never_answer_are_not_waited_for() {
    let began_at = tokio::time::Instant::now();
    let report = examine(&Zone::default(), &sender()).await;
    assert_eq!(report.state, State::TemporarilyFailed);
    assert_eq!(began_at.elapsed().as_secs(), 5);
}

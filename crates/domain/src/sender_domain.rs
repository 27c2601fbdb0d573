//! What the DNS should say of the domain that mails come from, and whether it does.
//!
//! Mailboxes refuse mail of a domain that does not vouch for it: by SPF (RFC 7208) for the servers, by
//! DKIM (RFC 6376) for the mail, by DMARC (RFC 7489) for the two together. The lookup is the channels';
//! here is only what is compared with what.

use std::time::Duration;

use serde::Serialize;

/// What DMARC should say at least; a stricter policy is as good.
const DMARC_PROPOSED: &str = "v=DMARC1; p=none";

/// How long a domain that is as it should be is taken for that.
const LOOK_INTERVAL: Duration = Duration::from_hours(24);
/// The first wait for one that is not; each further one is twice as long, up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_mins(1);
/// See [`WAIT_MIN`].
const WAIT_MAX: Duration = Duration::from_hours(1);

/// The domain that mails come from, and who sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderDomain {
    /// The part behind the `@` of the sender's address.
    pub domain: String,
    /// Who vouches for the servers; none where the domain of the return path is somebody else's.
    pub spf: Option<Spf>,
    /// The keys that mails are signed with; empty if nobody told us.
    pub dkim: Vec<DkimKey>,
    /// A domain of one's own that bounces go to.
    pub return_path: Option<ReturnPath>,
}

/// Which servers may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spf {
    /// What the record must include, such as `_spf.example.net`; none if any record will do.
    pub include: Option<String>,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// The part before `._domainkey.`.
    pub selector: String,
    /// Where the key really is, if it is to be an alias; otherwise the key itself stands there.
    pub alias_of: Option<String>,
}

/// Where bounces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath {
    /// A domain below the sender's.
    pub domain: String,
    /// The server that takes them.
    pub mail_server: String,
    /// What its SPF record must include.
    pub spf_include: String,
}

/// A kind of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// Text.
    Txt,
    /// An alias.
    Cname,
    /// A server for mail, as `10 mail.example.net`.
    Mx,
}

/// A record that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Whose record.
    pub name: String,
    /// Which kind.
    pub record_type: RecordType,
    /// What to set.
    pub value: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Spf { include: Option<String> },
    DkimKey,
    DkimAlias { of: String },
    Dmarc,
    MailServer { name: String },
}

/// What a lookup brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All records of the name and kind. The parts of a text are joined, names have no final dot.
    Values(Vec<String>),
    /// There is none.
    Nothing,
    /// Nobody can say now.
    NoAnswer,
}

/// How a record, or a whole domain, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not there yet.
    Pending,
    /// As it should be.
    Verified,
    /// There, and wrong.
    Failed,
    /// The name servers do not answer now.
    TemporarilyFailed,
}

impl State {
    /// All of them.
    pub const ALL: [State; 4] = [State::Pending, State::Verified, State::Failed, State::TemporarilyFailed];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Verified => "verified",
            State::Failed => "failed",
            State::TemporarilyFailed => "temporarily_failed",
        }
    }
}

/// How long after a look the next one is due. `in_vain` says how many looks just before it, one after the
/// other, did not find the domain verified.
pub fn look_again_after(state: State, in_vain: u32) -> Duration {
    match state {
        State::Verified => LOOK_INTERVAL,
        State::Pending | State::Failed | State::TemporarilyFailed => {
            WAIT_MIN.saturating_mul(2_u32.saturating_pow(in_vain)).min(WAIT_MAX)
        }
    }
}

/// One record: what it should be, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Whose record.
    pub name: String,
    /// Which kind.
    #[serde(rename = "type")]
    pub record_type: RecordType,
    /// What to set.
    pub expected: String,
    /// What is there. Of texts only those that are meant for the same purpose.
    pub found: Vec<String>,
    /// How the two compare.
    pub state: State,
}

/// How a domain stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The domain that mails come from.
    pub domain: String,
    /// How it stands as a whole.
    pub state: State,
    /// Record by record.
    pub records: Vec<Record>,
}

impl SenderDomain {
    /// A domain whose mails Amazon SES sends: the keys are Amazon's, by the tokens that SES names, and so
    /// is the return path unless it was given one below the domain.
    pub fn of_ses(
        domain: &str,
        region: &str,
        dkim_tokens: &[String],
        return_path: Option<&str>,
    ) -> SenderDomain {
        let key = |token: &String| DkimKey {
            selector: token.clone(),
            alias_of: Some(format!("{token}.dkim.amazonses.com")),
        };
        let return_path = return_path.map(|domain| ReturnPath {
            domain: domain.to_owned(),
            mail_server: format!("feedback-smtp.{region}.amazonses.com"),
            spf_include: "amazonses.com".to_owned(),
        });
        SenderDomain {
            domain: domain.to_owned(),
            spf: None,
            dkim: dkim_tokens.iter().map(key).collect(),
            return_path,
        }
    }

    /// The records that should be there.
    pub fn expected(&self) -> Vec<Expected> {
        let mut all = Vec::new();
        if let Some(spf) = &self.spf {
            all.push(expected_spf(&self.domain, spf.include.clone()));
        }
        all.extend(self.dkim.iter().map(|key| key.expected(&self.domain)));
        if let Some(ReturnPath { domain, mail_server, spf_include }) = &self.return_path {
            all.push(Expected {
                name: domain.clone(),
                record_type: RecordType::Mx,
                value: format!("10 {mail_server}"),
                rule: Rule::MailServer { name: mail_server.clone() },
            });
            all.push(expected_spf(domain, Some(spf_include.clone())));
        }
        all.push(Expected {
            name: format!("_dmarc.{}", self.domain),
            record_type: RecordType::Txt,
            value: DMARC_PROPOSED.to_owned(),
            rule: Rule::Dmarc,
        });
        all
    }

    /// The report before anybody looked: every record is awaited.
    pub fn unseen(&self) -> Report {
        self.report(std::iter::repeat(Found::Nothing))
    }

    /// The report, from what was found for each of [`SenderDomain::expected`], in its order.
    pub fn report(&self, found: impl IntoIterator<Item = Found>) -> Report {
        let records: Vec<Record> = self
            .expected()
            .into_iter()
            .zip(found)
            .map(|(expected, found)| expected.compared(found))
            .collect();
        let has = |state| records.iter().any(|record| record.state == state);
        let states = [State::Failed, State::TemporarilyFailed, State::Pending];
        let state = states.into_iter().find(|state| has(*state)).unwrap_or(State::Verified);
        Report { domain: self.domain.clone(), state, records }
    }
}

impl DkimKey {
    fn expected(&self, domain: &str) -> Expected {
        let name = format!("{}._domainkey.{domain}", self.selector);
        match &self.alias_of {
            Some(of) => Expected {
                name,
                record_type: RecordType::Cname,
                value: of.clone(),
                rule: Rule::DkimAlias { of: of.clone() },
            },
            None => Expected {
                name,
                record_type: RecordType::Txt,
                value: "v=DKIM1; p=<the public key that your mail server shows>".to_owned(),
                rule: Rule::DkimKey,
            },
        }
    }
}

fn expected_spf(domain: &str, include: Option<String>) -> Expected {
    let value = match &include {
        Some(include) => format!("v=spf1 include:{include} ~all"),
        None => "v=spf1 <the servers that send your mail> ~all".to_owned(),
    };
    Expected { name: domain.to_owned(), record_type: RecordType::Txt, value, rule: Rule::Spf { include } }
}

impl Expected {
    fn compared(self, found: Found) -> Record {
        let (state, found) = match found {
            Found::NoAnswer => (State::TemporarilyFailed, Vec::new()),
            Found::Nothing => (State::Pending, Vec::new()),
            Found::Values(values) => {
                let relevant: Vec<String> =
                    values.into_iter().filter(|value| self.rule.is_about(value)).collect();
                (self.rule.judge(&relevant), relevant)
            }
        };
        let Expected { name, record_type, value, .. } = self;
        Record { name, record_type, expected: value, found, state }
    }
}

impl Rule {
    /// Whether a record is for this purpose. A domain has other texts too.
    fn is_about(&self, value: &str) -> bool {
        match self {
            Rule::Spf { .. } => {
                let version = value.split_whitespace().next().unwrap_or_default();
                version.eq_ignore_ascii_case("v=spf1")
            }
            Rule::Dmarc => tag(value, "v").is_some_and(|version| version == "DMARC1"),
            Rule::DkimKey | Rule::DkimAlias { .. } | Rule::MailServer { .. } => true,
        }
    }

    /// Two records where one is right count as wrong with those who verify SPF and DMARC.
    fn judge(&self, relevant: &[String]) -> State {
        let well = match (self, relevant) {
            (_, []) => return State::Pending,
            (Rule::MailServer { name }, all) => all.iter().any(|value| is_server(value, name)),
            (Rule::DkimAlias { of }, [only]) => only.eq_ignore_ascii_case(of),
            (Rule::DkimKey, [only]) => tag(only, "p").is_some_and(|key| !key.is_empty()),
            (Rule::Spf { include: None }, [_]) => true,
            (Rule::Spf { include: Some(include) }, [only]) => includes(only, include),
            (Rule::Dmarc, [only]) => {
                tag(only, "p").is_some_and(|policy| matches!(&*policy, "none" | "quarantine" | "reject"))
            }
            (Rule::DkimAlias { .. } | Rule::DkimKey | Rule::Spf { .. } | Rule::Dmarc, _) => false,
        };
        if well { State::Verified } else { State::Failed }
    }
}

/// The value of a tag in a list such as `v=DMARC1; p=none`.
fn tag(list: &str, name: &str) -> Option<String> {
    list.split(';').find_map(|part| {
        let (tag, value) = part.split_once('=')?;
        // A key may be wrapped, so spaces within it mean nothing.
        (tag.trim() == name).then(|| value.split_whitespace().collect())
    })
}

fn includes(spf: &str, domain: &str) -> bool {
    spf.split_whitespace().any(|term| {
        let term = term.to_ascii_lowercase();
        let (mechanism, name) = term.split_once([':', '=']).unwrap_or_default();
        matches!(mechanism, "include" | "+include" | "redirect") && name == domain
    })
}

/// Whether a record such as `10 mail.example.net` names this server.
fn is_server(value: &str, name: &str) -> bool {
    value.rsplit(' ').next().is_some_and(|server| server.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "v=DKIM1; k=rsa; p=MIGf MA0";

    fn own() -> SenderDomain {
        SenderDomain {
            domain: "mail.example".to_owned(),
            spf: Some(Spf { include: Some("_spf.relay.example".to_owned()) }),
            dkim: vec![DkimKey { selector: "s1".to_owned(), alias_of: None }],
            return_path: None,
        }
    }

    fn values(texts: &[&str]) -> Found {
        Found::Values(texts.iter().map(|&text| text.to_owned()).collect())
    }

    /// Well in every respect but one.
    #[track_caller]
    fn check(which: usize, found: Found, state: State) {
        let spf = values(&["google-site-verification=x", "v=spf1 include:_spf.relay.example ~all"]);
        let mut all = vec![spf, values(&[KEY]), values(&["v=DMARC1; p=reject; rua=mailto:d@mail.example"])];
        assert_eq!(own().report(all.clone()).state, State::Verified);
        all[which] = found;
        let report = own().report(all);
        assert_eq!((report.records[which].state, report.state), (state, state), "{report:?}");
    }

    #[test]
    fn what_is_verified_is_looked_at_daily_and_anything_else_sooner_and_sooner_at_first() {
        assert_eq!(look_again_after(State::Verified, 0), Duration::from_hours(24));
        assert_eq!(look_again_after(State::Verified, 9), Duration::from_hours(24));
        for state in [State::Pending, State::Failed, State::TemporarilyFailed] {
            let minutes: Vec<u64> =
                [0, 1, 2, 5, 6, 7, u32::MAX].map(|n| look_again_after(state, n).as_secs() / 60).to_vec();
            assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
        }
    }

    #[test]
    fn until_somebody_looks_every_record_is_pending() {
        let unseen = own().unseen();
        assert_eq!(unseen.records.len(), own().expected().len());
        assert!(unseen.records.iter().all(|record| record.state == State::Pending), "{unseen:?}");
        assert_eq!(unseen.state, State::Pending);
    }

    #[test]
    fn each_record_is_named_with_what_to_set() {
        let expected: Vec<_> =
            own().expected().into_iter().map(|e| (e.name, e.record_type, e.value)).collect();
        let key = "v=DKIM1; p=<the public key that your mail server shows>";
        let txt = |name: &str, value: &str| (name.to_owned(), RecordType::Txt, value.to_owned());
        assert_eq!(
            expected,
            [
                txt("mail.example", "v=spf1 include:_spf.relay.example ~all"),
                txt("s1._domainkey.mail.example", key),
                txt("_dmarc.mail.example", "v=DMARC1; p=none"),
            ]
        );
    }

    #[test]
    fn mail_by_ses_is_vouched_for_by_aliases_and_by_a_return_path() {
        use State::{Failed, Pending, TemporarilyFailed, Verified};
        let tokens = ["abc".to_owned(), "def".to_owned()];
        let sender = SenderDomain::of_ses("mail.example", "eu-west-1", &tokens, Some("bounce.mail.example"));
        let expected: Vec<_> = sender.expected().into_iter().map(|e| (e.name, e.value)).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            expected,
            [
                pair("abc._domainkey.mail.example", "abc.dkim.amazonses.com"),
                pair("def._domainkey.mail.example", "def.dkim.amazonses.com"),
                pair("bounce.mail.example", "10 feedback-smtp.eu-west-1.amazonses.com"),
                pair("bounce.mail.example", "v=spf1 include:amazonses.com ~all"),
                pair("_dmarc.mail.example", "v=DMARC1; p=none"),
            ]
        );
        let report = sender.report([
            values(&["ABC.dkim.amazonses.com"]),
            values(&["other.example"]),
            values(&["20 elsewhere.example", "10 feedback-smtp.eu-west-1.amazonses.com"]),
            Found::Nothing,
            Found::NoAnswer,
        ]);
        let states: Vec<State> = report.records.iter().map(|record| record.state).collect();
        assert_eq!(states, [Verified, Failed, Verified, Pending, TemporarilyFailed]);
        assert_eq!(report.state, Failed);
    }

    #[test]
    fn what_is_not_there_is_pending_and_what_nobody_answers_passes() {
        for which in 0..3 {
            check(which, Found::Nothing, State::Pending);
            check(which, Found::NoAnswer, State::TemporarilyFailed);
        }
        // Texts for other purposes are nobody's fault.
        check(0, values(&["google-site-verification=x"]), State::Pending);
        check(2, values(&["unrelated"]), State::Pending);
    }

    #[test]
    fn spf_includes_who_sends_and_is_there_once() {
        check(0, values(&["v=spf1 ip4:192.0.2.1 -all"]), State::Failed);
        check(0, values(&["v=spf1 include:_spf.relay.example.evil.example ~all"]), State::Failed);
        check(0, values(&["v=spf1 include:_spf.relay.example -all", "v=spf1 -all"]), State::Failed);
        check(0, values(&["V=SPF1 a mx Include:_spf.relay.example ?all"]), State::Verified);
        check(0, values(&["v=spf1 redirect=_spf.relay.example"]), State::Verified);
        // Not a record of SPF at all.
        check(0, values(&["v=spf10 include:_spf.relay.example"]), State::Pending);
    }

    #[test]
    fn a_key_is_there_and_was_not_revoked() {
        check(1, values(&["v=DKIM1; p="]), State::Failed);
        check(1, values(&["v=DKIM1"]), State::Failed);
        check(1, values(&["p=MIGf"]), State::Verified);
    }

    #[test]
    fn dmarc_has_a_policy_and_is_there_once() {
        check(2, values(&["v=DMARC1"]), State::Failed);
        check(2, values(&["v=DMARC1; p=maybe"]), State::Failed);
        check(2, values(&["v=DMARC1; p=none", "v=DMARC1; p=reject"]), State::Failed);
        check(2, values(&["v=DMARC1;p=quarantine"]), State::Verified);
    }
}

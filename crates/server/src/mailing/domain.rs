//! The domain that mails come from, and what the DNS should say of it, from the settings.

use angarium_channels::email::Sender;
use angarium_domain::sender_domain::{DkimKey, SenderDomain, Spf};

use crate::settings::{EmailTransport, Settings};

/// What the DNS should say; none where no mails are sent, or the sender is none.
pub(crate) fn sender_domain(settings: &Settings) -> Option<SenderDomain> {
    let sender = Sender::parse(settings.email.from.as_deref()?).ok()?;
    let domain = sender.domain();
    match settings.email.transport {
        EmailTransport::None => None,
        EmailTransport::Ses => {
            let ses = &settings.ses;
            let region = ses.region.as_deref().unwrap_or_default();
            let return_path = ses.mail_from_domain.as_deref();
            Some(SenderDomain::of_ses(domain, region, &ses.dkim_tokens, return_path))
        }
        EmailTransport::Smtp | EmailTransport::Folder => {
            let key = |selector: &String| DkimKey { selector: selector.clone(), alias_of: None };
            Some(SenderDomain {
                domain: domain.to_owned(),
                spf: Some(Spf { include: settings.email.spf_include.clone() }),
                dkim: settings.email.dkim_selectors.iter().map(key).collect(),
                return_path: None,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(settings: &Settings) -> Vec<String> {
        let sender = sender_domain(settings).expect("a domain");
        sender.expected().into_iter().map(|expected| expected.name).collect()
    }

    #[test]
    fn what_is_looked_for_depends_on_who_sends() {
        let mut settings = Settings::default();
        assert_eq!(sender_domain(&settings), None);
        settings.email.from = Some("Angarium <events@mail.example>".to_owned());
        assert_eq!(sender_domain(&settings), None);
        settings.email.transport = EmailTransport::Smtp;
        settings.email.dkim_selectors = vec!["s1".to_owned()];
        assert_eq!(names(&settings), ["mail.example", "s1._domainkey.mail.example", "_dmarc.mail.example"]);
        settings.email.transport = EmailTransport::Ses;
        settings.ses.dkim_tokens = vec!["abc".to_owned()];
        assert_eq!(names(&settings), ["abc._domainkey.mail.example", "_dmarc.mail.example"]);
    }
}

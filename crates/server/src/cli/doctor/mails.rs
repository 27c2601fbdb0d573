//! Whether mails go out, and what the DNS says of the domain that they come from.

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::egress::SystemResolver;
use angarium_channels::email::{Mail, Mailer};
use angarium_channels::sender_domain::examine as look_up;
use angarium_domain::letter::Letter;
use angarium_domain::mail_address::MailAddress;
use angarium_domain::outcome::{Class, RetryOn};
use angarium_domain::sender_domain::{Record, State};
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;

use super::report::Report;
use crate::mailing::{mailing, sender_domain};
use crate::service::extra_roots;
use crate::settings::Settings;

/// How long one mail may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Looks the records of the sender's domain up.
pub(super) async fn domain(report: &mut Report, settings: &Settings) {
    let Some(sender) = sender_domain(settings) else { return };
    let names = match SystemResolver::new() {
        Ok(names) => names,
        Err(error) => {
            let advice = "correct the name servers of this machine (/etc/resolv.conf)";
            return report.wrong("e-mail", &error.to_string(), advice);
        }
    };
    for record in look_up(&names, &sender).await.records {
        tell(report, &record);
    }
}

/// Whether anybody is told of reports.
pub(super) fn reports(report: &mut Report, settings: &Settings) {
    match &settings.support.handle {
        Some(handle) => report.note(
            "reports",
            &format!("the handle {handle} is to be told of them"),
            Some("see that somebody reads its mails or its inbox: whether there is such a handle only the service knows"),
        ),
        None => report.note(
            "reports",
            "nobody is told of them; they are listed at /v2/operator/reports",
            Some("name a handle of your own in support.handle; docs/support.md tells how"),
        ),
    }
}

fn tell(report: &mut Report, record: &Record) {
    let Record { name, record_type, expected, found, state } = record;
    let kind = format!("{record_type:?}").to_uppercase();
    let advice = format!("set the {kind} record of {name} to: {expected}");
    match state {
        State::Verified => report.well("e-mail", &format!("the {kind} record of {name} is as it should be")),
        State::Pending => report.wrong("e-mail", &format!("{name} has no {kind} record for mails"), &advice),
        State::Failed => {
            let text = format!("the {kind} record of {name} is wrong: {}", found.join(" | "));
            report.wrong("e-mail", &text, &advice);
        }
        State::TemporarilyFailed => {
            let text = format!("the name servers of {name} do not answer");
            report.note("e-mail", &text, Some("ask again later"));
        }
    }
}

/// Sends one mail as the settings say.
pub(super) async fn send(report: &mut Report, settings: &Settings, to: &MailAddress) {
    let advice = "correct [email] and [ses]; docs/email.md says what each outcome means";
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mailer: Arc<dyn Mailer> = match extra_roots(&settings.egress)
        .map_err(|error| error.to_string())
        .and_then(|roots| mailing(settings, roots, clock.clone()).map_err(|error| error.to_string()))
    {
        Ok(mailing) => mailing.mailer,
        Err(reason) => return report.wrong("e-mail", &reason, advice),
    };
    let now = clock.now();
    let mail = Mail {
        id: format!("doctor-{}", now.as_millis()),
        handle: None,
        to: to.clone(),
        letter: letter(),
        date: now,
    };
    let exchange = mailer.send(mail, DEADLINE).await.expect("nobody else has a connection");
    let outcome = exchange.outcome;
    if outcome.class(RetryOn::Transient) == Class::Delivered {
        let said = exchange.response_body.trim();
        return report
            .well("e-mail", format!("a mail to {to} was taken ({}) {said}", outcome.kind()).trim_end());
    }
    let detail = exchange.detail.unwrap_or_default();
    report.wrong("e-mail", &format!("a mail to {to} was not taken ({}): {detail}", outcome.kind()), advice);
}

fn letter() -> Letter {
    Letter {
        subject: "Test e-mail from Angarium".to_owned(),
        heading: "This is a test".to_owned(),
        paragraphs: vec![
            "Whoever looks after Angarium tries whether its mails arrive. This one did.".to_owned(),
        ],
        ..Letter::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::EmailTransport;

    fn into(folder: &std::path::Path) -> Settings {
        let mut settings = Settings::default();
        settings.email.transport = EmailTransport::Folder;
        settings.email.folder = Some(folder.to_owned());
        settings.email.from = Some("Angarium <events@mail.example>".to_owned());
        settings.listen.public_url = Some("https://events.example.com".to_owned());
        settings
    }

    #[tokio::test]
    async fn a_mail_goes_out_as_the_settings_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let to = "anna@example.com".parse().expect("an address");
        let mut report = Report::default();
        send(&mut report, &into(folder.path()), &to).await;
        assert!(report.to_string().contains("a mail to anna@example.com was taken"), "{report}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);

        let mut report = Report::default();
        send(&mut report, &Settings::default(), &to).await;
        assert_eq!(report.wrongs(), 1, "{report}");
        assert!(report.to_string().contains("not_configured"), "{report}");
    }

    #[test]
    fn a_record_that_is_not_as_it_should_be_is_told_with_what_to_set() {
        use angarium_domain::sender_domain::RecordType;
        let record = |state, found: &[&str]| Record {
            name: "_dmarc.mail.example".to_owned(),
            record_type: RecordType::Txt,
            expected: "v=DMARC1; p=none".to_owned(),
            found: found.iter().map(|&text| text.to_owned()).collect(),
            state,
        };
        for (record, wrongs, words) in [
            (record(State::Verified, &["v=DMARC1; p=none"]), 0, "is as it should be"),
            (record(State::TemporarilyFailed, &[]), 0, "do not answer"),
            (
                record(State::Pending, &[]),
                1,
                "set the TXT record of _dmarc.mail.example to: v=DMARC1; p=none",
            ),
            (record(State::Failed, &["v=DMARC1"]), 1, "is wrong: v=DMARC1"),
        ] {
            let mut report = Report::default();
            tell(&mut report, &record);
            assert_eq!(report.wrongs(), wrongs, "{report}");
            assert!(report.to_string().contains(words), "{report}");
        }
    }
}

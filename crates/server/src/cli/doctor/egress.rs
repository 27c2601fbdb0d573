//! Where attempts may go, and whether a given address is among it.

use std::sync::Arc;
use std::time::Duration;

use angarium_channels::egress::{Denied, Guard, SystemResolver};

use super::report::Report;
use crate::service::address_policy;
use crate::settings::{EgressSettings, Settings};

/// As long as an attempt gives its lookup, and then some.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Sums the policy up.
pub(super) fn policy(report: &mut Report, settings: &EgressSettings) {
    if settings.allow.is_empty() {
        return report.well("egress", "webhooks go to the public internet over https, and nowhere else");
    }
    let rules: Vec<String> = settings.allow.iter().map(ToString::to_string).collect();
    let scheme = if settings.allow_http { "http or https" } else { "https" };
    let text =
        format!("webhooks go to the public internet over https, and over {scheme} to {}", rules.join(", "));
    report.note("egress", &text, None);
}

/// Resolves and judges addresses as an attempt would. Nothing is connected: the test route of a
/// webhook does that, with the same guard around it.
pub(super) async fn endpoints(report: &mut Report, settings: &Settings, urls: &[String]) {
    if urls.is_empty() {
        return;
    }
    let resolver = match SystemResolver::new() {
        Ok(resolver) => Arc::new(resolver),
        Err(error) => {
            let advice = "correct the name servers of this machine (/etc/resolv.conf)";
            return report.wrong("endpoint", &error.to_string(), advice);
        }
    };
    let guard =
        Guard::new(address_policy(&settings.egress, settings.listen.address), resolver, LOOKUP_TIMEOUT);
    for url in urls {
        endpoint(report, &guard, url).await;
    }
}

async fn endpoint(report: &mut Report, guard: &Guard, url: &str) {
    let judged = match guard.read(url) {
        Ok(endpoint) => guard.addresses(&endpoint).await,
        Err(refused) => Err(Denied::Blocked(refused)),
    };
    match judged {
        Ok(addresses) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            report.well("endpoint", &format!("{url} may be connected to, at {}", addresses.join(", ")));
        }
        Err(Denied::Blocked(refused)) => {
            let advice = "use a public https address, or open its network with [egress] allow";
            report.wrong("endpoint", &format!("{url} is refused: {refused}"), advice);
        }
        Err(Denied::Unresolved(error)) => {
            let advice = "check the name, its public DNS records, and this machine's name servers";
            report.wrong("endpoint", &format!("{url} cannot be resolved: {error}"), advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn report_on(settings: &Settings, url: &str) -> String {
        let mut report = Report::default();
        endpoints(&mut report, settings, &[url.to_owned()]).await;
        report.to_string()
    }

    #[tokio::test]
    async fn an_address_is_judged_by_the_policy_of_the_settings() {
        let mut settings = Settings::default();
        let url = "http://127.0.0.1:9000/hook";
        assert!(report_on(&settings, url).await.starts_with("WRONG  endpoint"));
        settings.egress.allow = vec!["127.0.0.0/8:9000".parse().expect("a rule")];
        settings.egress.allow_http = true;
        assert_eq!(
            report_on(&settings, url).await,
            "ok     endpoint  http://127.0.0.1:9000/hook may be connected to, at 127.0.0.1:9000\n"
        );
        let own = format!("http://{}/", settings.listen.address);
        assert!(report_on(&settings, &own).await.starts_with("WRONG  endpoint"));
    }
}

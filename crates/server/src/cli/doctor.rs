//! `angarium doctor`: what is wrong with an installation, and what to do about it.
//!
//! Looks at the settings, the keys, the store, the clock and the network as
//! the service would, makes nothing that is not there, and asks a service that
//! runs how it is. A store that is not in use is opened as `serve` opens it.

mod egress;
mod installation;
mod mails;
mod report;
mod running;

use angarium_domain::mail_address::MailAddress;
use anyhow::bail;
use clap::Args;
use url::Url;

use crate::cli::settings_file::SettingsFile;
use crate::cli::table::show;
use crate::settings::{Environment, Settings};

use report::Report;

/// Look for what is wrong with this installation, and say what to do
///
/// Run it where the service runs, with the same settings. It exits with 1 if something is wrong.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    settings: SettingsFile,
    /// Where a running service answers; the address of the settings if not given
    #[arg(long, value_name = "URL", env = "ANGARIUM_URL")]
    url: Option<Url>,
    /// Resolve and judge the address of a webhook, as an attempt would; may be given several times
    #[arg(long = "endpoint", value_name = "URL")]
    endpoints: Vec<String>,
    /// Send one mail to this address, as the settings say
    #[arg(long, value_name = "ADDRESS")]
    mail_to: Option<MailAddress>,
}

/// Runs the command.
pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<()> {
    let mut report = Report::default();
    match args.settings.load(&Environment::of_the_process(), Vec::new()) {
        Ok(settings) => {
            report.well("settings", "can be read, and every key is known");
            examine(&mut report, &settings, &args).await;
        }
        Err(error) => {
            report.wrong(
                "settings",
                &format!("{error:#}"),
                "correct the setting; the service does not start with it",
            );
            if let Some(url) = &args.url {
                running::examine(&mut report, url, None).await;
            }
        }
    }
    show(&report.to_string());
    match report.wrongs() {
        0 => Ok(()),
        1 => bail!("one thing is wrong"),
        several => bail!("{several} things are wrong"),
    }
}

async fn examine(report: &mut Report, settings: &Settings, args: &DoctorArgs) {
    installation::clock(report);
    installation::jwt_keys(report, settings).await;
    let store = installation::store(report, &settings.store).await;
    installation::disk(report, &settings.store.path);
    egress::policy(report, &settings.egress);
    egress::endpoints(report, settings, &args.endpoints).await;
    mails::domain(report, settings).await;
    mails::reports(report, settings);
    if let Some(to) = &args.mail_to {
        mails::send(report, settings, to).await;
    }
    let url = args.url.clone().unwrap_or_else(|| running::url_of(settings.listen.address));
    running::examine(report, &url, Some(store)).await;
}

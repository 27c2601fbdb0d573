//! `angarium audit`: who did what, and whether the log is as it was written.

use angarium_domain::audit::Head;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_store::sqlite::{Walked, walk_audit};
use anyhow::bail;
use clap::{Args, Subcommand};

use crate::cli::answers::AuditLine;
use crate::cli::client::ConnectionArgs;
use crate::cli::settings_file::SettingsFile;
use crate::cli::span::{Moment, moment};
use crate::cli::table::{Table, show};
use crate::settings::Environment;

/// Show who did what, and verify that the log of it is as it was written
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what was done on a handle, newest first; needs OWNER or the scope audit.read
    List(ListArgs),
    /// Walk along the chain of all rows in the store
    ///
    /// Runs beside the store, which it only reads; a running service does not mind. It prints the
    /// head of the chain: note it elsewhere, and give it with --noted later, for only so is it seen
    /// when somebody wrote the whole log anew. It exits with 1 if something is wrong.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// By one actor: tok_…, jwt:name
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Of one kind, such as subscription.deleted
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// To one object: sub_…, tok_…, dlv_…, rpl_…
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// At this time or later: 15m, 1h, 7d ago, or a time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Moment>,
    /// Before this time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Moment>,
    /// The most lines
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// A head that an earlier run printed, which must be in the chain; may be given several times
    #[arg(long, value_name = "NUMBER:HASH")]
    noted: Vec<Head>,
    #[command(flatten)]
    settings: SettingsFile,
}

/// Runs the command.
pub(crate) async fn run(args: AuditArgs) -> anyhow::Result<()> {
    match args.what {
        What::List(args) => list(args).await,
        What::Verify(args) => verify(&args),
    }
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let filters = args.filters(SystemClock.now());
    let lines: Vec<AuditLine> = args.connection.client()?.list("/audit", &filters, args.limit).await?;
    show(&listed(&lines));
    Ok(())
}

impl ListArgs {
    fn filters(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let time = |moment: Option<Moment>| moment.map(|moment| moment.before(now).to_string());
        let filters = [
            ("actor", self.actor.clone()),
            ("action", self.action.clone()),
            ("object", self.object.clone()),
            ("since", time(self.since)),
            ("until", time(self.until)),
        ];
        filters.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
    }
}

fn listed(lines: &[AuditLine]) -> String {
    if lines.is_empty() {
        return "nothing matches\n".to_owned();
    }
    let mut table = Table::with_headings(&["NUMBER", "AT", "ACTOR", "FROM", "ACTION", "OBJECT", "WHAT"]);
    for line in lines {
        table.row([
            line.number.to_string(),
            line.at.to_string(),
            line.actor.clone(),
            line.ip.map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
            line.action.clone(),
            line.object.clone(),
            line.fields().join(", "),
        ]);
    }
    table.text()
}

fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let settings = args.settings.load(&Environment::of_the_process(), Vec::new())?;
    let (report, wrongs) = report(&walk_audit(&settings.store.path, &args.noted)?);
    show(&report);
    if wrongs > 0 {
        bail!("the audit log of {} is not as it was written", settings.store.path.display());
    }
    Ok(())
}

/// What to print, and how many things are wrong.
fn report(walked: &Walked) -> (String, usize) {
    let Walked { head, broken, noted } = walked;
    let mut lines = Vec::new();
    let mut wrongs = 0;
    match broken {
        None => lines.push(format!("{} rows, and each is as it was written", head.number)),
        Some(broken) => {
            wrongs += 1;
            lines.push(format!("WRONG  {broken}"));
            lines.push(format!("the {} rows before that are as they were written", head.number));
        }
    }
    for (head, found) in noted {
        if *found {
            lines.push(format!("the noted head {head} is in the chain"));
        } else {
            wrongs += 1;
            lines.push(format!("WRONG  the noted head {head} is not in the chain"));
        }
    }
    lines.push(format!("head   {head}"));
    (lines.join("\n") + "\n", wrongs)
}

#[cfg(test)]
mod tests {
    use angarium_domain::audit::Broken;

    use super::*;

    fn line(more: &serde_json::Value) -> AuditLine {
        let mut line = serde_json::json!({
            "number": 7, "at": "2026-02-25T12:00:00Z", "actor": "jwt:anna", "action": "subscription.changed",
            "object": "sub_1", "ip": "192.0.2.1", "before": null, "after": null,
        });
        line.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(line).expect("a line")
    }

    #[test]
    fn a_line_names_the_fields_that_were_changed() {
        let lines = [
            line(&serde_json::json!({ "before": { "b": 1 }, "after": { "a": 2, "b": 2 } })),
            line(&serde_json::json!({ "number": 6, "ip": null, "action": "access.refused" })),
        ];
        let expected = "\
NUMBER  AT                    ACTOR     FROM       ACTION                OBJECT  WHAT
7       2026-02-25T12:00:00Z  jwt:anna  192.0.2.1  subscription.changed  sub_1   a, b
6       2026-02-25T12:00:00Z  jwt:anna  -          access.refused        sub_1
";
        assert_eq!(listed(&lines), expected);
        assert_eq!(listed(&[]), "nothing matches\n");
    }

    #[test]
    fn whatever_is_wrong_is_counted_and_named() {
        let head = Head::default();
        let well = Walked { head, broken: None, noted: vec![(head, true)] };
        assert_eq!(report(&well).1, 0);
        let broken = Some(Broken::Changed { number: 1 });
        let (text, wrongs) = report(&Walked { head, broken, noted: vec![(head, false)] });
        assert_eq!(wrongs, 2, "{text}");
        assert!(
            text.contains("WRONG  row 1 was changed") && text.contains("WRONG  the noted head"),
            "{text}"
        );
    }
}

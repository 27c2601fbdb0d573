//! `angarium verify`: does this captured request prove its origin, and if not, why?

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use angarium_domain::time::Timestamp;
use angarium_verify::{Finding, Received, TOLERANCE, Verdict, VerifyKey};
use anyhow::{Context, bail, ensure};
use secrecy::SecretString;

use super::sink;
use super::sink::message::{Message, header_in_line, headers_in};

/// What help says about input and exit code.
const INPUT: &str = "\
Give either --request, with a raw HTTP/1.1 request or one object of the sink's GET /requests,
or --body-file with --headers-file or --header. The exit code is 0 if a signature holds.";

/// Check the signatures of a captured request, and say what is wrong with them.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = INPUT)]
pub(crate) struct VerifyArgs {
    /// The subscription's secret or public key: whsec_…, whpk_…; may be given several times
    #[arg(long = "secret", value_name = "SECRET", required = true)]
    secrets: Vec<SecretString>,
    /// A file with the whole request; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["headers_file", "headers", "body_file"])]
    request: Option<PathBuf>,
    /// A file with one "name: value" a line
    #[arg(long, value_name = "FILE", requires = "body_file")]
    headers_file: Option<PathBuf>,
    /// One header; may be given several times
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "body_file")]
    headers: Vec<String>,
    /// A file with the raw body; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "request")]
    body_file: Option<PathBuf>,
    /// Judge timestamps as at this time: RFC 3339 or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = time)]
    now: Option<Timestamp>,
    /// How many seconds a timestamp may lie from now, both ways
    #[arg(long, value_name = "SECONDS", default_value_t = TOLERANCE.as_secs())]
    tolerance: u64,
}

/// Prints a line for each signature, and fails if none holds.
#[expect(clippy::unused_async, reason = "every command runs in the same way")]
pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<()> {
    let keys = sink::keys(&args.secrets)?;
    let findings = judge(&args.message()?, &keys, args.now.unwrap_or_else(sink::now), args.tolerance);
    for finding in &findings {
        println!("{:<14}{}", finding.profile.as_str(), finding.verdict);
    }
    ensure!(!findings.is_empty(), "the request carries no signature that we know");
    let verified = findings.iter().any(|finding| finding.verdict == Verdict::Verified);
    ensure!(verified, "no signature of the request holds");
    Ok(())
}

/// The findings about what the request carries.
fn judge(message: &Message, keys: &[VerifyKey], now: Timestamp, tolerance: u64) -> Vec<Finding> {
    let received = Received { header: &|name| message.header(name), body: &message.body };
    let findings =
        angarium_verify::verify(keys, &received, sink::unix_seconds(now), Duration::from_secs(tolerance));
    findings.into_iter().filter(|finding| finding.verdict != Verdict::Absent).collect()
}

impl VerifyArgs {
    fn message(&self) -> anyhow::Result<Message> {
        match (&self.request, &self.body_file) {
            (Some(request), _) => whole(&read(request)?),
            (None, Some(body)) => Ok(Message { headers: self.all_headers()?, body: read(body)?.into() }),
            (None, None) => bail!("give --request, or --body-file with headers"),
        }
    }

    fn all_headers(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        if let Some(file) = &self.headers_file {
            headers = headers_in(String::from_utf8_lossy(&read(file)?).lines())?;
        }
        for line in &self.headers {
            headers.push(header_in_line(line)?);
        }
        Ok(headers)
    }
}

/// A request in either of the forms that `--request` takes.
fn whole(bytes: &[u8]) -> anyhow::Result<Message> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        serde_json::from_slice(bytes).context("the object is not a request as the sink logs it")
    } else {
        Ok(Message::from_http(bytes)?)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Timestamp::from_seconds(seconds));
    }
    text.parse::<Timestamp>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const RAW: &str = "POST /hook HTTP/1.1\r\nHost: example.com\r\nWebhook-Id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\n\
        Webhook-Timestamp: 1614265330\r\nContent-Length: 20\r\n\
        Webhook-Signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n\r\n{\"test\": 2432232314}";

    /// The lines about a request at the time of its signature, and so many seconds later.
    fn lines(request: &str, later: i64) -> Vec<String> {
        let message = whole(request.as_bytes()).expect("a request");
        let keys = [VerifyKey::parse(SECRET).expect("a key")];
        let findings = judge(&message, &keys, Timestamp::from_seconds(1_614_265_330 + later), 300);
        findings.iter().map(|finding| format!("{}: {}", finding.profile, finding.verdict)).collect()
    }

    #[test]
    fn a_raw_capture_is_judged_with_or_without_what_the_tool_added() {
        assert_eq!(lines(RAW, 0), ["standard: verified"]);
        assert_eq!(lines(&format!("{RAW}\n"), 300), ["standard: verified"]);
        assert_eq!(lines(RAW, 301), ["standard: timestamp is 301 s old, the limit is 300 s"]);
    }

    #[test]
    fn an_object_of_the_sinks_log_is_judged_the_same() {
        let message = Message::from_http(RAW.as_bytes()).expect("a request");
        let object = serde_json::to_string(&message).expect("text");
        assert_eq!(lines(&object, 0), ["standard: verified"]);
        let wrong = "standard: signature was made with another secret, or the body was changed on its way";
        assert_eq!(lines(&object.replace("2432232314", "2432232315"), 0), [wrong]);
        assert!(whole(b"{\"body\":1}").is_err());
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time("1614265330"), time("2021-02-25T15:02:10Z"));
        assert!(time("yesterday").is_err());
    }
}

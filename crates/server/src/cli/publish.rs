//! `angarium publish`: sends events to the service.

use std::io::Read;
use std::path::{Path, PathBuf};

use angarium_domain::event_type::EventType;
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::answers::{Accepted, deliveries};
use crate::cli::client::{ClientError, ConnectionArgs, new_key};
use crate::cli::table::show;

/// Publish events, and print their ids once they are on stable storage
///
/// If the connection breaks, the event is sent again under the same idempotency key, so that it
/// is published once.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// What happened, such as order.fulfilled
    #[arg(long = "type", value_name = "TYPE")]
    event_type: EventType,
    /// What is to be said about it: a JSON object
    #[arg(long, value_name = "JSON", required_unless_present = "payload_file")]
    payload: Option<String>,
    /// A file with the payload; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "payload")]
    payload_file: Option<PathBuf>,
    /// When it happened; now if not given
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// Events with the same key reach an ordered subscription in the order of their acceptance
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
    /// Publishing again under the same key changes nothing; a fresh one if not given
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How many such events to publish; the keys of all but a single one end in a number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// An event as the wire has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NewEvent<'a> {
    r#type: &'a EventType,
    payload: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordering_key: Option<&'a str>,
}

/// Runs the command.
pub(crate) async fn run(args: PublishArgs) -> anyhow::Result<()> {
    let client = args.connection.client()?;
    let payload = args.payload()?;
    let event = NewEvent {
        r#type: &args.event_type,
        payload: &payload,
        occurred_at: args.occurred_at.as_deref(),
        ordering_key: args.ordering_key.as_deref(),
    };
    let key = args.idempotency_key.clone().unwrap_or_else(new_key);
    for number in 1..=args.count {
        let published: Result<Accepted, ClientError> =
            client.post_as(&key_of(&key, number, args.count), "/events", &event).await;
        match published {
            Ok(accepted) => show(&line(accepted)),
            Err(error) => return Err(interrupted(error, &key, number, args.count)),
        }
    }
    Ok(())
}

impl PublishArgs {
    fn payload(&self) -> anyhow::Result<Box<RawValue>> {
        let text = match (&self.payload, &self.payload_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => read(path).with_context(|| format!("cannot read {}", path.display()))?,
            (None, None) => anyhow::bail!("give --payload or --payload-file"),
        };
        RawValue::from_string(text.trim().to_owned()).context("the payload is not JSON")
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

fn key_of(key: &str, number: u32, count: u32) -> String {
    if count == 1 { key.to_owned() } else { format!("{key}-{number}") }
}

fn line(accepted: Accepted) -> String {
    format!("{}  {}\n", accepted.event_id, deliveries(accepted.deliveries))
}

/// Tells how to go on without publishing anything twice, where going on makes sense.
fn interrupted(error: ClientError, key: &str, number: u32, count: u32) -> anyhow::Error {
    let unsure = matches!(error, ClientError::Unreachable { .. });
    let error = anyhow::Error::new(error);
    if !unsure && number == 1 {
        return error;
    }
    error.context(format!(
        "{} of {count} published; the same command with --idempotency-key {key} goes on without repeating any",
        number - 1
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_command_have_keys_of_their_own() {
        assert_eq!(key_of("k", 1, 1), "k");
        assert_eq!([1, 2].map(|number| key_of("k", number, 2)), ["k-1", "k-2"]);
    }

    #[test]
    fn a_payload_keeps_the_form_of_its_numbers() {
        let payload =
            RawValue::from_string(r#"{"n":1.10,"big":12345678901234567890123}"#.to_owned()).expect("JSON");
        let event_type: EventType = "order.paid".parse().expect("a type");
        let event =
            NewEvent { r#type: &event_type, payload: &payload, occurred_at: None, ordering_key: Some("o1") };
        assert_eq!(
            serde_json::to_string(&event).expect("JSON"),
            r#"{"type":"order.paid","payload":{"n":1.10,"big":12345678901234567890123},"orderingKey":"o1"}"#
        );
    }

    #[test]
    fn an_interrupted_run_says_how_to_go_on() {
        let words = |error, number| interrupted(error, "k", number, 5).to_string();
        let unreachable =
            || ClientError::Unreachable { url: "http://x".to_owned(), reason: "gone".to_owned() };
        let on = "published; the same command with --idempotency-key k goes on without repeating any";
        assert_eq!(words(unreachable(), 1), format!("0 of 5 {on}"));
        assert_eq!(words(ClientError::Token, 3), format!("2 of 5 {on}"));
        assert_eq!(words(ClientError::Token, 1), "the token holds characters that no token has");
    }
}

//! `cargo xtask`: checks, measurements and trials of this repository.

mod backup;
mod bench;
mod beside;
mod chaos;
mod check;
mod crash_points;
mod docs;
mod email;
mod example_receivers;
mod examples;
mod fuzz;
mod measure;
mod ordered;
mod paced;
mod replays;
mod s3;
mod schemathesis;
mod ses;
mod sim;
mod tidy;
mod verify_libraries;

mod lane;
mod ledger;
mod producer;
mod trial;
mod witness;

mod agent;
mod api;
mod asker;
mod clock;
mod cloud_peer;
mod mail_peer;
mod patience;
mod product;
mod random;
mod receiver;
mod source;
mod statistics;
mod wire;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Checks, measurements and trials of this repository")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that continuous integration runs
    ///
    /// Format, tidy, clippy, tests and simulation; with --full also the release binary in chaos, at crash
    /// points, in its demo, and against the official libraries. Prints each step's time and stops at the
    /// first failure.
    Check(check::CheckArgs),

    /// The rules that compilers do not check
    ///
    /// Dependency arrows between our crates, crates that may not be in the tree, SQL outside of the store,
    /// modules that are drawers, files that no module leads to, notes without a number, folders of
    /// somebody's machine.
    Tidy,

    /// Writes the pages of docs/ that the code says
    ///
    /// docs/metrics.md and docs/settings.md. `tidy` fails when a page is not what the code says.
    Docs,

    /// Sizes of files and functions beside those of good models; never fails
    Measure,

    /// What the release binary does on this machine, beside what the machine can do
    ///
    /// Generator, product and receiver share the machine, so the ceilings in the same table say how much
    /// of it they leave. Fails only if something accepted did not arrive.
    Bench(bench::BenchArgs),

    /// Kills the release binary at random moments under load, and compares all ledgers
    ///
    /// The producer notes every 202 and asks again under the same key when an answer was lost; the receiver
    /// notes every request; the API lists every delivery. Fails if anything was lost, is stuck, was invented
    /// or came changed. A failure names the seed that repeats it.
    Chaos(chaos::ChaosArgs),

    /// Kills the release binary at random moments while everything beside webhooks is used at once
    ///
    /// Voice notes, sources and their syncs, mails and consent by a real mail server, an inbox with several
    /// readers, chains, and owners' alerts. After each kill every count that is kept is counted anew in the
    /// stopped store; at the end, fails if anything accepted is missing, twice, stuck or otherwise than it was
    /// answered. A failure names the seed that repeats it. Installs aiosmtpd with pip under target/email.
    ChaosBeside(beside::BesideArgs),

    /// Takes a backup under load, loses the store, and restores the backup
    ///
    /// Nothing that was accepted before the backup began may be missing afterwards, and all of it must come
    /// to its end.
    Backup(backup::BackupArgs),

    /// Many ordering keys, some in trouble: no key out of order, and the others none the slower
    ///
    /// Runs twice, without refusals and with every tenth request refused, all of them of every fifth key.
    /// Fails on anything out of order or missing, and if keys without trouble suffer by those with it.
    Ordered(ordered::OrderedArgs),

    /// A rate of requests a second, as the receiver counts it
    ///
    /// Publishes a backlog and fails if any second holds more than the rate and one request, if anything is
    /// missing, or if the rate is not used.
    Paced(paced::PacedArgs),

    /// Ends the release binary at each named place, and compares all ledgers
    ///
    /// Every place must really be reached, as often as --hits says, and nothing may be lost by it.
    CrashPoints(crash_points::CrashPointsArgs),

    /// Mails with a mail server that others built: consent, an outage, bounces, and an owner without an address
    ///
    /// Installs aiosmtpd with pip under target/email. Fails if anything is lost or given up in the outage, if
    /// consent comes or goes otherwise than by its button, or if the API, the log or the figures do not show it.
    Email(email::EmailArgs),

    /// Runs the scripts in examples/ against a fresh installation
    ///
    /// Each checks its own answers; tokens are minted by the binary.
    Examples(examples::ExamplesArgs),

    /// Lets a fuzzer try everything that reads what strangers send
    ///
    /// URL policy, Retry-After, cursors, idempotency keys, signature headers. Inputs that reached new code
    /// are kept under target/fuzz-corpus for the next time; an input that fails is kept and named.
    Fuzz(fuzz::FuzzArgs),

    /// Replays many dead letters with two jobs at once, and kills the release binary half way
    ///
    /// Each letter must have one replay, in the API's log and at the receiver; a second arrival is right
    /// only where the kill interrupted an attempt.
    Replays(replays::ReplaysArgs),

    /// The OpenAPI documents in the hands of schemathesis: no server error, no answer beside the document
    ///
    /// Installs schemathesis and a validator with pip under target/schemathesis. Makes thousands of
    /// requests, those that fit the document and those that do not; the seed decides them.
    Schemathesis(schemathesis::SchemathesisArgs),

    /// Mails through Amazon SES as others built it, which verifies every signature
    ///
    /// Installs moto with pip under target/ses. A mail that is taken, one with another secret, and one of a
    /// sender that is not verified.
    Ses(ses::SesArgs),

    /// Voice notes in an S3-compatible store as others built it, with addresses that botocore signs alike
    ///
    /// Installs moto with pip under target/ses. A note from its announcement to its removal, one that is no
    /// recording, and one of another size.
    S3(s3::S3Args),

    /// Worlds with virtual time, a seed each, in which everything goes wrong
    ///
    /// Tier one drives the dispatcher alone, tier two the whole engine; both end with the promises as
    /// code. A failure names the seed that repeats it.
    Sim(sim::SimArgs),

    /// Verifies real deliveries with the official Standard Webhooks libraries
    ///
    /// Installs them with pip and npm under target/verify. Covers every profile with a shared secret,
    /// before and during a rotation, with changed bodies and foreign secrets as counter-checks. Then
    /// starts the receivers in examples/, delivers to each, and sends each a forged event.
    VerifyLibraries(verify_libraries::VerifyArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = tokio::select! {
        result = run(Arguments::parse().command) => result,
        result = interrupted() => result,
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    // The chain of reasons, and no stack: what failed is the thing tried, seldom the tool.
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// Ends with the first request to stop. What runs is dropped then, and with it every process it started.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => bail!("asked to stop"),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Check(args) => check::run(args).await,
        Command::Tidy => tidy::run(),
        Command::Docs => docs::run(),
        Command::Measure => measure::run(),
        Command::Bench(args) => bench::run(args).await,
        Command::Chaos(args) => chaos::run(args).await,
        Command::ChaosBeside(args) => beside::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::CrashPoints(args) => crash_points::run(args).await,
        Command::Email(args) => email::run(args).await,
        Command::Examples(args) => examples::run(args).await,
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Ordered(args) => ordered::run(args).await,
        Command::Paced(args) => paced::run(args).await,
        Command::Replays(args) => replays::run(args).await,
        Command::Schemathesis(args) => schemathesis::run(args).await,
        Command::S3(args) => s3::run(args).await,
        Command::Ses(args) => ses::run(&args),
        Command::Sim(args) => sim::run(args).await,
        Command::VerifyLibraries(args) => verify_libraries::run(args).await,
    }
}

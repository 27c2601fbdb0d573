//! The command line. A command is a file with `Args` and `run`, and a line in the table below.

mod answers;
mod audit;
mod backup;
mod client;
mod dead_letters;
mod deliveries;
pub mod demo;
mod doctor;
mod filter;
mod handles;
mod key;
mod migrate;
mod openapi;
mod publish;
mod replay;
mod reseal;
mod restore;
mod serve;
mod settings;
mod settings_file;
mod sink;
mod span;
mod stats;
mod table;
mod tail;
mod token;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Signed webhooks that are delivered, or say why not.
#[derive(Debug, Parser)]
#[command(name = "angarium", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// Makes the list of commands and the way to each. What a command is for stands at its
/// `Args`, or in a line here where that is shorter.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident => $module:ident::$args:ident,)*) => {
        #[derive(Debug, Subcommand)]
        enum Command { $($(#[$doc])* $name($module::$args),)* }

        impl Command {
            async fn run(self) -> anyhow::Result<()> {
                match self { $(Command::$name(args) => $module::run(args).await,)* }
            }
        }
    };
}

commands! {
    Serve => serve::ServeArgs,
    Sink => sink::SinkArgs,
    Verify => verify::VerifyArgs,
    Token => token::TokenArgs,
    Handles => handles::HandlesArgs,
    Key => key::KeyArgs,
    Publish => publish::PublishArgs,
    Deliveries => deliveries::DeliveriesArgs,
    Tail => tail::TailArgs,
    DeadLetters => dead_letters::DeadLettersArgs,
    Replay => replay::ReplayArgs,
    Audit => audit::AuditArgs,
    Stats => stats::StatsArgs,
    Demo => demo::DemoArgs,
    Doctor => doctor::DoctorArgs,
    Settings => settings::SettingsArgs,
    Backup => backup::BackupArgs,
    Restore => restore::RestoreArgs,
    Migrate => migrate::MigrateArgs,
    Reseal => reseal::ResealArgs,
    Openapi => openapi::OpenapiArgs,
}

/// How long threads that nobody waits for may go on.
const EXIT_WITHIN: Duration = Duration::from_secs(3);

/// Does what the command line says.
pub fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let done = runtime.block_on(command.run());
    // What a thread still does for nobody, such as a decoder that hangs, must not hold up the exit.
    runtime.shutdown_timeout(EXIT_WITHIN);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The error and what caused it, on one line.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("angarium: {error:#}");
    ExitCode::FAILURE
}

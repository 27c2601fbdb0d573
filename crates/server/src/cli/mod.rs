//! The command line. A command is a file with `Args` and `run`, and a line in the table below.

mod serve;
mod sink;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Signed webhooks that are delivered, or say why not.
#[derive(Debug, Parser)]
#[command(name = "angarium", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// Makes the list of commands and the way to each.
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
    /// Runs the service.
    Serve => serve::ServeArgs,
    /// Receives webhooks and shows them: a receiver to try things with.
    Sink => sink::SinkArgs,
    /// Checks the signatures of a captured webhook.
    Verify => verify::VerifyArgs,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(command.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The error and what caused it, on one line.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("angarium: {error:#}");
    ExitCode::FAILURE
}

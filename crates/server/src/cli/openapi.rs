//! `openapi`: what the API is, for programs that read OpenAPI, and for people.

use std::io::Write;

use clap::ValueEnum;

use crate::api::dialect::Dialect;
use crate::openapi::{of, page, text};

/// Prints the OpenAPI document of an API
#[derive(Debug, clap::Args)]
pub(super) struct OpenapiArgs {
    /// Which API
    #[arg(value_enum, default_value_t = Api::V2)]
    api: Api,
    /// As a page for people, which needs nothing beside it
    #[arg(long)]
    html: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Api {
    /// Handles, and what belongs to them
    V2,
    /// The same webhooks in the words of organizations
    V1,
}

#[expect(clippy::unused_async, reason = "the table of commands awaits all of them")]
pub(super) async fn run(args: OpenapiArgs) -> anyhow::Result<()> {
    let dialect = match args.api {
        Api::V2 => Dialect::V2,
        Api::V1 => Dialect::V1,
    };
    let printed = if args.html { page(dialect) } else { text(of(dialect)) };
    Ok(std::io::stdout().write_all(printed.as_bytes())?)
}

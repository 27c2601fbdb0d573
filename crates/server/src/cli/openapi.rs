//! `openapi`: what the API is, for programs that read OpenAPI.

use std::io::Write;

use clap::ValueEnum;

use crate::openapi::{text, v1, v2};

/// Prints the OpenAPI document of an API
#[derive(Debug, clap::Args)]
pub(super) struct OpenapiArgs {
    /// Which API
    #[arg(value_enum, default_value_t = Api::V2)]
    api: Api,
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
    let document = match args.api {
        Api::V2 => v2(),
        Api::V1 => v1(),
    };
    Ok(std::io::stdout().write_all(text(document).as_bytes())?)
}

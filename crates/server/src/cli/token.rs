//! `angarium token`: credentials for people (JWTs) and for programs (personal access tokens).

use std::collections::BTreeMap;
use std::time::Duration;

use angarium_domain::access::{Role, Scope};
use angarium_domain::handle::Handle;
use angarium_domain::ids::TokenId;
use angarium_domain::time::Timestamp;
use angarium_engine::Clock;
use angarium_engine::clock::SystemClock;
use angarium_engine::ids::RandomIds;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::cli::answers::{Token, word};
use crate::cli::client::ConnectionArgs;
use crate::cli::settings_file::SettingsFile;
use crate::cli::span::span;
use crate::cli::table::{Table, show};
use crate::keyring;
use crate::settings::{AuthSettings, Environment, Settings};

/// Make, list and revoke credentials
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sign a JWT with the service's own secret, and print it
    ///
    /// Runs beside the service, since it reads the secret from the settings or the data folder.
    Mint(MintArgs),
    /// Make a personal access token, and print its text, which is shown this once; needs a JWT
    Create(CreateArgs),
    /// List personal access tokens; needs a JWT
    List(ConnectionArgs),
    /// End a personal access token at once; needs a JWT
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
struct MintArgs {
    /// The handle that the token is for; * for every handle
    #[arg(
        long,
        value_name = "HANDLE",
        env = "ANGARIUM_HANDLE",
        value_parser = handle_or_all,
        required_unless_present = "platform_admin"
    )]
    handle: Option<String>,
    /// For whoever looks after handles: `angarium handles`
    #[arg(long)]
    platform_admin: bool,
    /// CREATOR reads, OPERATOR also writes, OWNER may do everything
    #[arg(long, value_name = "ROLE", default_value = "OPERATOR", value_parser = role)]
    role: Role,
    /// How long the token is good
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span)]
    ttl: Duration,
    /// Who it speaks for, in the audit log
    #[arg(long, value_name = "NAME", default_value = "angarium-cli")]
    subject: String,
    #[command(flatten)]
    settings: SettingsFile,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What the token is for, to know it by
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it may do, such as events.write; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = word::<Scope>)]
    scopes: Vec<Scope>,
    /// How long it is good; for ever if not given
    #[arg(long, value_name = "SPAN", value_parser = span)]
    ttl: Option<Duration>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Which token: tok_…
    token_id: TokenId,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What a minted token says.
#[derive(Debug)]
pub(crate) struct Grant<'a> {
    /// A handle, or `*`; none for a role on no handle.
    pub(crate) handle: Option<&'a str>,
    pub(crate) platform_admin: bool,
    pub(crate) role: Role,
    pub(crate) ttl: Duration,
    pub(crate) subject: &'a str,
}

/// Runs the command.
pub(crate) async fn run(args: TokenArgs) -> anyhow::Result<()> {
    match args.what {
        What::Mint(args) => show(&format!("{}\n", mint_for(&args)?)),
        What::Create(args) => show(&format!("{}\n", create(&args).await?)),
        What::List(connection) => {
            let tokens = connection.client()?.list("/tokens", &[], usize::MAX).await?;
            show(&listed(&tokens));
        }
        What::Revoke(RevokeArgs { token_id, connection }) => {
            connection.client()?.delete(&format!("/tokens/{token_id}")).await?;
            show(&format!("{token_id} is revoked\n"));
        }
    }
    Ok(())
}

/// Signs a token as the service's settings want it.
pub(crate) fn mint(
    grant: &Grant<'_>,
    auth: &AuthSettings,
    secret: &SecretString,
    now: Timestamp,
) -> anyhow::Result<String> {
    let expires_at = now + grant.ttl;
    let mut claims = json!({
        "sub": grant.subject,
        "iat": now.as_seconds(),
        "exp": expires_at.as_seconds(),
        auth.roles_claim.as_str(): BTreeMap::from_iter(grant.handle.map(|handle| (handle, grant.role))),
    });
    if grant.platform_admin {
        claims[auth.platform_admin_claim.as_str()] = Value::Bool(true);
    }
    for (name, value) in [("iss", &auth.issuer), ("aud", &auth.audience)] {
        if let Some(value) = value {
            claims[name] = Value::from(value.as_str());
        }
    }
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).context("the token cannot be signed")
}

fn mint_for(args: &MintArgs) -> anyhow::Result<String> {
    let settings = args.settings.load(&Environment::of_the_process(), Vec::new())?;
    let MintArgs { handle, platform_admin, role, ttl, subject, .. } = args;
    let (handle, platform_admin) = (handle.as_deref(), *platform_admin);
    let grant = Grant { handle, platform_admin, role: *role, ttl: *ttl, subject };
    mint(&grant, &settings.auth, &secret_of(&settings)?, SystemClock.now())
}

/// The secret that the service verifies with. None is made: it would be one that no service knows.
fn secret_of(settings: &Settings) -> anyhow::Result<SecretString> {
    if let Some(secret) = keyring::configured_jwt_secret(&settings.auth)? {
        return Ok(secret);
    }
    if !settings.auth.public_keys.is_empty() || settings.auth.jwks.is_some() {
        bail!(
            "this service takes JWTs of an issuer of yours, by [auth] public_keys or jwks: get a token there"
        );
    }
    let path = settings.store.path.with_file_name(keyring::JWT_SECRET);
    if !path.exists() {
        bail!(
            "there is no secret at {}: the first `angarium serve` makes it; if the service keeps its data \
             elsewhere, say where with --config or --store",
            path.display()
        );
    }
    Ok(keyring::own_jwt_secret(&settings.store, &RandomIds::default())?)
}

async fn create(args: &CreateArgs) -> anyhow::Result<String> {
    let mut new = json!({ "name": args.name, "scopes": args.scopes });
    if let Some(ttl) = args.ttl {
        new["expiresAt"] = json!(SystemClock.now() + ttl);
    }
    let made: Token = args.connection.client()?.post("/tokens", &new).await?;
    made.token.context("the service made a token and did not say its text")
}

fn listed(tokens: &[Token]) -> String {
    let mut table = Table::with_headings(&["TOKEN", "NAME", "SCOPES", "MADE", "EXPIRES", "LAST USED"]);
    let or_never = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    for token in tokens {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        table.row([
            token.token_id.to_string(),
            token.name.clone(),
            scopes.join(","),
            token.created_at.to_string(),
            or_never(token.expires_at),
            or_never(token.last_used_at),
        ]);
    }
    table.text()
}

fn role(text: &str) -> Result<Role, String> {
    word(&text.to_uppercase())
}

fn handle_or_all(text: &str) -> Result<String, String> {
    if text != "*" {
        text.parse::<Handle>().map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::keys::verifier;
    use crate::settings::StoreSettings;

    #[tokio::test]
    async fn a_minted_token_is_good_for_its_handle_and_role_until_it_ends() {
        let auth = AuthSettings {
            issuer: Some("us".to_owned()),
            audience: Some("them".to_owned()),
            roles_claim: "roles".to_owned(),
            ..AuthSettings::default()
        };
        let secret = SecretString::from("s".repeat(32));
        let grant = Grant {
            handle: Some("acme"),
            platform_admin: false,
            role: Role::Operator,
            ttl: Duration::from_mins(5),
            subject: "me",
        };
        let token = |now| mint(&grant, &auth, &secret, now).expect("a token");
        let verifier = verifier(&auth, Some(&secret), Arc::new(SystemClock)).await.expect("a verifier");

        let person = verifier.verify(&token(SystemClock.now())).await.expect("a person");
        assert_eq!(person.subject, "me");
        assert_eq!(person.role_on(&"acme".parse().expect("a handle")), Some(Role::Operator));
        assert_eq!(person.role_on(&"other".parse().expect("a handle")), None);
        assert!(!person.platform_admin);
        let admin = Grant { handle: None, platform_admin: true, ..grant };
        let admin = mint(&admin, &auth, &secret, SystemClock.now()).expect("a token");
        let admin = verifier.verify(&admin).await.expect("a person");
        assert_eq!(admin.role_on(&"acme".parse().expect("a handle")), None);
        assert!(admin.platform_admin);

        let past = SystemClock.now().saturating_sub(Duration::from_hours(1));
        assert!(verifier.verify(&token(past)).await.is_err());
    }

    #[test]
    fn a_secret_that_no_service_made_is_not_invented() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = StoreSettings { path: folder.path().join("angarium.db"), ..StoreSettings::default() };
        let error = secret_of(&Settings { store, ..Settings::default() }).expect_err("no secret");
        assert!(error.to_string().contains("jwt.secret"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn roles_are_read_in_any_case_and_unknown_ones_named() {
        assert_eq!(role("owner"), Ok(Role::Owner));
        assert!(role("admin").expect_err("no role").contains("ADMIN"));
        assert_eq!(handle_or_all("*").as_deref(), Ok("*"));
        assert!(handle_or_all("Not A Handle").is_err());
    }
}

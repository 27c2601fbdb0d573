//! Who signs: keys that the operator gave, or what the machine says that it may be.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, Response};
use angarium_domain::outcome::Outcome;
use bytes::Bytes;
use http_body_util::Full;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Env, Error, FileRead, HttpSend, OsEnv, Signer};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;

use crate::egress::{AddressPolicy, Guard, Resolve};
use crate::http::{BODY_READ_BYTES_MAX, Client, Clock, InvalidRoots, Limits};

/// Where machines and containers in the cloud are told who they are. Open to this client alone.
const METADATA_SERVICES: [&str; 4] =
    ["169.254.169.254:80", "169.254.170.2:80", "169.254.170.23:80", "127.0.0.1:*"];
/// The deadline of one question for credentials. Whoever signs has a deadline over all of them.
const DEADLINE: Duration = Duration::from_secs(5);
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Who signs.
#[derive(Clone)]
pub enum AwsCredentials {
    /// Keys from the settings.
    Keys {
        /// Says whose.
        access_key_id: String,
        /// The secret.
        secret_access_key: SecretString,
        /// Belongs to keys that were given for a while.
        session_token: Option<SecretString>,
    },
    /// As the tools of AWS find them: variables, the shared files, web identity, the container's or the
    /// machine's role. Asked for again before they expire.
    Surroundings,
}

/// A signer for one service in one region.
pub(crate) fn signer(
    credentials: AwsCredentials,
    service: &str,
    region: &str,
    resolver: Arc<dyn Resolve>,
    now: Clock,
) -> Result<Signer<Credential>, InvalidRoots> {
    let request_signer = RequestSigner::new(service, region);
    match credentials {
        AwsCredentials::Keys { access_key_id, secret_access_key, session_token } => {
            let keys = StaticCredentialProvider::new(&access_key_id, secret_access_key.expose_secret());
            let keys = match session_token {
                Some(token) => keys.with_session_token(token.expose_secret()),
                None => keys,
            };
            Ok(Signer::new(Context::new(), keys, request_signer))
        }
        AwsCredentials::Surroundings => surroundings(OsEnv, request_signer, resolver, now),
    }
}

fn surroundings(
    env: impl Env,
    request_signer: RequestSigner,
    resolver: Arc<dyn Resolve>,
    now: Clock,
) -> Result<Signer<Credential>, InvalidRoots> {
    let (context, provider) = aws_context(env, resolver, now)?;
    Ok(Signer::new(context, provider, request_signer))
}

/// Who the machine says that it may be, and what that is found out with.
pub(crate) fn aws_context(
    env: impl Env,
    resolver: Arc<dyn Resolve>,
    now: Clock,
) -> Result<(Context, DefaultCredentialProvider), InvalidRoots> {
    let metadata = Metadata::new(resolver, now)?;
    let context = Context::new().with_env(env).with_file_read(Files).with_http_send(metadata);
    // No programs are run.
    let provider = DefaultCredentialProvider::builder().no_process().build();
    Ok((context, provider))
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let path = path.to_owned();
        let read = spawn_blocking(move || {
            let length = std::fs::metadata(&path)?.len();
            if length > FILE_BYTES_MAX {
                return Err(std::io::Error::other("the file is too large for credentials"));
            }
            std::fs::read(&path)
        });
        let read = read.await.map_err(|error| Error::unexpected(error.to_string()))?;
        read.map_err(|error| Error::config_invalid(error.to_string()))
    }
}

/// Asks metadata services, and AWS on the public internet.
struct Metadata {
    client: Client,
}

impl Metadata {
    fn new(resolver: Arc<dyn Resolve>, now: Clock) -> Result<Metadata, InvalidRoots> {
        let allow = METADATA_SERVICES.map(|rule| rule.parse().expect("a rule")).into();
        let policy = AddressPolicy { allow, allow_http: true, ..AddressPolicy::default() };
        let limits = Limits { body_kept_bytes: BODY_READ_BYTES_MAX, ..Limits::default() };
        let guard = Arc::new(Guard::new(policy, resolver, limits.lookup));
        Ok(Metadata { client: Client::new(guard, Vec::new(), now, &limits)? })
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metadata")
    }
}

impl HttpSend for Metadata {
    async fn http_send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let endpoint = request.uri().host().unwrap_or_default().to_owned();
        let exchange = self.client.send(request.map(Full::new), &endpoint, DEADLINE).await;
        let Outcome::Answered { status, .. } = exchange.outcome else {
            return Err(Error::unexpected(exchange.detail.unwrap_or_default()).set_retryable(true));
        };
        let mut response = Response::builder().status(status);
        for (name, value) in &exchange.response_headers {
            response = response.header(name, value);
        }
        let response = response.body(Bytes::from(exchange.response_body));
        response.map_err(|error| Error::unexpected(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ::http::Request;
    use angarium_domain::time::Timestamp;
    use reqsign_core::StaticEnv;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::egress::SystemResolver;

    fn env(vars: &[(&str, &str)]) -> StaticEnv {
        let envs =
            vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<HashMap<_, _>>();
        StaticEnv { home_dir: None, envs }
    }

    /// Whose signature it is, where the machine says this.
    async fn signed_by(vars: &[(&str, &str)]) -> String {
        let resolver = Arc::new(SystemResolver::new().expect("name servers"));
        let now: Clock = Arc::new(|| Timestamp::from_seconds(784_123_200));
        let request_signer = RequestSigner::new("ses", "eu-west-1");
        let signer = surroundings(env(vars), request_signer, resolver, now).expect("the system's roots");
        let (mut parts, ()) = Request::post("https://ses.example/").body(()).expect("a request").into_parts();
        signer.sign(&mut parts, None).await.expect("a signature");
        let authorization = parts.headers["authorization"].to_str().expect("text");
        let (_, rest) = authorization.split_once("Credential=").expect("a credential");
        rest.split('/').next().expect("a key").to_owned()
    }

    #[tokio::test]
    async fn variables_and_shared_files_are_read() {
        let by_variables = [("AWS_ACCESS_KEY_ID", "AKIDVARIABLE"), ("AWS_SECRET_ACCESS_KEY", "s")];
        assert_eq!(signed_by(&by_variables).await, "AKIDVARIABLE");

        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("credentials");
        let text = "[mails]\naws_access_key_id = AKIDFILE\naws_secret_access_key = s\n";
        std::fs::write(&file, text).expect("a file");
        let path = file.to_str().expect("text");
        let by_file = [("AWS_SHARED_CREDENTIALS_FILE", path), ("AWS_PROFILE", "mails")];
        assert_eq!(signed_by(&by_file).await, "AKIDFILE");
    }

    #[tokio::test]
    async fn a_container_s_role_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("it is bound");
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.expect("a request");
            assert!(request[..read].starts_with(b"GET /role HTTP/1.1\r\n"));
            let body = r#"{"AccessKeyId":"AKIDROLE","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("an answer goes out");
        });
        let url = format!("http://{address}/role");
        let by_role =
            [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()), ("AWS_EC2_METADATA_DISABLED", "true")];
        assert_eq!(signed_by(&by_role).await, "AKIDROLE");
    }
}

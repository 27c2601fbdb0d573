//! Files in a bucket of an S3-compatible store, which senders and readers reach by themselves: with addresses that
//! we sign, for a while.
//!
//! What a sender uploads is under `incoming/` and may be replaced for as long as its address is good. What was
//! judged is written under `notes/` by us, byte for byte, so nobody replaces what others have been told of.

mod http;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderValue, Method, Request};
use angarium_domain::voice_note::AudioType;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{
    Attribute, Attributes, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig,
};
use object_store::{CredentialProvider, StaticCredentialProvider};
use reqsign_aws_v4::Credential;
use rustls::pki_types::CertificateDer;
use secrecy::ExposeSecret;

use crate::egress::{NoResolver, SystemResolver};
use crate::email::{AwsCredentials, signer};
use crate::http::{Clock, InvalidRoots};

/// The service's name in signatures.
const SERVICE: &str = "s3";
/// How often a request is made that may pass the next time, and for how long in all.
const RETRIES_MAX: usize = 3;
const RETRIES_WITHIN: Duration = Duration::from_secs(20);

/// A place for files, each under a name without slashes.
#[async_trait]
pub trait Bucket: Send + Sync {
    /// An address that a file of exactly this type and size may be uploaded to, once or more.
    async fn upload_address(
        &self,
        name: &str,
        upload: Upload,
        within: Duration,
    ) -> Result<String, BucketError>;

    /// An address that a file is read at, as a download. None if there is no such file.
    async fn read_address(
        &self,
        name: &str,
        download: &Download,
        within: Duration,
    ) -> Result<Option<String>, BucketError>;

    /// How large what was uploaded is, or what was kept of it. None if there is neither.
    async fn size(&self, name: &str) -> Result<Option<u64>, BucketError>;

    /// What was uploaded, or what was kept of it.
    async fn read(&self, name: &str) -> Result<Option<Bytes>, BucketError>;

    /// Keeps what was judged, and nothing that came meanwhile.
    async fn keep(&self, name: &str, audio_type: AudioType, bytes: Bytes) -> Result<(), BucketError>;

    /// Removes what was uploaded, and what was kept of it. Safe to repeat.
    async fn remove(&self, name: &str) -> Result<(), BucketError>;

    /// The names of everything that was uploaded or kept, each once.
    async fn names(&self) -> Result<Vec<String>, BucketError>;

    /// Says whose the files are, if nobody has said so. Answers whether they are that store's.
    async fn claim_for(&self, mark: &str) -> Result<bool, BucketError>;

    /// Puts a file that nobody holds away, under a day.
    async fn put_away(&self, name: &str, day: u32) -> Result<(), BucketError>;

    /// Removes what was put away before a day.
    async fn remove_put_away(&self, before: u32) -> Result<(), BucketError>;
}

/// What may be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    /// Of which type.
    pub audio_type: AudioType,
    /// How large.
    pub bytes: u64,
}

/// How a file is downloaded.
#[derive(Debug, Clone)]
pub struct Download {
    /// As which type.
    pub audio_type: AudioType,
    /// Under which name.
    pub file_name: String,
}

/// The store could not, or would not.
#[derive(Debug, thiserror::Error)]
#[error("the bucket cannot be used: {0}")]
pub struct BucketError(String);

/// Where the bucket is, and who may use it.
pub struct BucketSettings {
    /// Its name.
    pub bucket: String,
    /// Such as `eu-central-1`; stores of one's own take any, usually `us-east-1`.
    pub region: String,
    /// Another address than that of Amazon S3. The bucket's name comes behind it.
    pub endpoint: Option<String>,
    /// What the names of all objects begin with.
    pub prefix: String,
    /// Who signs.
    pub credentials: AwsCredentials,
    /// Certificate authorities of the operator, trusted beside the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The largest file.
    pub bytes_max: u64,
    /// The time of day.
    pub now: Clock,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBucket {
    /// Names cannot be looked up.
    #[error(transparent)]
    Resolver(#[from] NoResolver),
    /// The operator's certificate authorities cannot be used.
    #[error(transparent)]
    Roots(#[from] InvalidRoots),
    /// The bucket, the region or the endpoint.
    #[error("{0}")]
    Unusable(String),
}

/// A bucket of an S3-compatible store.
pub struct S3Bucket {
    store: AmazonS3,
    /// Signs addresses of uploads.
    signer: reqsign_core::Signer<Credential>,
    /// What the names of objects come behind.
    address: String,
    prefix: Path,
}

impl S3Bucket {
    /// Connects to nobody yet.
    pub fn new(settings: BucketSettings) -> Result<S3Bucket, InvalidBucket> {
        let BucketSettings { bucket, region, endpoint, prefix, credentials, extra_roots, bytes_max, now } =
            settings;
        let address = endpoint.clone().unwrap_or_else(|| amazon(&region));
        let address = format!("{}/{bucket}", address.trim_end_matches('/'));
        let is_plain = endpoint.as_ref().is_some_and(|address| address.starts_with("http:"));
        let resolver = Arc::new(SystemResolver::new()?);
        let connector = http::Guarded::new(is_plain, resolver.clone(), extra_roots, bytes_max, now.clone())?;
        let signer = signer(credentials.clone(), SERVICE, &region, resolver.clone(), now.clone())?;
        let retries =
            RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRIES_WITHIN, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_allow_http(is_plain)
            .with_client_options(ClientOptions::new().with_allow_http(is_plain))
            .with_retry(retries)
            .with_http_connector(connector)
            .with_credentials(provider(credentials, resolver, now)?);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        let store = builder.build().map_err(|error| InvalidBucket::Unusable(error.to_string()))?;
        let prefix = Path::parse(prefix.trim_matches('/'))
            .map_err(|error| InvalidBucket::Unusable(format!("the prefix cannot be used: {error}")))?;
        Ok(S3Bucket { store, signer, address, prefix })
    }

    /// Puts a text where nothing is. Of stores that cannot do so only, the last of two that begin at once is the first.
    async fn put_first(&self, path: &Path, text: &str) -> Result<(), BucketError> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let only_there = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(path, bytes.clone().into(), only_there).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(_) => drop(self.store.put(path, bytes.into()).await?),
        }
        Ok(())
    }

    fn incoming(&self, name: &str) -> Path {
        self.prefix.clone().join("incoming").join(name)
    }

    fn kept(&self, name: &str) -> Path {
        self.prefix.clone().join("notes").join(name)
    }

    fn away(&self) -> Path {
        self.prefix.clone().join("away")
    }

    async fn listed(&self, folder: &Path) -> Result<Vec<Path>, BucketError> {
        Ok(self.store.list(Some(folder)).map_ok(|object| object.location).try_collect().await?)
    }

    /// The first of these that is there.
    async fn first_of(&self, paths: [Path; 2]) -> Result<Option<(Path, u64)>, BucketError> {
        for path in paths {
            if let Some(found) = there(self.store.head(&path).await)? {
                return Ok(Some((path, found.size)));
            }
        }
        Ok(None)
    }

    /// Whether a file was put away, and is back.
    async fn put_back(&self, name: &str) -> Result<bool, BucketError> {
        let away = self.listed(&self.away()).await?;
        let Some(path) = away.iter().find(|path| path.filename() == Some(name)) else { return Ok(false) };
        self.store.rename(path, &self.kept(name)).await?;
        Ok(true)
    }
}

#[async_trait]
impl Bucket for S3Bucket {
    async fn upload_address(
        &self,
        name: &str,
        upload: Upload,
        within: Duration,
    ) -> Result<String, BucketError> {
        let unsigned = Request::put(format!("{}/{}", self.address, self.incoming(name))).body(());
        let (mut parts, ()) = unsigned.map_err(|error| BucketError(error.to_string()))?.into_parts();
        // What is signed must be sent: another type or another size has another signature. The library of object
        // stores does not sign lengths.
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(upload.audio_type.as_str()));
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(upload.bytes));
        let signed = self.signer.sign(&mut parts, Some(within)).await;
        // Its words may hold parts of credentials; without any, it signs nothing and calls that no error.
        if signed.is_err() || parts.uri.query().is_none() {
            return Err(BucketError("credentials cannot be had now".to_owned()));
        }
        Ok(parts.uri.to_string())
    }

    async fn read_address(
        &self,
        name: &str,
        download: &Download,
        within: Duration,
    ) -> Result<Option<String>, BucketError> {
        let path = self.kept(name);
        if there(self.store.head(&path).await)?.is_none() && !self.put_back(name).await? {
            return Ok(None);
        }
        let disposition = format!("attachment; filename=\"{}\"", download.file_name);
        let options = SignedUrlOptions::new().with_query([
            ("response-content-disposition", disposition.as_str()),
            ("response-content-type", download.audio_type.as_str()),
        ]);
        let url = self.store.signed_url_opts(Method::GET, &path, within, &options).await?;
        Ok(Some(url.into()))
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, BucketError> {
        let found = self.first_of([self.incoming(name), self.kept(name)]).await?;
        Ok(found.map(|(_, size)| size))
    }

    async fn read(&self, name: &str) -> Result<Option<Bytes>, BucketError> {
        let Some((path, _)) = self.first_of([self.incoming(name), self.kept(name)]).await? else {
            return Ok(None);
        };
        match there(self.store.get(&path).await)? {
            Some(found) => Ok(Some(found.bytes().await?)),
            None => Ok(None),
        }
    }

    async fn keep(&self, name: &str, audio_type: AudioType, bytes: Bytes) -> Result<(), BucketError> {
        let attributes = Attributes::from_iter([(Attribute::ContentType, audio_type.as_str())]);
        let options = PutOptions::from(attributes);
        self.store.put_opts(&self.kept(name), bytes.into(), options).await?;
        there(self.store.delete(&self.incoming(name)).await)?;
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), BucketError> {
        for path in [self.incoming(name), self.kept(name)] {
            there(self.store.delete(&path).await)?;
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>, BucketError> {
        let mut names = Vec::new();
        for folder in ["incoming", "notes"] {
            let paths = self.listed(&self.prefix.clone().join(folder)).await?;
            names.extend(paths.iter().filter_map(|path| path.filename().map(str::to_owned)));
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn claim_for(&self, mark: &str) -> Result<bool, BucketError> {
        let path = self.prefix.clone().join(".store");
        let Some(found) = there(self.store.get(&path).await)? else {
            self.put_first(&path, mark).await?;
            // Somebody else may have been first.
            return Ok(self.store.get(&path).await?.bytes().await? == mark.as_bytes());
        };
        Ok(found.bytes().await? == mark.as_bytes())
    }

    async fn put_away(&self, name: &str, day: u32) -> Result<(), BucketError> {
        // What nobody has judged is nothing that anybody was told of.
        there(self.store.delete(&self.incoming(name)).await)?;
        let away = self.away().join(day.to_string()).join(name);
        there(self.store.rename(&self.kept(name), &away).await)?;
        Ok(())
    }

    async fn remove_put_away(&self, before: u32) -> Result<(), BucketError> {
        for path in self.listed(&self.away()).await? {
            let day = path.parts().rev().nth(1).and_then(|part| part.as_ref().parse::<u32>().ok());
            if day.is_some_and(|day| day < before) {
                there(self.store.delete(&path).await)?;
            }
        }
        Ok(())
    }
}

fn amazon(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://s3.{region}.{suffix}")
}

/// What is not there is no error.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, BucketError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn provider(
    credentials: AwsCredentials,
    resolver: Arc<SystemResolver>,
    now: Clock,
) -> Result<Arc<dyn CredentialProvider<Credential = AwsCredential>>, InvalidRoots> {
    match credentials {
        AwsCredentials::Keys { access_key_id, secret_access_key, session_token } => {
            Ok(Arc::new(StaticCredentialProvider::new(AwsCredential {
                key_id: access_key_id,
                secret_key: secret_access_key.expose_secret().to_owned(),
                token: session_token.map(|token| token.expose_secret().to_owned()),
            })))
        }
        AwsCredentials::Surroundings => Ok(Arc::new(http::Surroundings::new(resolver, now)?)),
    }
}

impl From<Error> for BucketError {
    fn from(error: Error) -> BucketError {
        // Its words may hold an address with a signature: what is behind a question mark is left out.
        let words = error.to_string();
        BucketError(words.split('?').next().unwrap_or_default().to_owned())
    }
}

impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Bucket")
    }
}

#[cfg(test)]
mod tests {
    use angarium_domain::time::Timestamp;

    use super::*;

    fn bucket(endpoint: Option<&str>, prefix: &str) -> S3Bucket {
        let settings = BucketSettings {
            bucket: "notes-of-acme".to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            prefix: prefix.to_owned(),
            credentials: AwsCredentials::Keys {
                access_key_id: "AKID".to_owned(),
                secret_access_key: "secret".to_owned().into(),
                session_token: None,
            },
            extra_roots: Vec::new(),
            bytes_max: 1024,
            now: Arc::new(|| Timestamp::from_seconds(1_700_000_000)),
        };
        S3Bucket::new(settings).expect("usable")
    }

    #[tokio::test]
    async fn an_address_for_an_upload_is_good_for_one_type_and_one_size() {
        let upload = Upload { audio_type: AudioType::Mp4, bytes: 77 };
        let within = Duration::from_mins(15);
        for (endpoint, prefix, begins) in [
            (None, "", "https://s3.eu-west-1.amazonaws.com/notes-of-acme/incoming/id?"),
            (Some("http://127.0.0.1:9/"), "/a/b/", "http://127.0.0.1:9/notes-of-acme/a/b/incoming/id?"),
        ] {
            let bucket = bucket(endpoint, prefix);
            let address = bucket.upload_address("id", upload, within).await.expect("it signs");
            assert!(address.starts_with(begins), "{address}");
            assert!(address.contains("X-Amz-Expires=900"), "{address}");
            assert!(address.contains("SignedHeaders=content-length%3Bcontent-type%3Bhost"), "{address}");
            let larger = Upload { bytes: 78, ..upload };
            let other = bucket.upload_address("id", larger, within).await.expect("it signs");
            let signature = |address: &str| address.split("X-Amz-Signature=").nth(1).map(str::to_owned);
            assert_ne!(signature(&address), signature(&other));
        }
    }

    #[test]
    fn amazon_has_another_name_in_china() {
        assert_eq!(amazon("cn-north-1"), "https://s3.cn-north-1.amazonaws.com.cn");
    }
}

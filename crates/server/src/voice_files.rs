//! Where the files of voice notes are, from the settings.

use std::sync::Arc;

use angarium_channels::bucket::{BucketSettings, S3Bucket};
use angarium_engine::{Clock, Files};
use angarium_store::blobs::Blobs;
use rustls::pki_types::CertificateDer;

use crate::aws::AwsKeys;
use crate::settings::{Settings, VoiceStore};

/// The settings name no place for files.
#[derive(Debug, thiserror::Error)]
#[error("s3.{setting} {reason}")]
pub struct VoiceFilesError {
    setting: &'static str,
    reason: String,
}

/// The folder or the bucket. Connects to nobody yet.
pub(crate) fn files(
    settings: &Settings,
    extra_roots: Vec<CertificateDer<'static>>,
    clock: Arc<dyn Clock>,
) -> Result<Files, VoiceFilesError> {
    if settings.voice.store == VoiceStore::Folder {
        return Ok(Files::Folder(Blobs::at(&settings.voice_folder())));
    }
    let s3 = &settings.s3;
    let needed = |setting, value: &Option<String>| {
        let reason = "is needed by voice.store s3".to_owned();
        value.clone().ok_or(VoiceFilesError { setting, reason })
    };
    let keys = AwsKeys {
        section: "s3",
        id: s3.access_key_id.as_ref(),
        secret: s3.secret_access_key.as_ref(),
        file: s3.secret_access_key_file.as_deref(),
    };
    let credentials = keys.credentials().map_err(|(setting, reason)| VoiceFilesError { setting, reason })?;
    let bucket = S3Bucket::new(BucketSettings {
        bucket: needed("bucket", &s3.bucket)?,
        region: needed("region", &s3.region)?,
        endpoint: s3.endpoint.clone(),
        prefix: s3.prefix.clone(),
        credentials,
        extra_roots,
        bytes_max: settings.voice.bytes_max,
        now: Arc::new(move || clock.now()),
    });
    let bucket = bucket.map_err(|error| VoiceFilesError { setting: "bucket", reason: error.to_string() })?;
    Ok(Files::Bucket(Arc::new(bucket)))
}

#[cfg(test)]
mod tests {
    use angarium_engine::clock::SystemClock;

    use super::*;
    use crate::settings::{S3Settings, VoiceSettings};

    #[track_caller]
    fn check(s3: S3Settings, expected: Result<(), &str>) {
        let voice = VoiceSettings { store: VoiceStore::S3, ..VoiceSettings::default() };
        let settings = Settings { voice, s3, ..Settings::default() };
        let made = files(&settings, Vec::new(), Arc::new(SystemClock));
        let said =
            made.map(|files| assert!(matches!(files, Files::Bucket(_)))).map_err(|error| error.to_string());
        match expected {
            Ok(()) => assert_eq!(said, Ok(())),
            Err(words) => assert!(said.expect_err("refused").starts_with(words)),
        }
    }

    #[test]
    fn a_bucket_needs_its_name_its_region_and_both_halves_of_a_key() {
        let text = |text: &str| Some(text.to_owned());
        let whole =
            || S3Settings { bucket: text("notes"), region: text("us-east-1"), ..S3Settings::default() };
        check(whole(), Ok(()));
        check(S3Settings { bucket: None, ..whole() }, Err("s3.bucket is needed"));
        check(S3Settings { region: None, ..whole() }, Err("s3.region is needed"));
        check(S3Settings { access_key_id: text("AKID"), ..whole() }, Err("s3.access_key_id is set"));
        let missing = Some("/does/not/exist".into());
        check(S3Settings { secret_access_key_file: missing, ..whole() }, Err("s3.secret_access_key_file"));
        check(S3Settings { prefix: "a//b".to_owned(), ..whole() }, Err("s3.bucket"));
    }
}

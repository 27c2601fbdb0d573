//! The keys of this installation: the operator's own, or ones that the first start makes.
//!
//! A key that we make stands in a file beside the database that only our user
//! may read, and the log says so once. Nothing is ever stored without a key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use angarium_engine::IdSource;
use angarium_store::seal::{InvalidMasterKey, MasterKey};
use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::{AuthSettings, StoreSettings};

/// The name of the master key's file.
pub(crate) const MASTER_KEY: &str = "master.key";
/// The name of the file with the secret that JWTs are signed with.
pub(crate) const JWT_SECRET: &str = "jwt.secret";
/// RFC 7518 asks for a key at least as long as the hash.
const SECRET_BYTES_MIN: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can be neither read nor made.
    #[error("the key file {path} cannot be used")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The text is not a master key.
    #[error("the master key of {place} is not valid")]
    MasterKey {
        /// A setting or a file.
        place: String,
        /// Why.
        source: InvalidMasterKey,
    },
    /// Anybody could guess it.
    #[error("the JWT secret of {place} is {bytes} bytes, it must be at least {SECRET_BYTES_MIN}")]
    ShortSecret {
        /// A setting or a file.
        place: String,
        /// Its length.
        bytes: usize,
    },
}

/// The key that everything sealed depends on.
pub fn master_key(settings: &StoreSettings) -> Result<MasterKey, KeyError> {
    let (place, text) = match (&settings.key, &settings.key_file) {
        (Some(key), _) => ("the setting store.key".to_owned(), key.0.clone()),
        (None, Some(path)) => (path.display().to_string(), read(path)?),
        (None, None) => return master_key_in(&beside(&settings.path, MASTER_KEY)),
    };
    parsed(place, &text)
}

/// The key in a file, which is made if it is not there.
pub(crate) fn master_key_in(path: &Path) -> Result<MasterKey, KeyError> {
    let what = "master key: without it the stored secrets are lost, so back it up";
    let text = read_or_make(path, what, || MasterKey::generate().1)?;
    parsed(path.display().to_string(), &text)
}

fn parsed(place: String, text: &SecretString) -> Result<MasterKey, KeyError> {
    MasterKey::parse(text.expose_secret()).map_err(|source| KeyError::MasterKey { place, source })
}

/// The secret that JWTs are signed with, if the settings name one.
pub fn configured_jwt_secret(settings: &AuthSettings) -> Result<Option<SecretString>, KeyError> {
    let (place, secret) = match (&settings.hs256_secret, &settings.hs256_secret_file) {
        (Some(secret), _) => ("the setting auth.hs256_secret".to_owned(), secret.0.clone()),
        (None, Some(path)) => (path.display().to_string(), read(path)?),
        (None, None) => return Ok(None),
    };
    long_enough(place, secret).map(Some)
}

/// The secret that the first start makes when no key of any kind is set; `angarium token mint`
/// signs with it.
pub fn own_jwt_secret(settings: &StoreSettings, ids: &dyn IdSource) -> Result<SecretString, KeyError> {
    let path = beside(&settings.path, JWT_SECRET);
    let what = "secret for JWTs, because no key is set in [auth]: `angarium token mint` signs with it";
    let secret = read_or_make(&path, what, || HEXLOWER.encode(&ids.key()).into())?;
    long_enough(path.display().to_string(), secret)
}

/// Makes the folder of a database, for our user alone.
pub fn make_folder(database: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder_of(database))
}

fn long_enough(place: String, secret: SecretString) -> Result<SecretString, KeyError> {
    let bytes = secret.expose_secret().len();
    if bytes < SECRET_BYTES_MIN { Err(KeyError::ShortSecret { place, bytes }) } else { Ok(secret) }
}

fn folder_of(database: &Path) -> &Path {
    database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A path in the folder of a database.
pub(crate) fn beside(database: &Path, name: &str) -> PathBuf {
    folder_of(database).join(name)
}

fn read(path: &Path) -> Result<SecretString, KeyError> {
    let text = fs::read_to_string(path).map_err(|source| unusable(path, source))?;
    Ok(text.trim().to_owned().into())
}

fn read_or_make(path: &Path, what: &str, make: impl Fn() -> SecretString) -> Result<SecretString, KeyError> {
    match write_new(path, &make()) {
        Ok(()) => tracing::info!(path = %path.display(), "made a {what}"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(unusable(path, source)),
    }
    read(path)
}

/// Writes a file that is complete or not there: a key cut short would look like a key.
fn write_new(path: &Path, text: &SecretString) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", text.expose_secret())?;
    file.sync_all()?;
    // A link, unlike a rename, leaves a key alone that somebody else has made meanwhile.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked
}

fn unusable(path: &Path, source: io::Error) -> KeyError {
    KeyError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use angarium_engine::ids::RandomIds;

    use super::*;
    use crate::settings::Secret;

    fn store_in(folder: &Path) -> StoreSettings {
        StoreSettings { path: folder.join("angarium.db"), ..StoreSettings::default() }
    }

    #[test]
    fn the_first_start_makes_a_master_key_that_later_starts_find() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = store_in(folder.path());
        let first = master_key(&settings).expect("a key");
        assert_eq!(master_key(&settings).expect("a key").id(), first.id());
        let mode = fs::metadata(folder.path().join(MASTER_KEY)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_key_that_was_set_wins_and_a_broken_one_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let with_key = |text: &str| StoreSettings {
            key: Some(Secret(text.to_owned().into())),
            ..store_in(folder.path())
        };
        assert!(master_key(&with_key(&"ab".repeat(32))).is_ok());
        let error = master_key(&with_key("short")).err().expect("refused");
        assert!(error.to_string().contains("store.key"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn a_short_secret_is_refused() {
        let settings = AuthSettings {
            hs256_secret: Some(Secret("secret".to_owned().into())),
            ..AuthSettings::default()
        };
        let error = configured_jwt_secret(&settings).expect_err("refused");
        assert!(error.to_string().contains("6 bytes"), "{error}");
    }

    #[test]
    fn our_own_jwt_secret_stays_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = || own_jwt_secret(&store_in(folder.path()), &RandomIds::default()).expect("a secret");
        assert_eq!(secret().expose_secret(), secret().expose_secret());
    }
}

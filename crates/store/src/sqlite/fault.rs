//! What can go wrong with a statement, and whose fault it is.

use rusqlite::ErrorCode;

use crate::error::StoreError;

/// Why a piece of work on the database failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The work looked before it wrote, and found that it may not. Nothing of it was written.
    Refused(StoreError),
    /// A statement failed. Some of the work may have been written: roll back.
    Sql(rusqlite::Error),
    /// What was read makes no sense.
    Corrupt(String),
}

/// What came of trying it.
pub(super) type Tried<T> = Result<T, Fault>;

impl Fault {
    /// A stored value that cannot be read back.
    pub(super) fn corrupt(what: &str, error: impl std::fmt::Display) -> Fault {
        Fault::Corrupt(format!("{what}: {error}"))
    }

    /// What is wrong with a stored value; the fault itself, if it is about anything else.
    pub(super) fn of_a_value(self) -> Tried<String> {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        match self {
            Fault::Corrupt(reason) => Ok(reason),
            Fault::Sql(
                error @ (FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)),
            ) => Ok(error.to_string()),
            other => Err(other),
        }
    }

    /// Whether the disk or the file is in trouble, and not this one piece of work.
    pub(super) fn is_of_the_store(&self) -> bool {
        let Fault::Sql(error) = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::OutOfMemory
                    | ErrorCode::FileLockingProtocolFailed
            )
        )
    }
}

/// Whether the disk did not take what was written, in a way that asking again does not mend.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC))
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sql(error)
    }
}

impl From<rusqlite::types::FromSqlError> for Fault {
    fn from(error: rusqlite::types::FromSqlError) -> Fault {
        Fault::corrupt("a column", error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> StoreError {
        match fault {
            Fault::Refused(error) => error,
            Fault::Corrupt(reason) => StoreError::Corrupt { reason },
            Fault::Sql(error) => match error.sqlite_error_code() {
                // An id that is taken: whoever drew it shall draw another.
                Some(ErrorCode::ConstraintViolation) => StoreError::Conflict,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    StoreError::Corrupt { reason: error.to_string() }
                }
                _ => StoreError::Unavailable { reason: error.to_string() },
            },
        }
    }
}

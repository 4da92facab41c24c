//! Exit codes: the one place where an error becomes a number, and a word in JSON.

use std::io;

use db_backup::Error as BackupError;
use db_core::ErrorKind;
use db_migrate::{Error as MigrateError, SourceError};
use db_transfer::Error as TransferError;
use db_transfer::copy::CopyError;

/// How the program ends. The numbers are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Code {
    /// Done, and all is well.
    Done = 0,
    /// An error that nobody foresaw.
    Unexpected = 1,
    /// Wrong arguments or configuration.
    Usage = 2,
    /// Migrations are pending.
    Attention = 3,
    /// Files and history disagree.
    History = 4,
    /// The live schema drifted.
    Drift = 5,
    /// A lock was not to be had in time.
    Locked = 6,
    /// Refused, because data could be lost or there is no way back.
    Refused = 7,
    /// Corrupt, not a database, or a check failed.
    Unhealthy = 8,
    /// The database cannot be reached.
    Unreachable = 9,
    /// A migration failed and was rolled back, or recorded where it stopped.
    MigrationFailed = 10,
    /// A file that was given is not what it has to be.
    BadInput = 11,
    /// Wrong key or credentials, or an encrypted file without a key.
    Credentials = 12,
    /// The disk is full, or reading or writing failed.
    Disk = 13,
    /// The system or the server forbids it.
    Permission = 14,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
    /// A server that recovers must stop: above 125, as its `restore_command` has to end.
    StopRecovery = 255,
}

/// When several hold, the first of these counts: what needs action first.
const URGENCY: [Code; 15] = [
    Code::Interrupted,
    Code::Terminated,
    Code::Unreachable,
    Code::Credentials,
    Code::Permission,
    Code::Disk,
    Code::Unhealthy,
    Code::BadInput,
    Code::Locked,
    Code::Refused,
    Code::History,
    Code::Drift,
    Code::MigrationFailed,
    Code::Attention,
    Code::Done,
];

impl Code {
    /// The number.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The more urgent of two.
    pub(crate) fn or(self, other: Self) -> Self {
        URGENCY
            .into_iter()
            .find(|code| [self, other].contains(code))
            .unwrap_or(self)
    }
}

/// Ends the program at once.
///
/// Not by way of `exit`: its handlers take OpenSSL down while another thread may still be inside it,
/// asking the server to stop. Nothing is lost: what is printed is flushed as it is printed.
pub(crate) fn leave(code: Code) -> ! {
    signal_hook::low_level::exit(code.number().into())
}

/// The word and the code for trouble that an engine reports.
pub(crate) const fn of_database(kind: ErrorKind) -> (&'static str, Code) {
    match kind {
        ErrorKind::Busy => ("busy", Code::Locked),
        ErrorKind::BusySnapshot => ("busy_snapshot", Code::Locked),
        ErrorKind::LockTimeout => ("lock_timeout", Code::Locked),
        ErrorKind::Serialization => ("serialization", Code::Locked),
        ErrorKind::Deadlock => ("deadlock", Code::Locked),
        ErrorKind::StatementTimeout => ("statement_timeout", Code::Unexpected),
        ErrorKind::Cancelled => ("cancelled", Code::Unexpected),
        ErrorKind::Constraint => ("constraint", Code::Unexpected),
        ErrorKind::NotFound => ("not_found", Code::Unexpected),
        ErrorKind::ReadOnly => ("read_only", Code::Permission),
        ErrorKind::PermissionDenied => ("permission_denied", Code::Permission),
        ErrorKind::DiskFull => ("disk_full", Code::Disk),
        ErrorKind::Io => ("io", Code::Disk),
        ErrorKind::Corrupt => ("corrupt", Code::Unhealthy),
        ErrorKind::NotADatabase => ("not_a_database", Code::Unhealthy),
        ErrorKind::WrongKey => ("wrong_key", Code::Credentials),
        ErrorKind::KeyMissing => ("key_missing", Code::Credentials),
        ErrorKind::CannotOpen => ("cannot_open", Code::Unreachable),
        ErrorKind::DatabaseMissing => ("database_missing", Code::Unreachable),
        ErrorKind::Authentication => ("authentication", Code::Credentials),
        ErrorKind::TooManyConnections => ("too_many_connections", Code::Unreachable),
        ErrorKind::Unavailable => ("unavailable", Code::Unreachable),
        ErrorKind::ConnectionLost => ("connection_lost", Code::Unreachable),
        ErrorKind::UnsafeEngine => ("unsafe_engine", Code::Unexpected),
        ErrorKind::Statement => ("statement", Code::Unexpected),
        ErrorKind::AlreadyExists => ("already_exists", Code::Unexpected),
        ErrorKind::InvalidValue => ("invalid_value", Code::Unexpected),
        ErrorKind::TransactionAborted => ("transaction_aborted", Code::Unexpected),
        ErrorKind::OutOfMemory => ("out_of_memory", Code::Unexpected),
        ErrorKind::Timeout => ("timeout", Code::Locked),
        ErrorKind::Overloaded => ("overloaded", Code::Unreachable),
        ErrorKind::Closed => ("closed", Code::Unexpected),
        ErrorKind::Nested => ("nested", Code::Unexpected),
        ErrorKind::OutcomeUnknown => ("outcome_unknown", Code::Unexpected),
        ErrorKind::TransactionEnded => ("transaction_ended", Code::Locked),
        ErrorKind::Configuration => ("configuration", Code::Usage),
        // `Other`, and kinds that a later db-core adds.
        _ => ("other", Code::Unexpected),
    }
}

/// The word and the code for an error of the migration engine.
pub(crate) fn of_migrate(error: &MigrateError) -> (&'static str, Code) {
    match error {
        MigrateError::Source(SourceError::Unreadable {
            forbidden: true, ..
        }) => ("source_unreadable", Code::Permission),
        MigrateError::Source(_) => ("source", Code::Usage),
        MigrateError::Target(_) => ("target", Code::Usage),
        MigrateError::WrongDirection(_) => ("wrong_direction", Code::Usage),
        MigrateError::TransactionPooler => ("transaction_pooler", Code::Usage),
        MigrateError::NoSchema => ("no_schema", Code::Usage),
        MigrateError::Database { error, .. } => of_database(error.kind()),
        MigrateError::LockFile { kind, .. } => of_database(*kind),
        MigrateError::Script { .. } => ("script", Code::MigrationFailed),
        MigrateError::Failed { failure, .. } => of_failure(failure.kind),
        MigrateError::History(_) => ("history", Code::History),
        MigrateError::NewerDatabase(_) => ("newer_database", Code::Refused),
        MigrateError::UnknownStatus { .. } => ("unknown_status", Code::Refused),
        MigrateError::NoWayBack(_) => ("no_way_back", Code::Refused),
        MigrateError::PlanChanged { .. } => ("plan_changed", Code::Refused),
        MigrateError::Refused(_) => ("refused", Code::Refused),
        MigrateError::Pending(_) => ("pending", Code::Attention),
        MigrateError::Drift(_) => ("drift", Code::Drift),
        MigrateError::Locked { .. } => ("locked", Code::Locked),
        MigrateError::Unsound { .. } => ("unsound", Code::Unhealthy),
        MigrateError::Interrupted { .. } => ("interrupted", Code::Interrupted),
        MigrateError::Write { .. } => ("write", Code::Disk),
        // `Unencodable`, and errors that a later db-migrate adds.
        _ => ("unexpected", Code::Unexpected),
    }
}

/// The word and the code for an error of backups and restores.
pub(crate) fn of_backup(error: &BackupError) -> (&'static str, Code) {
    match error {
        BackupError::Database { error, .. } => of_database(error.kind()),
        BackupError::Io { error, .. } => of_io(error.kind()),
        BackupError::Schema(error) => of_migrate(error),
        BackupError::Usage { .. } => ("usage", Code::Usage),
        BackupError::NotFound { .. } => ("backup_not_found", Code::Usage),
        BackupError::Damaged { .. } => ("backup_damaged", Code::Unhealthy),
        BackupError::LogGap { .. } => ("log_gap", Code::Unhealthy),
        BackupError::Unsound { .. } => ("unsound", Code::Unhealthy),
        BackupError::TooNew { .. } => ("newer_backup", Code::Refused),
        BackupError::Refused { .. } => ("refused", Code::Refused),
        BackupError::Identity { .. } => ("wrong_identity", Code::Credentials),
        BackupError::Locked { .. } => ("locked", Code::Locked),
        BackupError::PlaceTaken { error, .. } => of_backup(error),
        BackupError::Store { .. } => ("store_unreachable", Code::Unreachable),
        BackupError::Credentials { .. } => ("store_credentials", Code::Credentials),
        BackupError::Forbidden { .. } => ("store_forbidden", Code::Permission),
        BackupError::Tool { .. } => ("tool_missing", Code::Usage),
        BackupError::ToolFailed { .. } if error.is_of_replication() => {
            ("permission_denied", Code::Permission)
        }
        BackupError::Interrupted => ("interrupted", Code::Interrupted),
        // `ToolFailed`, and errors that a later db-backup adds.
        _ => ("unexpected", Code::Unexpected),
    }
}

/// The word and the code for an error of a copy.
pub(crate) fn of_copy(error: &CopyError) -> (&'static str, Code) {
    match error {
        CopyError::Database { source, .. } => of_database(source.kind()),
        CopyError::File { source, .. } => of_io(source.kind()),
        CopyError::NotEmpty { .. } => ("not_empty", Code::Refused),
        CopyError::Leftovers(_) => ("leftovers", Code::Refused),
        CopyError::NotMigrated(_) => ("not_migrated", Code::Refused),
        CopyError::NotChosen(_) => ("not_chosen", Code::Usage),
        CopyError::Changed => ("changed", Code::Refused),
        CopyError::Misfits(_) => ("misfits", Code::Refused),
        CopyError::Locked => ("locked", Code::Locked),
        CopyError::ProofFailed(_) => ("proof_failed", Code::Unhealthy),
        CopyError::Usage(_) => ("usage", Code::Usage),
        CopyError::NotUndone { error, .. } => of_copy(error),
        CopyError::Interrupted => ("interrupted", Code::Interrupted),
        // `Schema` of another kind than migrations, and errors that a later db-transfer adds.
        _ => ("unexpected", Code::Unexpected),
    }
}

/// The word and the code for an error of data on its way in or out.
pub(crate) fn of_transfer(error: &TransferError) -> (&'static str, Code) {
    match error {
        TransferError::Database { source, .. } => of_database(source.kind()),
        TransferError::File { source, .. } => match source.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => ("file_not_found", Code::Usage),
            kind => of_io(kind),
        },
        TransferError::BadInput { .. } => ("bad_input", Code::BadInput),
        TransferError::Usage(_) => ("usage", Code::Usage),
        TransferError::Tool(_) => ("tool_missing", Code::Usage),
        TransferError::Interrupted => ("interrupted", Code::Interrupted),
        // Errors that a later db-transfer adds.
        _ => ("unexpected", Code::Unexpected),
    }
}

/// The word and the code for what the system says of a file.
pub(crate) const fn of_io(kind: io::ErrorKind) -> (&'static str, Code) {
    match kind {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ("permission_denied", Code::Permission)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            ("disk_full", Code::Disk)
        }
        _ => ("io", Code::Disk),
    }
}

/// A migration that failed because of its surroundings has their word and code; one whose SQL is
/// at fault has its own.
fn of_failure(kind: Option<ErrorKind>) -> (&'static str, Code) {
    match kind.map(of_database) {
        Some((_, Code::Unexpected)) | None => ("migration_failed", Code::MigrationFailed),
        Some(surroundings) => surroundings,
    }
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;

//! PostgreSQL: dumps, base backups, the log, and restores to a point in time.

mod dump;
mod faults;
mod gaps;
mod kills;
mod pitr;
mod replaced;
mod soak;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use db_backup::postgres::PostgresOptions;
use db_backup::{BackupOptions, Error, LocalStore, Manifest, Method, Source, create};
use db_core::DatabaseUrl;
use tempfile::TempDir;

/// A place for backups that an account of a server can walk through.
fn place() -> (TempDir, LocalStore) {
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let store = LocalStore::new(folder.path().join("backups"));
    (folder, store)
}

fn source(url: &str) -> Source {
    Source {
        url: DatabaseUrl::parse(url).unwrap(),
        key: None,
    }
}

fn options(method: Method) -> BackupOptions {
    BackupOptions::new().with_method(method)
}

fn back_up(url: &str, store: &LocalStore, method: Method) -> Result<Manifest, Error> {
    create(&source(url), store, &options(method), &mut |_| ())
}

/// Files that a reader of the place sees.
fn visible(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().map_or_else(
        |_| Vec::new(),
        |entries| {
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>()
        },
    );
    entries
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .collect()
}

/// Private servers run under another account where the test runs as root.
fn as_account() -> PostgresOptions {
    PostgresOptions::new().with_run_as(db_testkit::server_account())
}

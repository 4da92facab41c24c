//! Files that nobody else may read, whatever the umask.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use db_core::Database;
use rustix::fs::Mode;

use crate::support::{File, Worker, durable, execute, number, role, say};

/// The permissions of everything in the folder, by name.
fn modes(folder: &std::path::Path) -> Vec<(String, u32)> {
    let mut found: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect();
    found.sort();
    found
}

/// In a process of its own, whose umask is nobody else's.
#[test]
fn all_files_of_a_database_are_private_under_umask_000() {
    if let Some(role) = role() {
        rustix::process::umask(Mode::empty());
        let database = Database::open(&durable(&role.path).checkpoint_pages(1)).unwrap();
        let create = "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)";
        database.write(|conn| execute(conn, create)).unwrap();
        database
            .read(|conn| number(conn, "SELECT n FROM t"))
            .unwrap();
        say("written");
        crate::support::await_input();
        return database.close(Duration::from_secs(10)).unwrap();
    }
    let file = File::new();
    let path = file.folder().join("new/folders/game.db");
    let worker = Worker::start(
        "sqlite::private::all_files_of_a_database_are_private_under_umask_000",
        &path,
        &[],
    );
    worker.await_said("written");
    let folder = path.parent().unwrap();
    let endings = ["", "-next", "-shm", "-turn", "-wal"];
    let expected: Vec<_> = endings
        .map(|ending| (format!("game.db{ending}"), 0o600))
        .into();
    assert_eq!(modes(folder), expected);
    assert_eq!(
        modes(folder.parent().unwrap()),
        [("folders".to_owned(), 0o700)]
    );
    assert_eq!(modes(file.folder()), [("new".to_owned(), 0o700)]);
    worker.finish();
    // The log is gone, and nothing else was left.
    let endings = ["", "-next", "-turn"];
    let expected: Vec<_> = endings
        .map(|ending| (format!("game.db{ending}"), 0o600))
        .into();
    assert_eq!(modes(folder), expected);
}

/// A database that a group may write is queued for by that group.
#[test]
fn side_files_are_for_those_who_may_write_the_database() {
    let file = File::new();
    let write = |sql: &str| {
        let database = Database::open(&durable(file.path())).unwrap();
        database.write(|conn| execute(conn, sql)).unwrap();
        let open = modes(file.folder());
        database.close(Duration::from_secs(10)).unwrap();
        open
    };
    write("CREATE TABLE t (n INTEGER)");
    for (mode, side) in [(0o660, 0o660), (0o640, 0o600)] {
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(mode)).unwrap();
        let expected = [
            ("", mode),
            ("-next", side),
            ("-shm", mode),
            ("-turn", side),
            ("-wal", mode),
        ];
        let expected = expected.map(|(ending, mode)| (format!("test.db{ending}"), mode));
        assert_eq!(write("INSERT INTO t VALUES (1)"), expected);
    }
}

//! What goes wrong: passwords, programs, flipped bytes, stops and kills.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use db_backup::postgres::PostgresOptions;
use db_backup::{Error, LocalStore, Method, Selector, VerifyOptions, create, find, list, verify};
use db_core::Interrupt;
use db_testkit::{TestDb, size, wait_for, wait_until};

use super::kills::told;
use super::{back_up, options, place, source, visible};

fn small() -> TestDb {
    let db = TestDb::postgres();
    db.connect().execute(
        "CREATE TABLE dice (face int PRIMARY KEY);
         INSERT INTO dice SELECT n FROM generate_series(1, 5000) n",
    );
    db
}

#[test]
fn a_wrong_password_and_wrong_programs_are_named() {
    let db = small();
    let (folder, store) = place();
    let wrong = db.url().replacen("postgres:pw@", "postgres:hunter2@", 1);
    let wrong = if wrong == db.url() {
        with_password(&db.url(), "hunter2")
    } else {
        wrong
    };
    let error = back_up(&wrong, &store, Method::Logical).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(matches!(error, Error::Database { .. }), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let bin = tempfile::tempdir().unwrap();
    let programs = PostgresOptions::new().with_bin(bin.path().to_owned());
    let chosen = options(Method::Logical).with_postgres(programs);
    let error = create(&source(&db.url()), &store, &chosen, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Tool { .. }), "{error}");
    for program in ["pg_dump", "pg_restore"] {
        let path = bin.path().join(program);
        std::fs::write(
            &path,
            format!("#!/bin/sh\necho '{program} (PostgreSQL) 9.6.1'\n"),
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let error = create(&source(&db.url()), &store, &chosen, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Tool { .. }), "{error}");
    assert!(error.to_string().contains("is of version 9"), "{error}");
    assert!(error.hint().unwrap().contains("apt install"), "{error:?}");
    assert_eq!(
        visible(&folder.path().join("backups")),
        Vec::<String>::new()
    );
}

/// The URL with another password.
fn with_password(url: &str, password: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (info, rest) = rest.split_once('@').unwrap();
    let user = info.split(':').next().unwrap();
    format!("{scheme}://{user}:{password}@{rest}")
}

/// `BITCRAPS_TEST_FLIPS` flips more of them; 10,000 are the promise.
#[test]
fn every_flipped_byte_is_found() {
    let db = small();
    let (folder, store) = place();
    back_up(&db.url(), &store, Method::Logical).unwrap();
    let place = folder.path().join("backups");
    let files = visible(&place);
    assert_eq!(files.len(), 2, "{files:?}");
    let whole = |store: &LocalStore| {
        let manifest = find(store, Selector::Latest)?;
        verify(store, &manifest, &VerifyOptions::new(), &mut |_| ())
    };
    whole(&store).unwrap();
    let mut random = fastrand::Rng::with_seed(41);
    for file in (0..size("FLIPS", 40)).map(|flip| &files[usize::from(flip % 2 == 1)]) {
        let path = place.join(file);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        let at = random.usize(..bad.len());
        bad[at] ^= 1 << random.u8(..8);
        std::fs::write(&path, &bad).unwrap();
        let found = whole(&store);
        assert!(found.is_err(), "byte {at} of {}", path.display());
        std::fs::write(&path, &good).unwrap();
    }
    whole(&store).unwrap();
}

/// A dump that waits for a lock shows what others can see of it, and stops when it is asked to.
#[test]
fn a_dump_shows_no_password_and_stops_when_asked() {
    let db = small();
    let (folder, store) = place();
    let mut blocker = db.connect();
    blocker.execute("BEGIN; LOCK TABLE dice IN ACCESS EXCLUSIVE MODE");
    let name = db_core::DatabaseUrl::parse(&db.url())
        .unwrap()
        .database_name()
        .unwrap();
    let target = db_core::DatabaseUrl::parse(&db.url())
        .unwrap()
        .for_programs()
        .unwrap();
    let password = target.password.unwrap();
    let interrupt = Interrupt::default();
    let chosen = options(Method::Logical).with_interrupt(interrupt.clone());
    std::thread::scope(|scope| {
        let dump = scope.spawn(|| create(&source(&db.url()), &store, &chosen, &mut |_| ()));
        let line = wait_for("the dump", || {
            command_lines().into_iter().find(|l| is_dump_of(l, &name))
        });
        assert!(!line.contains(&format!(":{password}@")), "{line}");
        assert!(!line.split('\0').any(|word| word == password), "{line}");
        interrupt.interrupt().unwrap();
        let stopped = dump.join().unwrap();
        assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    });
    assert!(!command_lines().iter().any(|line| is_dump_of(line, &name)));
    assert_eq!(
        visible(&folder.path().join("backups")),
        Vec::<String>::new()
    );
}

#[test]
fn a_killed_dump_leaves_nothing() {
    let db = small();
    let (folder, store) = place();
    let place = folder.path().join("backups");
    let mut blocker = db.connect();
    blocker.execute("BEGIN; LOCK TABLE dice IN ACCESS EXCLUSIVE MODE");
    let name = db_core::DatabaseUrl::parse(&db.url())
        .unwrap()
        .database_name()
        .unwrap();
    let task = format!("dump\n{}\n{}", place.display(), db.url());
    let mut child = told(task).command().spawn().unwrap();
    wait_until("the dump", || {
        command_lines().iter().any(|line| is_dump_of(line, &name))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(visible(&place), Vec::<String>::new());
    assert!(list(&store).unwrap().backups.is_empty());
    blocker.execute("ROLLBACK");
    // What it started ends by itself: nobody reads what it writes.
    wait_until("its end", || {
        !command_lines().iter().any(|line| is_dump_of(line, &name))
    });
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    verify(&store, &manifest, &VerifyOptions::new(), &mut |_| ()).unwrap();
    let hidden = place.read_dir().unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".partial")
    });
    assert_eq!(hidden.count(), 0);
}

/// The session that counts waits as long as `pg_dump`: who gives up first says the same.
#[test]
fn a_dump_that_waited_for_a_lock_in_vain_says_whose_it_is() {
    let db = small();
    let (folder, store) = place();
    let mut blocker = db.connect();
    blocker.execute("BEGIN; LOCK TABLE dice IN ACCESS EXCLUSIVE MODE");
    let programs = PostgresOptions::new().with_lock_wait(Duration::from_secs(3));
    let chosen = options(Method::Logical).with_postgres(programs);
    let error = create(&source(&db.url()), &store, &chosen, &mut |_| ()).unwrap_err();
    let Error::Locked { holder, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        holder
            .as_deref()
            .unwrap_or_default()
            .starts_with("backend "),
        "{error}"
    );
    blocker.execute("ROLLBACK");
    assert_eq!(
        visible(&folder.path().join("backups")),
        Vec::<String>::new()
    );
}

fn is_dump_of(line: &str, database: &str) -> bool {
    line.contains("pg_dump\0") && line.contains(database)
}

/// The arguments of all processes, which everybody on the machine can read.
pub(super) fn command_lines() -> Vec<String> {
    let processes = std::path::Path::new("/proc").read_dir().unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

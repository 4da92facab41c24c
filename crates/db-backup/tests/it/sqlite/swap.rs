//! A restore over a database that is there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::{TimeZone, Utc};
use db_backup::{BackupOptions, Error, Invariant, LocalStore, RestoreOptions, Source};
use db_core::{DatabaseUrl, FixedClock};
use db_testkit::TestDb;

use super::bank::*;

fn over() -> RestoreOptions {
    let at = Utc.with_ymd_and_hms(2025, 11, 22, 14, 30, 5).unwrap();
    restore_options()
        .with_replace(true)
        .with_clock(FixedClock(at))
}

fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before-restore-20251122T143005Z");
    name.into()
}

#[test]
fn the_old_one_is_kept_and_gives_its_owner_and_mode() {
    let bank = Bank::new();
    fill(&bank, 20);
    let backed_up = history(bank.path());
    let manifest = bank.made(encrypted(Some(3)));
    let database = bank.open();
    let mut random = fastrand::Rng::with_seed(4);
    for seq in 1..=30 {
        transfer(&database, &mut random, 1, seq);
    }
    close(&database);
    let newer = history(bank.path());
    fs::set_permissions(bank.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let owner = rustix::process::getuid().is_root();
    if owner {
        std::os::unix::fs::chown(bank.path(), Some(12_345), Some(12_346)).unwrap();
    }
    let before = fs::metadata(bank.path()).unwrap();

    let refused = bank.restore(&manifest, bank.path()).unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    let restored = bank.restore_with(&manifest, bank.path(), &over()).unwrap();
    assert_eq!(restored.kept, Some(kept(bank.path()).display().to_string()));
    let after = fs::metadata(bank.path()).unwrap();
    assert_eq!(
        (after.mode(), after.uid(), after.gid()),
        (before.mode(), before.uid(), before.gid())
    );
    assert_eq!(history(bank.path()), backed_up);
    assert_eq!(history(&kept(bank.path())), newer);

    // A second one of the same second has its own name.
    let restored = bank.restore_with(&manifest, bank.path(), &over()).unwrap();
    assert!(restored.kept.unwrap().ends_with("Z-2"));
    assert_eq!(history(&kept(bank.path())), newer);
}

#[test]
fn what_somebody_has_open_is_not_replaced() {
    let bank = Bank::new();
    fill(&bank, 20);
    let manifest = bank.made(plain(Some(3)));
    let database = bank.open();
    let error = bank
        .restore_with(&manifest, bank.path(), &over())
        .unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    // It goes on, and loses nothing.
    transfer(&database, &mut fastrand::Rng::new(), 1, 1);
    close(&database);
    assert_eq!(history(bank.path()).len(), 21);

    // Idle in rollback mode, where no lock tells of it.
    let mut idle = open(bank.path());
    idle.conn()
        .batch_execute("PRAGMA journal_mode = DELETE; SELECT 1")
        .unwrap();
    let error = bank
        .restore_with(&manifest, bank.path(), &over())
        .unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(idle);
    bank.restore_with(&manifest, bank.path(), &over()).unwrap();
    assert_eq!(history(bank.path()).len(), 20);
}

#[test]
fn another_applications_database_is_not_replaced() {
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    let foreign = bank.root.path().join("foreign.db");
    let url = DatabaseUrl::SqliteFile(foreign.clone());
    db_core::Connection::open(&url, db_core::Access::Create)
        .unwrap()
        .conn()
        .batch_execute("PRAGMA application_id = 1234; CREATE TABLE theirs (x)")
        .unwrap();
    let before = fs::read(&foreign).unwrap();
    let error = bank.restore_with(&manifest, &foreign, &over()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("application_id is 1234"),
        "{error}"
    );
    assert_eq!(fs::read(&foreign).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_any_more_is_replaced_and_kept() {
    let bank = Bank::new();
    fill(&bank, 20);
    let expected = history(bank.path());
    let manifest = bank.made(plain(Some(3)));
    let wreck = "not a database any more ".repeat(500);
    fs::write(bank.path(), &wreck).unwrap();
    let log = bank.path().with_file_name("bank.db-wal");
    fs::write(&log, "and a log of nobody").unwrap();
    bank.restore_with(&manifest, bank.path(), &over()).unwrap();
    assert_eq!(history(bank.path()), expected);
    let aside = kept(bank.path());
    assert_eq!(fs::read_to_string(&aside).unwrap(), wreck);
    let mut aside_log = aside.into_os_string();
    aside_log.push("-wal");
    assert_eq!(
        fs::read_to_string(aside_log).unwrap(),
        "and a log of nobody"
    );
}

/// A log of another database would be played into the new one, page by page.
#[test]
fn a_log_that_belongs_to_another_file_is_taken_away() {
    let bank = Bank::new();
    fill(&bank, 50);
    let expected = history(bank.path());
    let manifest = bank.made(plain(None));
    // A log with other contents of the same pages, as a crash leaves it.
    let mut connection = open(bank.path());
    connection
        .conn()
        .batch_execute("PRAGMA wal_autocheckpoint = 0; UPDATE accounts SET balance = 7")
        .unwrap();
    let log = fs::read(bank.path().with_file_name("bank.db-wal")).unwrap();
    assert!(!log.is_empty());
    for place in ["new.db", "gone.db"] {
        let target = bank.root.path().join(place);
        let beside = bank.root.path().join(format!("{place}-wal"));
        fs::write(&beside, &log).unwrap();
        bank.restore(&manifest, &target).unwrap();
        assert!(!beside.exists());
        assert_eq!(history(&target), expected);
    }
    // What it would have been: the same file with that log beside it.
    let torn = bank.root.path().join("torn.db");
    fs::write(
        &torn,
        fs::read(bank.folder().join(&manifest.parts[0].name)).unwrap(),
    )
    .unwrap();
    fs::write(bank.root.path().join("torn.db-wal"), &log).unwrap();
    let torn = std::panic::catch_unwind(|| history(&torn));
    drop(connection);
    assert!(
        torn.is_err(),
        "the log was not played in, so the test proves nothing"
    );
}

#[test]
fn a_schema_that_the_program_does_not_know_is_refused() {
    let db = TestDb::sqlite();
    db.migrate();
    let root = tempfile::tempdir().unwrap();
    let store = LocalStore::new(root.path());
    let source = Source {
        url: DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    let manifest = db_backup::create(&source, &store, &BackupOptions::new(), &mut |_| {}).unwrap();
    let schema = manifest.schema.clone().unwrap();
    let target = DatabaseUrl::SqliteFile(root.path().join("to.db"));
    let restore = |newest: &str| {
        let options = RestoreOptions::new().with_newest_schema(newest.to_owned());
        db_backup::restore(&store, &manifest, &target, &options, &mut |_| {})
    };
    let error = restore("20200101000000").unwrap_err();
    assert!(matches!(error, Error::TooNew { .. }), "{error}");
    assert!(!target.path().unwrap().exists());
    restore(&schema.version).unwrap();
}

#[test]
fn what_does_not_pass_the_checks_never_gets_the_place() {
    let bank = Bank::new();
    fill(&bank, 20);
    let manifest = bank.made(plain(Some(3)));
    let before = fs::read(bank.path()).unwrap();
    let never = Invariant::new("never", |_| Ok(vec!["no".to_owned()]));
    let options = over().with_invariant(never);
    let error = bank
        .restore_with(&manifest, bank.path(), &options)
        .unwrap_err();
    assert!(error.to_string().contains("never: no"), "{error}");
    assert_eq!(fs::read(bank.path()).unwrap(), before);
    assert_eq!(names(bank.root.path()), ["backups", "bank.db"]);
}

#[test]
fn places_that_cannot_be() {
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    let folder = bank.root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let error = bank.restore_with(&manifest, &folder, &over()).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    let link = bank.root.path().join("link.db");
    std::os::unix::fs::symlink("/nowhere/x.db", &link).unwrap();
    let error = bank.restore_with(&manifest, &link, &over()).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    // A link to a database leads to it, and stays a link.
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(bank.path(), &link).unwrap();
    bank.restore_with(&manifest, &link, &over()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(kept(&fs::canonicalize(bank.path()).unwrap()).exists());
}

/// Somebody makes a database in the new place while the backup is unpacked.
#[test]
fn a_database_that_appears_meanwhile_is_not_replaced() {
    let bank = Bank::new();
    fill(&bank, 20);
    let manifest = bank.made(plain(Some(3)));
    let target = bank.root.path().join("new.db");
    let url = DatabaseUrl::SqliteFile(target.clone());
    for replace in [false, true] {
        let options = over().with_replace(replace);
        let mut appeared = false;
        let error = db_backup::restore(&bank.store, &manifest, &url, &options, &mut |progress| {
            if progress.phase == db_backup::Phase::Swap && !appeared {
                appeared = true;
                db_core::Connection::open(&url, db_core::Access::Create)
                    .unwrap()
                    .conn()
                    .batch_execute("PRAGMA application_id = 1234; CREATE TABLE theirs (x)")
                    .unwrap();
            }
        })
        .unwrap_err();
        let Error::PlaceTaken {
            error,
            waits_as,
            hint,
        } = error
        else {
            panic!("{replace}: {error}");
        };
        // Nobody has it open.
        assert!(hint.starts_with("mend that, then: "), "{hint}");
        assert!(
            matches!(*error, Error::Refused { .. }),
            "{replace}: {error}"
        );
        // It is whole, and can be given another place.
        let elsewhere = bank.root.path().join("elsewhere.db");
        db_backup::finish_restore(waits_as.as_ref(), Some(&elsewhere), &over(), &mut |_| {})
            .unwrap();
        assert_eq!(history(&elsewhere).len(), 20);
        fs::remove_file(&elsewhere).unwrap();
        db_core::Connection::open(&url, db_core::Access::ReadWrite)
            .unwrap()
            .conn()
            .batch_execute("INSERT INTO theirs VALUES (1)")
            .unwrap();
        fs::remove_file(&target).unwrap();
    }
    assert_eq!(names(bank.root.path()), ["backups", "bank.db"]);
}

/// A process that has the file open, and does nothing with it.
struct Holder(std::process::Child);

impl Holder {
    fn of(path: &Path) -> Self {
        let mut command = std::process::Command::new("sleep");
        let file = fs::File::open(path).unwrap();
        Self(command.arg("600").stdin(file).spawn().unwrap())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Somebody opens the old database when the new one is proven, perhaps after hours.
#[test]
fn what_is_proven_waits_where_its_place_is_taken_in_the_last_moment() {
    let bank = Bank::new();
    fill(&bank, 20);
    let backed_up = history(bank.path());
    let manifest = bank.made(encrypted(Some(3)));
    let database = bank.open();
    transfer(&database, &mut fastrand::Rng::with_seed(4), 1, 1);
    close(&database);
    let newer = history(bank.path());
    let url = DatabaseUrl::SqliteFile(bank.path().to_owned());
    let mut holder = None;
    let error = db_backup::restore(&bank.store, &manifest, &url, &over(), &mut |progress| {
        if progress.phase == db_backup::Phase::Swap {
            holder.get_or_insert_with(|| Holder::of(bank.path()));
        }
    })
    .unwrap_err();
    let hint = error.hint().unwrap().to_owned();
    let Error::PlaceTaken {
        error, waits_as, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(matches!(*error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains("sleep"), "{error}");
    assert!(
        hint.starts_with(&format!(
            "stop who has it open, then: bitcraps-db restore --finish '{waits_as}'"
        )),
        "{hint}"
    );
    let name = "bank.db.restored-20251122T143005Z";
    assert_eq!(names(bank.root.path()), ["backups", "bank.db", name]);
    let waiting = bank.root.path().join(name);
    assert_eq!(fs::metadata(&waiting).unwrap().mode() & 0o777, 0o600);
    assert_eq!(history(bank.path()), newer);

    let finish =
        |options: &RestoreOptions| db_backup::finish_restore(&waiting, None, options, &mut |_| {});
    // Still open, and it goes on waiting.
    assert!(matches!(finish(&over()), Err(Error::Locked { .. })));
    drop(holder);
    // So does one that somebody looks into.
    let looker = Holder::of(&waiting);
    assert!(matches!(finish(&over()), Err(Error::Locked { .. })));
    drop(looker);
    let unasked = finish(&over().with_replace(false)).unwrap_err();
    assert!(matches!(unasked, Error::Refused { .. }), "{unasked}");
    let never = Invariant::new("never", |_| Ok(vec!["no".to_owned()]));
    let unsound = finish(&over().with_invariant(never)).unwrap_err();
    assert!(matches!(unsound, Error::Unsound { .. }), "{unsound}");
    assert!(waiting.exists());

    let restored = finish(&over()).unwrap();
    assert_eq!(restored.kept, Some(kept(bank.path()).display().to_string()));
    assert_eq!(history(bank.path()), backed_up);
    assert_eq!(history(&kept(bank.path())), newer);
    assert!(!waiting.exists());
    assert_eq!(fs::metadata(bank.path()).unwrap().nlink(), 1);
    // Somebody was killed before the second name was gone.
    fs::hard_link(bank.path(), &waiting).unwrap();
    let twice = finish(&over()).unwrap_err();
    assert!(matches!(twice, Error::Refused { .. }), "{twice}");
    assert_eq!(history(bank.path()), backed_up);
    // Nobody's database is taken for one that waits.
    let wrong = db_backup::finish_restore(bank.path(), None, &over(), &mut |_| {}).unwrap_err();
    assert!(matches!(wrong, Error::Usage { .. }), "{wrong}");
}

//! Pruning a real folder: a dry run tells the truth, and no kill leaves half a backup.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use db_backup::prune::{self, Pruning};
use db_backup::retention::Policy;
use db_backup::{
    BackupName, Content, EngineFacts, Error, Kind, Level, LocalStore, MadeBy, Manifest, Part,
    Proof, Store, Verification, WriteMode, list,
};
use db_core::Interrupt;
use tempfile::TempDir;

/// SHA-256 of nothing.
const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-22T02:00:00Z".parse().unwrap()
}

pub(crate) struct Folder {
    home: TempDir,
    pub(crate) store: LocalStore,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = LocalStore::new(home.path());
        Self { home, store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn names(&self) -> BTreeSet<String> {
        let files = fs::read_dir(self.home.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// A backup of a database, so many hours old.
    pub(crate) fn add(
        &self,
        hours: i64,
        kind: Kind,
        change: impl FnOnce(&mut Manifest),
    ) -> Manifest {
        let started_at = now() - TimeDelta::hours(hours);
        let name = BackupName::at(started_at);
        let part = Part {
            name: name.artifact(kind, true, false),
            bytes: 7,
            sha256: HASH.to_owned(),
        };
        fs::write(self.path(&part.name), "content").unwrap();
        let is_sqlite = kind == Kind::Sqlite;
        let mut manifest = Manifest {
            format: 1,
            name: name.to_string(),
            kind,
            started_at,
            finished_at: started_at,
            duration_ms: 0,
            made_by: MadeBy::this("test"),
            engine: EngineFacts {
                name: if is_sqlite { "sqlite" } else { "postgres" }.to_owned(),
                page_size: is_sqlite.then_some(4096),
                pages: is_sqlite.then_some(2),
                ..EngineFacts::default()
            },
            database: "the database".to_owned(),
            schema: None,
            tables: Vec::new(),
            content: Content {
                bytes: 8192,
                sha256: HASH.to_owned(),
            },
            parts: vec![part],
            compression: Some(db_backup::Compression {
                method: "zstd".to_owned(),
                level: 3,
            }),
            encryption: None,
            proof: Proof::default(),
            requires: Vec::new(),
            sha256: String::new(),
        };
        change(&mut manifest);
        let bytes = manifest.seal().unwrap();
        self.store
            .write_small(&name.manifest(), &bytes, WriteMode::Create)
            .unwrap();
        manifest
    }

    pub(crate) fn verify(&self, manifest: &Manifest) {
        let mut record = Verification {
            format: 1,
            name: manifest.name.clone(),
            manifest: manifest.sha256.clone(),
            at: now(),
            level: Level::Full,
            copy_ms: 1,
            verify_ms: 1,
            total_ms: 2,
            bytes: 8192,
            host: "here".to_owned(),
            sha256: String::new(),
        };
        let bytes = record.seal().unwrap();
        let name = manifest.backup_name().unwrap().verification();
        self.store
            .write_small(&name, &bytes, WriteMode::Replace)
            .unwrap();
    }

    fn prune(&self, policy: &Policy) -> Pruning {
        let dry = prune::plan(&self.store, policy, now()).unwrap();
        let before = self.names();
        let mut gone = Vec::new();
        let done = prune::prune(
            &self.store,
            policy,
            now(),
            (&Interrupt::default(), &mut |name| {
                gone.push(name.to_owned());
            }),
        )
        .unwrap();
        assert_eq!(dry, done, "a dry run differs");
        let said: Vec<&String> = done
            .removed
            .iter()
            .map(|removed| &removed.name)
            .chain(&done.leftovers)
            .chain(&done.log_files)
            .collect();
        assert_eq!(gone.iter().collect::<Vec<_>>(), said);
        let after = self.names();
        let expected: BTreeSet<String> = before
            .into_iter()
            .filter(|file| {
                !said
                    .iter()
                    .any(|name| file == *name || file.starts_with(&format!("{name}.")))
            })
            .collect();
        assert_eq!(after, expected);
        done
    }
}

fn names(removed: &[db_backup::retention::Removed]) -> Vec<&str> {
    removed
        .iter()
        .map(|removed| removed.name.as_str())
        .collect()
}

#[test]
fn a_dry_run_is_what_a_prune_does() {
    let folder = Folder::new();
    let mut all = Vec::new();
    for day in 0..12 {
        all.push(folder.add(day * 24, Kind::Sqlite, |_| {}));
    }
    folder.verify(&all[9]);
    folder.verify(&all[11]);
    let done = folder.prune(&Policy::default());
    assert_eq!(done.kept.len(), 8);
    let kept = done.kept.last().unwrap();
    assert_eq!(kept.name, all[9].name);
    assert_eq!(kept.reasons[0].to_string(), "last verified full backup");
    assert_eq!(
        names(&done.removed),
        [&all[11].name, &all[10].name, &all[8].name, &all[7].name]
    );
    assert_eq!(done.bytes, 28);
    let again = folder.prune(&Policy::default());
    assert!(again.removed.is_empty());
}

#[test]
fn the_last_one_before_a_shrink_stays_as_long_as_what_shrank() {
    let folder = Folder::new();
    let rows = |rows| {
        move |manifest: &mut Manifest| {
            let name = "t".to_owned();
            manifest.tables = vec![db_backup::TableRows { name, rows }];
        }
    };
    let older = folder.add(50, Kind::Sqlite, rows(1_200));
    let before = folder.add(40, Kind::Sqlite, rows(1_001));
    folder.add(30, Kind::Sqlite, rows(500));
    let last = folder.add(20, Kind::Sqlite, rows(100));
    let one = Policy {
        last: 1,
        ..Policy::none()
    };
    let done = folder.prune(&one);
    let kept: Vec<_> = done.kept.iter().map(|kept| kept.name.as_str()).collect();
    assert_eq!(kept, [last.name.as_str(), before.name.as_str()]);
    let why = format!("last before {} shrank", last.name);
    assert_eq!(done.kept[1].reasons[0].to_string(), why);
    assert!(names(&done.removed).contains(&older.name.as_str()));
    // Half of it is not less than half.
    let folder = Folder::new();
    folder.add(40, Kind::Sqlite, rows(1_000));
    folder.add(30, Kind::Sqlite, rows(500));
    folder.add(20, Kind::Sqlite, rows(250));
    assert_eq!(folder.prune(&one).kept.len(), 1);
    let status = db_backup::status(&folder.store, now()).unwrap();
    assert_eq!(status.series[0].shrunk, None);
}

#[test]
fn what_cannot_be_read_stays_and_is_told() {
    let folder = Folder::new();
    folder.add(0, Kind::Sqlite, |_| {});
    let flipped = folder.add(1_000, Kind::Sqlite, |_| {});
    let missing = folder.add(1_001, Kind::Sqlite, |_| {});
    let short = folder.add(1_002, Kind::Sqlite, |_| {});
    let manifest = folder.path(&flipped.backup_name().unwrap().manifest());
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("the database", "The database")).unwrap();
    fs::remove_file(folder.path(&missing.parts[0].name)).unwrap();
    fs::write(folder.path(&short.parts[0].name), "conten").unwrap();
    fs::write(folder.path("somebody's.txt"), "x").unwrap();
    let before = folder.names();
    let done = folder.prune(&Policy::default());
    assert!(done.removed.is_empty());
    let told: Vec<&str> = done.unreadable.iter().map(|u| u.name.as_str()).collect();
    assert_eq!(told, [&short.name, &missing.name, &flipped.name]);
    assert!(done.unreadable.iter().all(|u| !u.reason.is_empty()));
    assert_eq!(folder.names(), before);
}

fn age(path: &Path, age: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let now: std::time::SystemTime = now().into();
    file.set_modified(now - age).unwrap();
}

#[test]
fn files_without_a_manifest_go_after_a_day() {
    let folder = Folder::new();
    folder.add(0, Kind::Sqlite, |_| {});
    let hour = Duration::from_hours(1);
    for (name, hours) in [
        ("backup_20261101_000000.db.zst", 25),
        ("backup_20261101_000001.db.zst", 23),
        ("backup_20261101_000002.verified.json", 25),
        ("notes.txt", 2_500),
    ] {
        fs::write(folder.path(name), "1234").unwrap();
        age(&folder.path(name), hour * hours);
    }
    let done = folder.prune(&Policy::default());
    assert_eq!(
        done.leftovers,
        [
            "backup_20261101_000000.db.zst",
            "backup_20261101_000002.verified.json"
        ]
    );
    assert_eq!(done.bytes, 8);
}

fn base(folder: &Folder, hours: i64, cluster: &str, start: &str) -> Manifest {
    folder.add(hours, Kind::PostgresBase, |manifest| {
        manifest.engine.system_identifier = Some(cluster.to_owned());
        manifest.engine.start_wal = Some(start.to_owned());
    })
}

const LOG: [&str; 6] = [
    "wal_000000010000000000000004-0123456789abcdef.zst",
    "wal_000000010000000000000005-0123456789abcdef.zst",
    "wal_000000010000000100000001-0123456789abcdef.zst.age",
    // A later timeline, which began before the backup that stays.
    "wal_000000020000000000000004-0123456789abcdef.zst",
    "wal_00000002.history-0123456789abcdef.zst",
    "wal_00000001000000000000000G-0123456789abcdef.zst",
];

#[test]
fn log_files_go_that_no_base_backup_needs() {
    let folder = Folder::new();
    for file in LOG {
        fs::write(folder.path(file), "log").unwrap();
    }
    let done = folder.prune(&Policy::default());
    assert!(done.log_files.is_empty(), "{done:?}");
    base(&folder, 24 * 30, "1", "000000010000000000000001");
    base(&folder, 48, "1", "000000010000000000000005");
    base(&folder, 24, "1", "000000010000000000000009");
    let done = folder.prune(&Policy::default());
    assert_eq!(done.removed.len(), 1);
    assert_eq!(done.log_files, [LOG[0], LOG[3]]);
    assert_eq!(done.log_files_stay, None);
}

#[test]
fn log_files_stay_where_it_is_not_sure_whose_they_are() {
    let folder = Folder::new();
    fs::write(folder.path(LOG[0]), "log").unwrap();
    base(&folder, 48, "1", "000000010000000000000005");
    let other = base(&folder, 24, "2", "000000010000000000000009");
    let done = folder.prune(&Policy::default());
    assert!(done.log_files.is_empty());
    assert!(done.log_files_stay.unwrap().contains("several clusters"));
    // Not whole, and still it says what it needs.
    fs::remove_file(folder.path(&other.parts[0].name)).unwrap();
    let done = folder.prune(&Policy::default());
    assert!(done.log_files_stay.unwrap().contains("several clusters"));
    let manifest = folder.path(&other.backup_name().unwrap().manifest());
    fs::write(&manifest, "{}").unwrap();
    let done = folder.prune(&Policy::default());
    assert!(done.log_files.is_empty());
    let why = done.log_files_stay.unwrap();
    assert!(
        why.contains(&other.name) && why.contains("backup remove"),
        "{why}"
    );
    // It is lost: taken away, it is in nobody's way any more.
    db_backup::remove(&folder.store, other.backup_name().unwrap(), now()).unwrap();
    let done = folder.prune(&Policy::default());
    assert_eq!(
        (done.log_files, done.log_files_stay),
        (vec![LOG[0].to_owned()], None)
    );
}

/// A cluster that is no more keeps the log of the other one for ever, unless its last backup can go.
#[test]
fn the_last_backup_of_a_dead_database_is_removed_by_its_name() {
    let folder = Folder::new();
    fs::write(folder.path(LOG[0]), "log").unwrap();
    let dead = base(&folder, 500, "1", "000000010000000000000001");
    folder.verify(&dead);
    base(&folder, 48, "2", "000000010000000000000005");
    assert!(folder.prune(&Policy::default()).log_files_stay.is_some());
    let name = dead.backup_name().unwrap();
    assert!(db_backup::remove(&folder.store, name, now()).is_err());
    db_backup::remove_last(&folder.store, name).unwrap();
    assert_eq!(folder.prune(&Policy::default()).log_files, [LOG[0]]);
}

#[test]
fn a_damaged_backup_of_another_kind_keeps_no_log_files() {
    let folder = Folder::new();
    fs::write(folder.path(LOG[0]), "log").unwrap();
    base(&folder, 48, "1", "000000010000000000000005");
    let damaged = folder.add(3, Kind::PostgresDump, |_| {});
    fs::write(
        folder.path(&damaged.backup_name().unwrap().manifest()),
        "{}",
    )
    .unwrap();
    let done = folder.prune(&Policy::default());
    assert_eq!(
        (done.log_files, done.log_files_stay),
        (vec![LOG[0].to_owned()], None)
    );
    assert_eq!(done.unreadable[0].name, damaged.name);
}

#[test]
fn a_base_that_is_not_whole_keeps_the_log_that_it_needs() {
    let folder = Folder::new();
    for file in [LOG[0], LOG[1]] {
        fs::write(folder.path(file), "log").unwrap();
    }
    let short = base(&folder, 24 * 30, "1", "000000010000000000000005");
    base(&folder, 24, "1", "000000010000000000000009");
    fs::remove_file(folder.path(&short.parts[0].name)).unwrap();
    let done = folder.prune(&Policy::default());
    assert_eq!(done.log_files, [LOG[0]]);
}

#[test]
fn one_backup_is_removed_by_its_name_unless_it_is_needed() {
    let folder = Folder::new();
    let remove = |manifest: &Manifest| {
        db_backup::remove(&folder.store, manifest.backup_name().unwrap(), now())
    };
    let refused = |manifest: &Manifest, part: &str| {
        let error = remove(manifest).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    let full = folder.add(50, Kind::Sqlite, |_| {});
    refused(&full, "the last backup of its database");
    let other = folder.add(49, Kind::Sqlite, |m| m.database = "another".to_owned());
    refused(&full, "the last backup of its database");
    let needs = folder.add(40, Kind::Sqlite, |m| m.requires = vec![full.name.clone()]);
    refused(&full, &needs.name);
    folder.verify(&needs);
    refused(&needs, "restored on trial");
    let future = folder.add(-50, Kind::Sqlite, |_| {});
    remove(&future).unwrap();
    folder.verify(&full);
    remove(&needs).unwrap();
    let younger = folder.add(30, Kind::Sqlite, |_| {});
    refused(&full, "restored on trial");
    // Damaged ones are not the last of anything.
    fs::remove_file(folder.path(&other.parts[0].name)).unwrap();
    remove(&other).unwrap();
    let broken = folder.add(20, Kind::Sqlite, |_| {});
    fs::write(folder.path(&broken.backup_name().unwrap().manifest()), "{}").unwrap();
    let done = remove(&broken).unwrap();
    assert_eq!(done.files.len(), 2);
    let error = remove(&broken).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let left: Vec<String> = list(&folder.store)
        .unwrap()
        .backups
        .iter()
        .map(|entry| entry.name.to_string())
        .collect();
    assert_eq!(left, [full.name, younger.name.clone()]);
    let _lock = folder.store.lock("backup").unwrap();
    assert!(matches!(remove(&younger), Err(Error::Locked { .. })));
}

/// A lock that is lost after so many looks at it, as that of a bucket.
#[test]
fn a_lock_that_is_lost_stops_a_prune_before_the_next_removal() {
    let folder = Folder::new();
    for day in 0..12 {
        folder.add(day * 24, Kind::Sqlite, |_| {});
    }
    let before = folder.names().len();
    for held_for in [0, 1, 3] {
        let lost = Mortal {
            store: &folder.store,
            left: usize::MAX.into(),
            held_for: Some(held_for),
        };
        let names = folder.names().len();
        let mut silent = |_: &str| {};
        let error = prune::prune(
            &lost,
            &Policy::default(),
            now(),
            (&Interrupt::default(), &mut silent),
        )
        .unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        assert_eq!(
            folder.names().len(),
            names - held_for,
            "lost after {held_for}"
        );
        let listing = list(&folder.store).unwrap();
        assert!(listing.backups.iter().all(db_backup::Entry::is_complete));
    }
    assert_eq!(folder.names().len(), before - 4);
}

#[test]
fn nobody_prunes_while_a_backup_is_made() {
    let folder = Folder::new();
    folder.add(0, Kind::Sqlite, |_| {});
    folder.add(1_000, Kind::Sqlite, |_| {});
    let _lock = folder.store.lock("backup").unwrap();
    let mut silent = |_: &str| {};
    let refused = prune::prune(
        &folder.store,
        &Policy::default(),
        now(),
        (&Interrupt::default(), &mut silent),
    );
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    assert_eq!(list(&folder.store).unwrap().backups.len(), 2);
}

/// A store that dies after so many removals, as a process that is killed between two system calls.
#[derive(Debug)]
struct Mortal<'s> {
    store: &'s LocalStore,
    left: std::sync::atomic::AtomicUsize,
    /// After so many looks its lock is lost.
    held_for: Option<usize>,
}

impl Store for Mortal<'_> {
    fn location(&self) -> String {
        self.store.location()
    }

    fn list(&self) -> Result<Vec<db_backup::StoredFile>, Error> {
        self.store.list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn std::io::Read + Send>, Error> {
        self.store.read(name)
    }

    fn publish(
        &self,
        file: db_backup::Draft,
        name: &str,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.store.publish(file, name, progress)
    }

    fn write_small(&self, name: &str, bytes: &[u8], mode: WriteMode) -> Result<(), Error> {
        self.store.write_small(name, bytes, mode)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        use std::sync::atomic::Ordering;
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(Error::Interrupted);
        }
        self.left.store(left - 1, Ordering::SeqCst);
        self.store.remove(name)
    }

    fn draft(&self) -> Result<db_backup::Draft, Error> {
        self.store.draft()
    }

    fn lock(&self, why: &str) -> Result<db_backup::Lock, Error> {
        let lock = self.store.lock(why)?;
        let Some(held_for) = self.held_for else {
            return Ok(lock);
        };
        let looks = std::sync::atomic::AtomicUsize::new(0);
        Ok(db_backup::Lock::that_expires(lock, move || {
            let look = looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if look < held_for {
                return Ok(());
            }
            Err(Error::Locked {
                what: "the store".to_owned(),
                holder: None,
            })
        }))
    }
}

#[test]
fn death_between_any_two_removals_leaves_whole_backups_only() {
    // Five backups go, of three files each.
    for dies_after in 0..=15 {
        let folder = Folder::new();
        let mut all = Vec::new();
        for day in 0..12 {
            all.push(folder.add(day * 24, Kind::Sqlite, |_| {}));
            folder.verify(all.last().unwrap());
        }
        let mortal = Mortal {
            store: &folder.store,
            left: dies_after.into(),
            held_for: None,
        };
        let mut silent = |_: &str| {};
        let done = prune::prune(
            &mortal,
            &Policy::default(),
            now(),
            (&Interrupt::default(), &mut silent),
        );
        assert_eq!(done.is_ok(), dies_after == 15);
        let listing = list(&folder.store).unwrap();
        assert!(listing.backups.iter().all(db_backup::Entry::is_complete));
        let gone = usize::from(dies_after > 0) * dies_after.div_ceil(3);
        assert_eq!(listing.backups.len(), 12 - gone, "after {dies_after}");
        // The next one finishes, and takes the rest away when it is old enough.
        for orphan in &listing.orphans {
            age(&folder.path(orphan), Duration::from_hours(48));
        }
        folder.prune(&Policy::default());
        assert_eq!(folder.names().len(), 7 * 3, "after {dies_after}");
    }
}

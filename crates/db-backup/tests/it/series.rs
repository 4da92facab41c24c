//! Several databases, and kinds of backups, in one store.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use db_backup::health::BackupAges;
use db_backup::postgres::{RecoveryTarget, restore_base};
use db_backup::prune::prune;
use db_backup::retention::Policy;
use db_backup::schedule::{Job as _, Schedule, StoreJob, Timer, run};
use db_backup::{
    BackupOptions, Draft, Error, Kind, LocalStore, Lock, Manifest, RestoreOptions, Selector,
    Source, Store, StoredFile, VerifyOptions, Wanted, WriteMode, create, drill, find, latest, list,
    restore, status, verify,
};
use db_core::{DatabaseUrl, Interrupt};
use db_testkit::TestDb;

use crate::prune::{Folder, now};
use crate::schedule::fake::Patient;

fn of(database: &str) -> impl FnOnce(&mut Manifest) {
    move |manifest| database.clone_into(&mut manifest.database)
}

/// A dump or a base backup of a cluster, by an address.
fn on(cluster: &str, address: &str) -> impl FnOnce(&mut Manifest) {
    move |manifest| {
        address.clone_into(&mut manifest.database);
        manifest.engine.system_identifier = Some(cluster.to_owned());
    }
}

fn url(text: &str) -> DatabaseUrl {
    DatabaseUrl::parse(text).unwrap()
}

fn wanted(databases: &[&str], kinds: &[Kind], of: Option<&str>) -> Wanted {
    Wanted {
        databases: databases.iter().map(|text| url(text)).collect(),
        kinds: kinds.to_vec(),
        of: of.map(str::to_owned),
        only_own: false,
        ..Wanted::default()
    }
}

fn newest(folder: &Folder, wanted: &Wanted) -> Result<String, Error> {
    latest(&folder.store, wanted, now()).map(|manifest| manifest.name)
}

/// Nobody is told another database's backup for theirs, and who cannot be meant is told.
#[test]
fn latest_is_that_of_the_database_that_is_named() {
    let folder = Folder::new();
    let bank = folder.add(5, Kind::Sqlite, of("/srv/bank.db"));
    let older = folder.add(9, Kind::Sqlite, of("/srv/shop.db"));
    // Only one database: it is meant, wherever one asks from.
    let alone = Folder::new();
    let only = alone.add(5, Kind::Sqlite, of("/srv/bank.db"));
    assert_eq!(newest(&alone, &Wanted::default()).unwrap(), only.name);
    let elsewhere = wanted(&["sqlite:///new/place.db"], &[Kind::Sqlite], None);
    assert_eq!(newest(&alone, &elsewhere).unwrap(), only.name);

    let shop = wanted(&["sqlite:///srv/shop.db"], &[], None);
    assert_eq!(newest(&folder, &shop).unwrap(), older.name);
    for text in [
        "/srv/bank.db",
        "bank.db",
        "sqlite /srv/bank.db",
        "sqlite:///srv/bank.db",
    ] {
        let said = wanted(&["sqlite:///srv/shop.db"], &[], Some(text));
        assert_eq!(newest(&folder, &said).unwrap(), bank.name, "{text}");
    }
    for unclear in [
        Wanted::default(),
        elsewhere,
        wanted(&[], &[], Some("sqlite")),
        wanted(
            &["sqlite:///srv/shop.db", "sqlite:///srv/bank.db"],
            &[],
            None,
        ),
    ] {
        let error = newest(&folder, &unclear).unwrap_err();
        assert!(matches!(error, Error::Usage { .. }), "{error}");
        let told = error.to_string();
        for part in ["/srv/bank.db", "/srv/shop.db", &bank.name, &older.name] {
            assert!(told.contains(part), "{told}");
        }
        assert!(error.hint().unwrap().contains("--of"));
    }
    let error = newest(&folder, &wanted(&[], &[], Some("/srv/house.db"))).unwrap_err();
    assert!(error.to_string().contains("/srv/house.db"), "{error}");
    let error = newest(&folder, &wanted(&[], &[Kind::PostgresDump], None)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no backup of the kind postgres_dump"),
        "{error}"
    );
    let error = find(&folder.store, Selector::Latest).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
}

#[test]
fn databases_of_servers_are_known_by_address_and_cluster() {
    let folder = Folder::new();
    let dump = folder.add(
        4,
        Kind::PostgresDump,
        on("1", "postgres://u:***@h/app?sslmode=require"),
    );
    let base = folder.add(
        3,
        Kind::PostgresBase,
        on("1", "postgres://other@h:5432/else"),
    );
    folder.add(2, Kind::PostgresDump, on("1", "postgres://u@h/else"));
    let app = "postgres://me:secret@H:5432/app";
    let name = |kinds: &[Kind]| newest(&folder, &wanted(&[app], kinds, None)).unwrap();
    assert_eq!(name(&[Kind::PostgresDump]), dump.name);
    assert_eq!(name(&[Kind::PostgresBase]), base.name);
    // Of the database, whichever kind: the newest that holds it.
    assert_eq!(name(&[]), base.name);
    let found = status(&folder.store, now()).unwrap();
    assert_eq!(found.series.len(), 3);
    assert_eq!(found.of(&url(app)).count(), 2);
    assert_eq!(found.of(&url("postgres://h:5433/app")).count(), 0);
    // The cluster behind the address changed, as an upgrade does it: what is newest goes on, and the
    // former one can still be named. A wrong clock decides nothing.
    let after = folder.add(1, Kind::PostgresDump, on("2", "postgres://u@h/app"));
    folder.add(-24, Kind::PostgresDump, on("1", "postgres://u@h/app"));
    assert_eq!(name(&[Kind::PostgresDump]), after.name);
    assert_eq!(name(&[]), after.name);
    let former = wanted(
        &[],
        &[Kind::PostgresDump],
        Some("postgres_dump postgres://h:5432/app"),
    );
    assert_eq!(newest(&folder, &former).unwrap(), after.name);
    assert!(newest(&folder, &wanted(&[], &[Kind::PostgresDump], Some("2"))).is_ok());
    let error = newest(&folder, &wanted(&[], &[Kind::PostgresDump], Some("1"))).unwrap_err();
    assert!(error.to_string().contains("of the cluster 1"), "{error}");
}

fn unsound(manifest: &mut Manifest) {
    manifest.proof.unsound = vec!["a foreign key is broken".to_owned()];
}

/// What is not sound is a copy of damage: it is not what one goes back to, and makes nothing young.
#[test]
fn what_is_not_sound_is_no_newest_backup() {
    let folder = Folder::new();
    let bank = "/srv/bank.db";
    let sound = folder.add(48, Kind::Sqlite, of(bank));
    let damaged = folder.add(1, Kind::Sqlite, |manifest| {
        of(bank)(manifest);
        unsound(manifest);
    });
    let own = wanted(&[bank], &[], None);
    assert_eq!(newest(&folder, &own).unwrap(), sound.name);
    let found = status(&folder.store, now()).unwrap();
    let one = &found.series[0];
    assert_eq!((one.backups, one.rpo_s), (2, Some(48 * 3600)));
    assert_eq!(one.newest.as_ref(), Some(&sound.name));
    assert_eq!(one.newest_unsound.as_ref(), Some(&damaged.name));
    let ages = BackupAges::of(&folder.store, &url(bank), now()).unwrap();
    assert_eq!(ages.last_backup, Some(now() - TimeDelta::hours(48)));
    // The last sound one is not removed because there is one that is not.
    let remove = |one: &Manifest| {
        let name = one.backup_name().unwrap();
        db_backup::remove(&folder.store, name, now())
    };
    let error = remove(&sound).unwrap_err();
    assert!(error.hint().unwrap().contains("--last"), "{error}");
    remove(&damaged).unwrap();
    // Where none is sound, what there is is shown for what it is.
    let alone = Folder::new();
    let only = alone.add(1, Kind::Sqlite, unsound);
    assert_eq!(newest(&alone, &Wanted::default()).unwrap(), only.name);
    assert_eq!(status(&alone.store, now()).unwrap().series[0].newest, None);
}

/// A database that is there and has no backup is not replaced by another one.
#[test]
fn another_database_is_not_taken_for_the_own_one() {
    let folder = Folder::new();
    let bank = folder.add(5, Kind::Sqlite, of("/srv/bank.db"));
    let mut asked = wanted(&["/srv/shop.db"], &[], None);
    asked.only_own = true;
    let error = newest(&folder, &asked).unwrap_err();
    assert!(matches!(error, Error::Usage { .. }), "{error}");
    assert!(error.to_string().contains("/srv/bank.db"), "{error}");
    asked.of = Some("bank.db".to_owned());
    assert_eq!(newest(&folder, &asked).unwrap(), bank.name);
}

/// Two databases with two policies in one store: neither schedule removes what the other keeps.
#[test]
fn a_schedule_prunes_its_own_series_only() {
    let folder = Folder::new();
    let store = Arc::new(LocalStore::new(folder.path("")));
    for day in 0..20 {
        folder.add(day * 24, Kind::Sqlite, of("/srv/bank.db"));
        folder.add(day * 24 + 1, Kind::Sqlite, of("/srv/shop.db"));
    }
    let prune = |database: &str, days: u32| {
        let source = Source {
            url: url(database),
            key: None,
        };
        let verify = VerifyOptions::new().with_clock(db_core::FixedClock(now()));
        let mut policy = Policy::none();
        policy.days = days;
        let options = (BackupOptions::new(), verify);
        let mut job = StoreJob::new(source, Arc::<LocalStore>::clone(&store), options, policy);
        job.prune(&Interrupt::default()).unwrap()
    };
    let left = |database: &str| {
        let found = status(&folder.store, now()).unwrap();
        found.of(&url(database)).map(|one| one.backups).sum()
    };
    assert_eq!(prune("/srv/shop.db", 1), 19);
    assert_eq!((left("/srv/bank.db"), left("/srv/shop.db")), (20_usize, 1));
    assert_eq!(prune("/srv/bank.db", 10), 10);
    assert_eq!((left("/srv/bank.db"), left("/srv/shop.db")), (10, 1));
}

/// A file by way of a link is the same one, also when it is lost: that is when it matters.
#[test]
fn a_link_to_a_lost_file_leads_to_its_backups() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("bank.db"), home.path().join("link.db"));
    let db = TestDb::sqlite();
    db.connect().execute("CREATE TABLE t (x)");
    let copied = format!("VACUUM INTO '{}'", real.display());
    db.connect().execute(&copied);
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let store = LocalStore::new(home.path().join("backups"));
    let source = |path: &std::path::Path| Source {
        url: DatabaseUrl::SqliteFile(path.to_owned()),
        key: None,
    };
    let options = BackupOptions::new();
    let made = create(&source(&link), &store, &options, &mut |_| {}).unwrap();
    assert_eq!(
        made.database,
        real.canonicalize().unwrap().to_string_lossy()
    );
    std::fs::remove_file(&real).unwrap();
    let found = status(&store, made.finished_at).unwrap();
    for path in [link, real] {
        assert_eq!(found.of(&DatabaseUrl::SqliteFile(path)).count(), 1);
    }
}

#[test]
fn a_link_leads_to_the_same_database() {
    let folder = Folder::new();
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("bank.db"), home.path().join("link.db"));
    std::fs::write(&real, "").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    folder.add(5, Kind::Sqlite, of(real.to_str().unwrap()));
    let found = status(&folder.store, now()).unwrap();
    assert_eq!(found.of(&DatabaseUrl::SqliteFile(link)).count(), 1);
}

#[test]
fn status_and_ages_are_those_of_a_series() {
    let folder = Folder::new();
    let old = folder.add(50, Kind::Sqlite, of("/srv/bank.db"));
    folder.verify(&old);
    folder.add(48, Kind::Sqlite, of("/srv/bank.db"));
    let young = folder.add(1, Kind::Sqlite, of("/srv/shop.db"));
    let found = status(&folder.store, now()).unwrap();
    assert_eq!((found.backups, found.series.len()), (3, 2));
    let (bank, shop) = (&found.series[0], &found.series[1]);
    assert_eq!(
        (bank.rpo_s, bank.longest_gap_s),
        (Some(48 * 3600), Some(2 * 3600))
    );
    assert_eq!(bank.newest_verified.as_ref(), Some(&old.name));
    assert_eq!(shop.newest.as_ref(), Some(&young.name));
    assert_eq!((shop.rpo_s, &shop.newest_verified), (Some(3600), &None));
    let ages = |text: &str| BackupAges::of(&folder.store, &url(text), now()).unwrap();
    assert_eq!(
        ages("/srv/bank.db").last_backup,
        Some(now() - TimeDelta::hours(48))
    );
    assert_eq!(ages("/srv/shop.db").last_verified_restore, None);
    assert_eq!(ages("/srv/house.db").last_backup, None);
}

#[test]
fn what_is_dated_in_the_future_wins_nothing() {
    let folder = Folder::new();
    let good = folder.add(30, Kind::Sqlite, |_| {});
    let future = folder.add(-24, Kind::Sqlite, |_| {});
    folder.verify(&future);
    assert_eq!(newest(&folder, &Wanted::default()).unwrap(), good.name);
    let found = status(&folder.store, now()).unwrap();
    assert_eq!(found.future, [future.name.as_str()]);
    assert_eq!(found.series[0].newest.as_ref(), Some(&good.name));
    assert_eq!(found.series[0].rpo_s, Some(30 * 3600));
    assert_eq!(found.series[0].newest_verified, None);
    let listed = list(&folder.store).unwrap();
    let told: Vec<bool> = listed.backups.iter().map(|b| b.is_future(now())).collect();
    assert_eq!(told, [false, true]);
    // By its name it can be had.
    let named = Selector::parse(&future.name).unwrap();
    assert_eq!(find(&folder.store, named).unwrap().name, future.name);
    let alone = Folder::new();
    alone.add(-24, Kind::Sqlite, |_| {});
    let error = newest(&alone, &Wanted::default()).unwrap_err();
    assert!(error.to_string().contains("dated in the future"), "{error}");
}

/// A newer one that cannot be read may be the latest, if it is of the kind that is wanted.
#[test]
fn an_unreadable_newer_one_is_not_passed_over() {
    let folder = Folder::new();
    let dump = folder.add(5, Kind::PostgresDump, |_| {});
    let broken = folder.add(1, Kind::Sqlite, |_| {});
    let file = folder.path(&broken.backup_name().unwrap().manifest());
    std::fs::write(file, "{}").unwrap();
    let error = newest(&folder, &Wanted::default()).unwrap_err();
    assert!(error.to_string().contains(&broken.name), "{error}");
    let dumps = wanted(&[], &[Kind::PostgresDump], None);
    assert_eq!(newest(&folder, &dumps).unwrap(), dump.name);
}

/// A young backup of another database is none of this one.
#[test]
fn a_schedule_makes_its_own_series() {
    let store = Arc::new(LocalStore::new(tempfile::tempdir().unwrap().keep()));
    let once = |db: &TestDb| {
        let source = Source {
            url: url(&db.url()),
            key: None,
        };
        let options = (BackupOptions::new(), VerifyOptions::new());
        let policy = Policy::none();
        let job = StoreJob::new(source, Arc::<LocalStore>::clone(&store), options, policy);
        let timer: Arc<dyn Timer> = Arc::new(Patient::default());
        let at = (timer, &Interrupt::default());
        run(Schedule::default(), job, at, true, &mut |_| {}).unwrap()
    };
    let (bank, shop) = (TestDb::sqlite(), TestDb::sqlite());
    for db in [&bank, &shop] {
        db.connect()
            .execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
        let state = once(db);
        assert_eq!((state.made, state.failed), (1, 0), "{state:?}");
        assert_eq!(once(db).made, 0);
    }
    let found = status(&*store, db_core::Clock::now(&db_core::SystemClock)).unwrap();
    // Each was restored on trial, not the newest of both twice.
    assert_eq!(found.series.len(), 2);
    assert!(found.series.iter().all(|one| one.newest_verified.is_some()));
    std::fs::remove_dir_all(store.folder().unwrap()).unwrap();
}

/// A folder that is read while somebody removes a backup: what it shows first is not there any more.
#[derive(Debug)]
struct Stale<'s> {
    store: &'s LocalStore,
    gone: Vec<StoredFile>,
    is_stale: AtomicBool,
    /// Whether it was told what stops it.
    obeys: AtomicBool,
}

impl Store for Stale<'_> {
    fn location(&self) -> String {
        self.store.location()
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        let mut files = self.store.list()?;
        if self.is_stale.swap(false, Ordering::SeqCst) {
            files.extend(self.gone.iter().cloned());
        }
        Ok(files)
    }

    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        self.store.read(name)
    }

    fn publish(
        &self,
        file: Draft,
        name: &str,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.store.publish(file, name, progress)
    }

    fn write_small(&self, name: &str, bytes: &[u8], mode: WriteMode) -> Result<(), Error> {
        self.store.write_small(name, bytes, mode)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.store.remove(name)
    }

    fn draft(&self) -> Result<Draft, Error> {
        self.store.draft()
    }

    fn lock(&self, why: &str) -> Result<Lock, Error> {
        self.store.lock(why)
    }

    fn obey(&self, _: &Interrupt) {
        self.obeys.store(true, Ordering::SeqCst);
    }
}

/// A bucket that does not answer must not outlast Ctrl-C.
#[test]
fn whatever_can_be_stopped_tells_the_place_so() {
    let folder = Folder::new();
    let base = folder.add(1, Kind::PostgresBase, |_| {});
    let place = Stale {
        store: &folder.store,
        gone: Vec::new(),
        is_stale: AtomicBool::default(),
        obeys: AtomicBool::default(),
    };
    let obeyed = || place.obeys.swap(false, Ordering::SeqCst);
    let (interrupt, taken) = (Interrupt::default(), folder.path(""));
    let (backup, check, back) = (
        BackupOptions::new(),
        VerifyOptions::new(),
        RestoreOptions::new(),
    );
    let none = url("sqlite:///none/at/all.db");
    let source = Source {
        url: none.clone(),
        key: None,
    };
    create(&source, &place, &backup, &mut |_| {}).unwrap_err();
    assert!(obeyed(), "create");
    verify(&place, &base, &check, &mut |_| {}).unwrap_err();
    assert!(obeyed(), "verify");
    drill(&place, &base, &check, &mut |_| {}).unwrap_err();
    assert!(obeyed(), "drill");
    restore(&place, &base, &none, &back, &mut |_| {}).unwrap_err();
    assert!(obeyed(), "restore");
    let to = (taken.as_path(), &RecoveryTarget::End);
    restore_base(&place, &base, to, &back, &mut |_| {}).unwrap_err();
    assert!(obeyed(), "restore_base");
    prune(&place, &Policy::none(), now(), (&interrupt, &mut |_| {})).unwrap();
    assert!(obeyed(), "prune");
}

#[test]
fn what_is_removed_meanwhile_is_not_damaged() {
    let folder = Folder::new();
    let stays = folder.add(1, Kind::Sqlite, |_| {});
    let goes = folder.add(5, Kind::Sqlite, |_| {});
    folder.verify(&goes);
    let of_it: Vec<StoredFile> = folder
        .store
        .list_starting(&format!("{}.", goes.name))
        .unwrap();
    assert_eq!(of_it.len(), 3);
    for file in &of_it {
        folder.store.remove(&file.name).unwrap();
    }
    let stale = Stale {
        store: &folder.store,
        gone: of_it,
        is_stale: AtomicBool::new(true),
        obeys: AtomicBool::default(),
    };
    let listed = list(&stale).unwrap();
    let names: Vec<String> = listed.backups.iter().map(|b| b.name.to_string()).collect();
    assert_eq!(names, [stays.name]);
    assert!(listed.backups[0].is_complete());
    // And one that is published while the folder is read: its manifest was seen, its part not yet.
    let comes = folder.add(0, Kind::Sqlite, |_| {});
    let part = folder.path(&comes.parts[0].name);
    let aside = part.with_extension("aside");
    std::fs::rename(&part, &aside).unwrap();
    assert!(!list(&folder.store).unwrap().backups[1].is_complete());
    std::fs::rename(&aside, &part).unwrap();
    assert!(list(&folder.store).unwrap().backups[1].is_complete());
}

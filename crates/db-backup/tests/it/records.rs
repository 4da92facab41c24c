//! What records of looks at backups say of a whole store, whatever is the matter with them.

use std::fs;
use std::io::{ErrorKind, Read};

use chrono::{DateTime, Utc};
use db_backup::health::BackupAges;
use db_backup::retention::{Policy, Reason};
use db_backup::{
    BackupOptions, Depth, Draft, Error, Failure, Invariant, Kind, LocalStore, Lock, Manifest,
    Source, Store, StoredFile, VerifyOptions, Wanted, WriteMode, latest, list, prune, remove,
    status,
};
use db_core::DatabaseUrl;
use db_testkit::{TestDb, both_engines};

use crate::prune::{Folder, now};
use crate::sqlite::bank::{encrypted, identities};

const LAST: Policy = Policy {
    last: 1,
    ..Policy::none()
};

/// Notes that a look at it failed.
fn fail(folder: &Folder, manifest: &Manifest) {
    let mut record = Failure {
        format: 1,
        name: manifest.name.clone(),
        manifest: manifest.sha256.clone(),
        at: now(),
        depth: Depth::Restored,
        why: "no".to_owned(),
        host: "here".to_owned(),
        sha256: String::new(),
    };
    let bytes = record.seal().unwrap();
    let name = manifest.backup_name().unwrap().failure();
    folder
        .store
        .write_small(&name, &bytes, WriteMode::Replace)
        .unwrap();
}

/// A store in which one file belongs to somebody else.
#[derive(Debug)]
struct Closed<'s> {
    store: &'s LocalStore,
    file: String,
}

impl Store for Closed<'_> {
    fn location(&self) -> String {
        self.store.location()
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        self.store.list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        if name == self.file {
            return Err(Error::Io {
                doing: "read",
                place: name.to_owned(),
                error: ErrorKind::PermissionDenied.into(),
            });
        }
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
}

#[test]
fn a_failure_that_cannot_be_read_is_one_of_its_backup_only() {
    let folder = Folder::new();
    let [older, newer] = [24, 0].map(|hours| folder.add(hours, Kind::Sqlite, |_| {}));
    folder.verify(&older);
    // Of when the failure is nobody knows, so that this is no later one.
    folder.verify(&newer);
    fail(&folder, &newer);
    let store = Closed {
        store: &folder.store,
        file: newer.backup_name().unwrap().failure(),
    };
    let listing = list(&store).unwrap();
    assert!(listing.backups[0].is_usable());
    let failure = listing.backups[1].failure.as_ref().unwrap().to_string();
    assert!(failure.contains("its record cannot be read"), "{failure}");
    assert!(failure.contains("permission denied"), "{failure}");
    assert!(listing.backups[1].verification.is_none());
    let found = status(&store, now()).unwrap();
    assert_eq!(found.damaged, [&*newer.name]);
    assert_eq!(found.series[0].newest.as_ref(), Some(&older.name));
    assert_eq!(ages(&store, "the database").failed, 1);
    let latest = latest(&store, &Wanted::default(), now()).unwrap();
    assert_eq!(latest.name, newer.name);
    let kept = prune::plan(&store, &LAST, now()).unwrap().kept;
    assert_eq!(kept[0].reasons, [Reason::NewestUnsound]);
    assert_eq!(kept[1].name, older.name);
}

#[test]
fn a_trial_whose_record_cannot_be_read_keeps_its_backup() {
    let folder = Folder::new();
    let [oldest, old, newest] = [48, 24, 0].map(|hours| folder.add(hours, Kind::Sqlite, |_| {}));
    folder.verify(&oldest);
    folder.verify(&old);
    let store = Closed {
        store: &folder.store,
        file: old.backup_name().unwrap().verification(),
    };
    let listing = list(&store).unwrap();
    let entry = &listing.backups[1];
    assert!(entry.is_usable() && entry.verification.is_none());
    let unread = entry.unread.as_ref().unwrap();
    assert!(unread.contains("permission denied"), "{unread}");
    let found = status(&store, now()).unwrap();
    assert_eq!(found.series[0].newest_verified.as_ref(), Some(&oldest.name));
    // It may be the last one that is proven, and the other one may be so, too.
    let kept = prune::plan(&store, &LAST, now()).unwrap().kept;
    let kept: Vec<_> = kept.iter().map(|one| (&*one.name, &one.reasons)).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!(kept[0].0, newest.name);
    assert_eq!(kept[1], (&*old.name, &vec![Reason::Unread]));
    assert_eq!(kept[2], (&*oldest.name, &vec![Reason::LastVerifiedFull]));
    remove(&store, oldest.backup_name().unwrap(), now()).unwrap_err();
    let refused = remove(&store, old.backup_name().unwrap(), now());
    assert!(refused.is_ok(), "there is another one that is proven");
}

/// The only copy of what is gone must not go because somebody has looked at it.
#[test]
fn a_failed_look_at_the_larger_one_hides_no_loss() {
    let folder = Folder::new();
    let of_rows = |rows| {
        move |manifest: &mut Manifest| {
            let name = "t".to_owned();
            manifest.tables = vec![db_backup::TableRows { name, rows }];
        }
    };
    let oldest = folder.add(60, Kind::Sqlite, of_rows(2_000));
    let before = folder.add(50, Kind::Sqlite, of_rows(1_500));
    let small = folder.add(20, Kind::Sqlite, of_rows(10));
    let told = || {
        let found = status(&folder.store, now()).unwrap();
        let shrunk = found.series[0].shrunk.clone().unwrap();
        assert!(ages(&folder.store, "the database").shrunk);
        (shrunk.name, shrunk.before)
    };
    let kept = || {
        let kept = prune::plan(&folder.store, &LAST, now()).unwrap().kept;
        let kept = kept.into_iter().filter(|kept| {
            let why = format!("last before {} shrank", small.name);
            kept.reasons.iter().any(|reason| reason.to_string() == why)
        });
        kept.map(|kept| kept.name).collect::<Vec<_>>()
    };
    let loss = (small.name.clone(), before.name.clone());
    assert_eq!(told(), loss);
    assert_eq!(kept(), [&*before.name]);
    fail(&folder, &before);
    assert_eq!(told(), loss);
    // Before it there is one of which nobody knows such a thing.
    assert_eq!(kept(), [&*before.name, &oldest.name]);
}

#[test]
fn what_failed_of_a_cluster_that_was_there_before_is_no_alarm_for_ever() {
    const ADDRESS: &str = "postgres://db:5432/game";
    let folder = Folder::new();
    let of_cluster = |number: &str| {
        let number = number.to_owned();
        move |manifest: &mut Manifest| {
            manifest.database = ADDRESS.to_owned();
            manifest.engine.system_identifier = Some(number);
        }
    };
    let failed = || ages(&folder.store, ADDRESS).failed;
    let old = folder.add(48, Kind::PostgresDump, of_cluster("7001"));
    fail(&folder, &old);
    assert_eq!(failed(), 1);
    let new = folder.add(24, Kind::PostgresDump, of_cluster("7002"));
    assert_eq!(failed(), 0);
    // It is told as ever that it failed.
    assert_eq!(status(&folder.store, now()).unwrap().damaged, [&*old.name]);
    fail(&folder, &new);
    assert_eq!(failed(), 1);
    folder.add(0, Kind::PostgresDump, of_cluster("7002"));
    assert_eq!(failed(), 1);
}

fn ages(store: &dyn Store, database: &str) -> BackupAges {
    let url = DatabaseUrl::parse(database);
    let url = url.unwrap_or_else(|_| DatabaseUrl::SqliteFile(database.into()));
    let at: DateTime<Utc> = now();
    BackupAges::of(store, &url, at).unwrap()
}

both_engines! {
    fn no_word_of_the_data_stands_beside_what_is_encrypted(db: TestDb) {
        const CANARY: &str = "CANARY-81ac07";
        db.connect().execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
        let url = DatabaseUrl::parse(&db.url()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        let theirs = |name: &str| {
            let wrong = vec![format!("{CANARY} has 7"), format!("theirs: {CANARY}")];
            Invariant::new(name, move |_| Ok(wrong.clone()))
        };
        let is_silent = |files: usize| {
            let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
            let names: Vec<_> = names.filter(|file| file.is_file() && !file.ends_with(".lock")).collect();
            assert_eq!(names.len(), files, "{names:?}");
            for file in names {
                let bytes = fs::read(&file).unwrap();
                let said = String::from_utf8_lossy(&bytes);
                assert!(!said.contains(CANARY), "{}: {said}", file.display());
            }
        };
        let source = Source { url: url.clone(), key: None };
        let options = BackupOptions::new().with_codec(encrypted(Some(3)));
        let make = |options: &BackupOptions| {
            db_backup::create(&source, &store, options, &mut |_| {}).unwrap()
        };
        let manifest = make(&options);
        let verify = VerifyOptions::new()
            .with_identities(identities())
            .with_server(url.clone())
            .with_invariant(theirs("theirs"));
        let failed = db_backup::drill(&store, &manifest, &verify, &mut |_| {}).unwrap_err();
        assert!(failed.to_string().contains(CANARY), "{failed}");
        is_silent(3);
        let told = |count: usize| {
            let listing = list(&store).unwrap();
            let entry = &listing.backups[0];
            assert_eq!(listing.backups.len(), count);
            entry.failure.as_ref().unwrap().why.clone()
        };
        let why = told(1);
        assert!(why.contains("theirs: 2 findings; what was found is not written"), "{why}");
        let artifact = folder.path().join(&manifest.parts[0].name);
        let mut bytes = fs::read(&artifact).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&artifact, bytes).unwrap();
        db_backup::verify(&store, &manifest, &verify, &mut |_| {}).unwrap_err();
        let why = told(1);
        assert!(why.contains("is damaged; what was found is not written"), "{why}");
        // Nor in the manifest of one that is kept as it is.
        let options = options.with_accept_unsound(true).with_invariant(theirs("money"));
        let kept = make(&options);
        assert_eq!(kept.proof.unsound, ["money: 2 findings"]);
        is_silent(5);
    }
}

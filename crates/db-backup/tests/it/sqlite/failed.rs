//! A look at a backup that failed is remembered beside it, until one as deep passes.

use std::fs;
use std::path::PathBuf;

use db_backup::health::BackupAges;
use db_backup::retention::{Policy, Reason};
use db_backup::{
    Depth, Error, Failure, Invariant, Kind, Level, Manifest, Store, VerifyOptions, WriteMode, prune,
};
use db_core::{Clock, SystemClock};

use super::bank::*;
use crate::prune::{Folder, now};

fn verify(store: &dyn Store, manifest: &Manifest, level: Level) -> Result<(), Error> {
    let options = VerifyOptions::new()
        .with_identities(identities())
        .with_level(level);
    db_backup::verify(store, manifest, &options, &mut |_| {}).map(drop)
}

/// A restore on trial; `holds` says whether the data pass a check of somebody's.
fn drill(bank: &Bank, manifest: &Manifest, holds: bool) -> Result<(), Error> {
    let wrong = if holds { vec![] } else { vec!["no".to_owned()] };
    let options = VerifyOptions::new()
        .with_identities(identities())
        .with_invariant(Invariant::new("theirs", move |_| Ok(wrong.clone())));
    db_backup::drill(&bank.store, manifest, &options, &mut |_| {}).map(drop)
}

/// The artifact, as it was, and with a byte that changed.
struct Artifact {
    path: PathBuf,
    good: Vec<u8>,
}

impl Artifact {
    fn of(bank: &Bank, manifest: &Manifest) -> Self {
        let path = bank.folder().join(&manifest.parts[0].name);
        let good = fs::read(&path).unwrap();
        Self { path, good }
    }

    fn damage(&self) {
        let mut bad = self.good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&self.path, bad).unwrap();
    }

    fn mend(&self) {
        fs::write(&self.path, &self.good).unwrap();
    }
}

/// What is said of each backup that failed.
fn failures(store: &dyn Store) -> Vec<String> {
    let listing = db_backup::list(store).unwrap();
    let told = listing.backups.iter().map(|entry| {
        assert_eq!(entry.is_usable(), entry.failure.is_none());
        assert!(entry.failure.is_none() || entry.verification.is_none());
        entry.failure.as_ref().map(ToString::to_string)
    });
    told.flatten().collect()
}

#[test]
fn a_failure_is_remembered_until_the_backup_passes() {
    for codec in codecs() {
        let bank = Bank::new();
        fill(&bank, 20);
        let older = bank.made(codec.clone());
        let newer = bank.made(codec);
        drill(&bank, &newer, true).unwrap();
        let artifact = Artifact::of(&bank, &newer);
        let status = || db_backup::status(&bank.store, SystemClock.now()).unwrap();
        let ages = || BackupAges::of(&bank.store, &bank.url, SystemClock.now()).unwrap();
        let sound = status();
        assert_eq!(sound.series[0].newest.as_deref(), Some(&*newer.name));

        artifact.damage();
        verify(&bank.store, &newer, Level::Quick).unwrap_err();
        let told = failures(&bank.store);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("its verification failed at 20"),
            "{told:?}"
        );
        assert!(told[0].contains(&newer.name), "{told:?}");
        let found = status();
        assert_eq!(found.damaged, [&*newer.name]);
        assert_eq!(found.backups, 1);
        assert_eq!(found.series[0].newest.as_deref(), Some(&*older.name));
        assert_eq!(found.series[0].newest_verified, None);
        assert_eq!((ages().failed, ages().last_verified_restore), (1, None));
        assert_eq!(ages().last_backup, Some(older.started_at));

        // Nobody has seen that it is as it was.
        artifact.mend();
        assert_eq!(failures(&bank.store), told);
        verify(&bank.store, &newer, Level::Quick).unwrap();
        assert_eq!(failures(&bank.store), [""; 0]);
        assert_eq!(status().damaged, [""; 0]);
        assert_eq!(status().series[0].newest, sound.series[0].newest);
        assert_eq!(ages().failed, 0);
        assert_eq!(bank.files().len(), 4, "{:?}", bank.files());

        // Somebody removes it while it is read: nothing of it comes back.
        artifact.damage();
        fs::remove_file(bank.folder().join(format!("{}.json", newer.name))).unwrap();
        verify(&bank.store, &newer, Level::Quick).unwrap_err();
        assert_eq!(bank.files().len(), 3, "{:?}", bank.files());
    }
}

#[test]
fn a_failure_ends_by_a_look_as_deep_only() {
    let bank = Bank::new();
    fill(&bank, 20);
    let manifest = bank.made(plain(Some(3)));
    let artifact = Artifact::of(&bank, &manifest);
    drill(&bank, &manifest, false).unwrap_err();
    let told = failures(&bank.store);
    assert!(told[0].contains("theirs: no"), "{told:?}");
    verify(&bank.store, &manifest, Level::Quick).unwrap();
    assert_eq!(failures(&bank.store), told);
    // One that does not go as deep, and fails as well, leaves no less behind.
    artifact.damage();
    verify(&bank.store, &manifest, Level::Quick).unwrap_err();
    artifact.mend();
    verify(&bank.store, &manifest, Level::Quick).unwrap();
    assert_eq!(failures(&bank.store).len(), 1);
    verify(&bank.store, &manifest, Level::Full).unwrap();
    assert_eq!(failures(&bank.store), [""; 0]);

    drill(&bank, &manifest, false).unwrap_err();
    assert_eq!(failures(&bank.store).len(), 1);
    drill(&bank, &manifest, true).unwrap();
    assert_eq!(failures(&bank.store), [""; 0]);
    let listing = db_backup::list(&bank.store).unwrap();
    assert!(listing.backups[0].verification.is_some());
}

/// Who is killed between the two leaves both records: the later one holds.
#[test]
fn of_two_records_the_later_one_holds() {
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    let name = manifest.backup_name().unwrap();
    let [failed, verified] = [name.failure(), name.verification()].map(|n| bank.folder().join(n));
    drill(&bank, &manifest, false).unwrap_err();
    let failure = fs::read(&failed).unwrap();
    drill(&bank, &manifest, true).unwrap();
    let drilled = fs::read(&verified).unwrap();
    fs::write(&failed, &failure).unwrap();
    assert_eq!(failures(&bank.store), [""; 0]);
    drill(&bank, &manifest, false).unwrap_err();
    fs::write(&verified, drilled).unwrap();
    assert_eq!(failures(&bank.store).len(), 1);
}

/// Nobody knows what it says of the look, so it is taken for the deepest.
#[test]
fn a_record_that_is_damaged_makes_no_backup_good_again() {
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    let name = manifest.backup_name().unwrap();
    let [failed, verified] = [name.failure(), name.verification()].map(|n| bank.folder().join(n));
    drill(&bank, &manifest, true).unwrap();
    let drilled = fs::read(&verified).unwrap();
    drill(&bank, &manifest, false).unwrap_err();
    let failure = fs::read(&failed).unwrap();
    let damage = || {
        fs::write(&failed, &failure[1..]).unwrap();
        // Nor does a trial that passed before, or after.
        fs::write(&verified, &drilled).unwrap();
    };
    let is_told = || {
        let told = failures(&bank.store);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("its record cannot be read"), "{told:?}");
        let status = db_backup::status(&bank.store, SystemClock.now()).unwrap();
        assert_eq!(status.damaged, [&*manifest.name]);
    };
    damage();
    is_told();
    verify(&bank.store, &manifest, Level::Quick).unwrap();
    is_told();
    // One that fails as well, and goes less deep, takes nothing of it away.
    let artifact = Artifact::of(&bank, &manifest);
    artifact.damage();
    verify(&bank.store, &manifest, Level::Quick).unwrap_err();
    artifact.mend();
    verify(&bank.store, &manifest, Level::Quick).unwrap();
    assert_eq!(failures(&bank.store).len(), 1);
    damage();
    drill(&bank, &manifest, true).unwrap();
    assert_eq!(failures(&bank.store), [""; 0]);
    assert!(!failed.exists());
}

/// As of a backup of the same name that was there before.
#[test]
fn the_record_of_another_manifest_counts_for_nothing() {
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    let mut record = Failure {
        format: 1,
        name: manifest.name.clone(),
        manifest: "0".repeat(64),
        at: SystemClock.now(),
        depth: Depth::Restored,
        why: "it was another one".to_owned(),
        host: "here".to_owned(),
        sha256: String::new(),
    };
    let file = manifest.backup_name().unwrap().failure();
    let bytes = record.seal().unwrap();
    let put = |bytes: &[u8]| bank.store.write_small(&file, bytes, WriteMode::Replace);
    put(&bytes).unwrap();
    assert_eq!(failures(&bank.store), [""; 0]);
    let artifact = Artifact::of(&bank, &manifest);
    artifact.damage();
    verify(&bank.store, &manifest, Level::Quick).unwrap_err();
    assert_eq!(failures(&bank.store).len(), 1);
    artifact.mend();
    verify(&bank.store, &manifest, Level::Quick).unwrap();
    assert_eq!(failures(&bank.store), [""; 0]);
}

/// Root may look at everybody's backups; whose they are has to be able to read what came of it.
#[test]
fn records_belong_to_whom_the_backup_does() {
    use std::os::unix::fs::{MetadataExt, chown};
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    let name = manifest.backup_name().unwrap();
    let path = |file: String| bank.folder().join(file);
    let owner = |file: &PathBuf| {
        let file = fs::metadata(file).unwrap();
        (file.uid(), file.gid())
    };
    let other = if rustix::process::geteuid().is_root() {
        (65_534, 65_533)
    } else {
        owner(&path(name.manifest()))
    };
    chown(path(name.manifest()), Some(other.0), Some(other.1)).unwrap();
    drill(&bank, &manifest, true).unwrap();
    assert_eq!(owner(&path(name.verification())), other);
    drill(&bank, &manifest, false).unwrap_err();
    assert_eq!(owner(&path(name.failure())), other);
}

#[test]
fn the_last_one_that_failed_is_not_called_sound() {
    let bank = Bank::new();
    let manifest = bank.made(plain(Some(3)));
    drill(&bank, &manifest, false).unwrap_err();
    let name = manifest.backup_name().unwrap();
    let refused = db_backup::remove(&bank.store, name, SystemClock.now()).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.ends_with("is the last backup of its database"),
        "{told}"
    );
}

#[test]
fn what_failed_takes_no_place_of_a_sound_one() {
    let folder = Folder::new();
    let made = [72, 48, 24, 0].map(|hours| folder.add(hours, Kind::Sqlite, |_| {}));
    let [oldest, sound, failed, newest] = &made;
    for manifest in [failed, newest] {
        // It is no archive of anything.
        verify(&folder.store, manifest, Level::Quick).unwrap_err();
    }
    let one = Policy {
        last: 1,
        ..Policy::none()
    };
    let plan = prune::plan(&folder.store, &one, now()).unwrap();
    let kept: Vec<_> = plan.kept.iter().map(|one| &*one.name).collect();
    assert_eq!(kept, [&*newest.name, &sound.name]);
    assert_eq!(plan.kept[0].reasons, [Reason::NewestUnsound]);
    let removed: Vec<_> = plan.removed.iter().map(|one| &*one.name).collect();
    assert_eq!(removed, [&*oldest.name, &failed.name]);

    // By its name it goes, and stands in for no sound one.
    let remove = |manifest: &Manifest| {
        db_backup::remove(&folder.store, manifest.backup_name().unwrap(), now())
    };
    remove(oldest).unwrap();
    let refused = remove(sound).unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    let gone = remove(failed).unwrap();
    assert_eq!(gone.files.len(), 3, "{gone:?}");
}

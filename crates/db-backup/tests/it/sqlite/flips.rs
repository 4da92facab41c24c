//! A byte that changed anywhere is found before the target is touched.

use std::fs;
use std::path::Path;

use db_backup::{Codec, Error, RestoreOptions, Selector, VerifyOptions};
use db_testkit::size;

use super::bank::*;

enum Change {
    Flip(usize, u8),
    Cut(usize),
    Add(usize),
    Swap(usize, usize),
}

fn change(bytes: &[u8], random: &mut fastrand::Rng) -> Option<Vec<u8>> {
    let at = random.usize(..bytes.len());
    let change = match random.u8(..8) {
        0 => Change::Cut(at),
        1 => Change::Add(at),
        2 => Change::Swap(at, random.usize(..bytes.len())),
        _ => Change::Flip(at, 1 << random.u8(..8)),
    };
    let mut changed = bytes.to_vec();
    match change {
        Change::Flip(at, bit) => changed[at] ^= bit,
        Change::Cut(at) => changed.truncate(at),
        Change::Add(at) => changed.insert(at, random.u8(..)),
        Change::Swap(a, b) => changed.swap(a, b),
    }
    (changed != bytes).then_some(changed)
}

/// `BITCRAPS_TEST_FLIPS` changes more of them; 10,000 are the promise.
fn all_are_found(codec: Codec, seed: u64) {
    let rounds = size("FLIPS", 4_000) / 4;
    let bank = Bank::new();
    fill(&bank, 20);
    let manifest = bank.made(codec);
    let files = [
        bank.folder().join(&manifest.parts[0].name),
        bank.folder().join(format!("{}.json", manifest.name)),
    ];
    let target = bank.root.path().join("target.db");
    fs::write(&target, fs::read(bank.path()).unwrap()).unwrap();
    let before = (fs::read(&target).unwrap(), modified(&target));
    let options = restore_options().with_replace(true);
    let good: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..rounds {
        let which = random.usize(..2);
        let Some(changed) = change(&good[which], &mut random) else {
            continue;
        };
        fs::write(&files[which], &changed).unwrap();
        let error = restored(&bank, &target, &options).unwrap_err();
        let found = matches!(
            error,
            // A flipped digit of the format is a newer program's.
            Error::Damaged { .. } | Error::TooNew { .. }
        );
        assert!(found, "seed {seed}, round {round}: {error}");
        if round % 50 == 0 {
            assert!(verified(&bank).is_err(), "seed {seed}, round {round}");
        }
        fs::write(&files[which], &good[which]).unwrap();
    }
    assert_eq!(before, (fs::read(&target).unwrap(), modified(&target)));
    let left = names(bank.root.path());
    assert_eq!(
        left,
        ["backups", "bank.db", "target.db"],
        "something was left behind"
    );
    // The unchanged one is taken.
    restored(&bank, &target, &options).unwrap();
}

fn restored(bank: &Bank, target: &Path, options: &RestoreOptions) -> Result<(), Error> {
    let manifest = db_backup::find(&bank.store, Selector::Latest)?;
    bank.restore_with(&manifest, target, options).map(drop)
}

fn verified(bank: &Bank) -> Result<(), Error> {
    let manifest = db_backup::find(&bank.store, Selector::Latest)?;
    let options = VerifyOptions::new().with_identities(identities());
    db_backup::verify(&bank.store, &manifest, &options, &mut |_| {}).map(drop)
}

fn modified(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn of_a_plain_copy() {
    all_are_found(plain(None), 1);
}

#[test]
fn of_a_compressed_one() {
    all_are_found(plain(Some(3)), 2);
}

#[test]
fn of_an_encrypted_one() {
    all_are_found(encrypted(None), 3);
}

#[test]
fn of_one_that_is_both() {
    all_are_found(encrypted(Some(3)), 4);
}

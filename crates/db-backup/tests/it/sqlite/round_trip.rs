//! Made, listed, verified, restored.

use std::fs;

use chrono::{TimeZone, Utc};
use db_backup::{
    Codec, Error, Invariant, Kind, Level, Observation, Phase, Selector, Store, VerifyOptions,
    WriteMode,
};
use db_core::{FixedClock, Interrupt};

use super::bank::*;

#[test]
fn what_was_backed_up_is_restored() {
    let bank = Bank::new();
    fill(&bank, 300);
    let expected = history(bank.path());
    for (codec, ending) in codecs()
        .into_iter()
        .zip(["db", "db.zst", "db.age", "db.zst.age"])
    {
        let manifest = bank.made(codec.clone());
        assert_eq!(manifest.kind, Kind::Sqlite);
        assert_eq!(
            manifest.parts[0].name,
            format!("{}.{ending}", manifest.name)
        );
        let rows: Vec<_> = manifest
            .tables
            .iter()
            .map(|t| (t.name.as_str(), t.rows))
            .collect();
        assert_eq!(rows, [("accounts", 100), ("history", 300)]);
        assert_eq!(manifest.proof.invariants, ["money"]);
        assert_eq!(manifest.schema, None);

        let read = db_backup::find(&bank.store, Selector::Latest).unwrap();
        assert_eq!(read, manifest);
        for level in [Level::Quick, Level::Full] {
            let verify = VerifyOptions::new()
                .with_identities(identities())
                .with_level(level);
            db_backup::verify(&bank.store, &manifest, &verify, &mut |_| {}).unwrap();
        }
        let to = bank.root.path().join(format!("new/{}.db", manifest.name));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let restored = bank.restore(&manifest, &to).unwrap();
        assert_eq!(restored.kept, None);
        assert_eq!(history(&to), expected);
    }
    assert!(
        bank.files().iter().all(|name| !name.starts_with('.')),
        "{:?}",
        bank.files()
    );
    // The source was not touched by any of it.
    assert_eq!(history(bank.path()), expected);
}

#[test]
fn a_copy_has_its_own_hash_and_stands_alone() {
    let bank = Bank::new();
    fill(&bank, 10);
    let manifest = bank.made(plain(None));
    let bytes = fs::read(bank.folder().join(&manifest.parts[0].name)).unwrap();
    assert_eq!(bytes.len() as u64, manifest.content.bytes);
    assert_eq!(manifest.content.sha256, manifest.parts[0].sha256);
    // In rollback mode, and with nothing beside it.
    assert_eq!(&bytes[18..20], [1, 1]);
    assert_eq!(bank.files().len(), 2);
}

#[test]
fn a_drill_is_recorded() {
    let bank = Bank::new();
    fill(&bank, 50);
    let manifest = bank.made(Codec::default());
    let at = Utc.with_ymd_and_hms(2030, 1, 2, 3, 4, 5).unwrap();
    let verify = VerifyOptions::new()
        .with_clock(FixedClock(at))
        .with_invariant(conserved());
    let (record, checked) = db_backup::drill(&bank.store, &manifest, &verify, &mut |_| {}).unwrap();
    assert_eq!((record.at, record.level), (at, Level::Full));
    assert_eq!(checked.checked, ["money"]);
    let listing = db_backup::list(&bank.store).unwrap();
    assert_eq!(listing.backups[0].verification.as_ref(), Some(&record));
    assert!(listing.backups[0].is_complete());
    assert_eq!(bank.files().len(), 3);
    // A later drill takes its place.
    db_backup::drill(&bank.store, &manifest, &verify, &mut |_| {}).unwrap();
    assert_eq!(bank.files().len(), 3);
}

#[test]
fn what_could_not_be_checked_is_written_down_with_the_reason() {
    let bank = Bank::new();
    fill(&bank, 10);
    let later = || {
        Invariant::where_possible("later", |_| {
            Ok(Observation::Unchecked {
                // What a terminal would obey is not written down.
                why: "its tables are not there\u{1b} yet".to_owned(),
            })
        })
    };
    for accepted in [false, true] {
        let options = options(Codec::default())
            .with_invariant(later())
            .with_accept_unsound(accepted);
        let made = bank.create(&options).unwrap();
        let read = db_backup::find(&bank.store, Selector::Latest).unwrap();
        assert_eq!(read.proof, made.proof);
        assert_eq!(read.proof.invariants, ["money"]);
        let [unchecked] = &read.proof.unchecked[..] else {
            panic!("{:?}", read.proof);
        };
        assert_eq!(unchecked.name, "later");
        assert_eq!(unchecked.why, r"its tables are not there\u{1b} yet");
        let target = bank.root.path().join(format!("to-{accepted}.db"));
        let options = restore_options().with_invariant(later());
        let restored = bank.restore_with(&made, &target, &options).unwrap();
        let [not_checked] = &restored.invariants.unchecked[..] else {
            panic!("{:?}", restored.invariants);
        };
        assert_eq!(not_checked.name, "later");
        assert_eq!(not_checked.why, "its tables are not there\u{1b} yet");
    }
}

#[test]
fn backups_of_one_second_have_their_own_names() {
    let bank = Bank::new();
    let at = Utc.with_ymd_and_hms(2025, 11, 22, 14, 30, 5).unwrap();
    let options = options(plain(Some(1))).with_clock(FixedClock(at));
    let names: Vec<_> = (0..3)
        .map(|_| bank.create(&options).unwrap().name)
        .collect();
    assert_eq!(
        names,
        [
            "backup_20251122_143005",
            "backup_20251122_143005_2",
            "backup_20251122_143005_3"
        ]
    );
    let latest = db_backup::find(&bank.store, Selector::Latest).unwrap();
    assert_eq!(latest.name, names[2]);
    let first = Selector::parse(&names[0]).unwrap();
    assert_eq!(db_backup::find(&bank.store, first).unwrap().name, names[0]);
    let none = Selector::parse("backup_20251122_143006").unwrap();
    let error = db_backup::find(&bank.store, none).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn an_empty_store_has_nothing() {
    let bank = Bank::new();
    assert!(db_backup::list(&bank.store).unwrap().backups.is_empty());
    let error = db_backup::find(&bank.store, Selector::Latest).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(!bank.folder().exists(), "looking made a folder");
}

#[test]
fn what_is_not_sound_is_not_published() {
    let bank = Bank::new();
    open(bank.path())
        .conn()
        .batch_execute("UPDATE accounts SET balance = balance + 1 WHERE id = 1")
        .unwrap();
    for codec in codecs() {
        let error = bank.create(&options(codec)).unwrap_err();
        assert!(matches!(error, Error::Unsound { .. }), "{error}");
        assert!(
            error.to_string().contains("money: 100001 in all"),
            "{error}"
        );
    }
    let orphan =
        "PRAGMA foreign_keys = OFF; UPDATE accounts SET balance = balance - 1 WHERE id = 1;
         INSERT INTO history (writer, seq, account) VALUES (1, 1, 999)";
    open(bank.path()).conn().batch_execute(orphan).unwrap();
    let error = bank.create(&options(plain(None))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("of history has no parent in accounts"),
        "{error}"
    );
    assert_eq!(bank.files(), [""; 0]);
}

#[test]
fn a_damaged_database_is_not_backed_up() {
    let bank = Bank::new();
    fill(&bank, 500);
    let mut bytes = fs::read(bank.path()).unwrap();
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 2_000].fill(0xa5);
    fs::write(bank.path(), bytes).unwrap();
    let full = options(plain(Some(3))).with_check(Level::Full);
    let error = bank.create(&full).unwrap_err();
    assert!(matches!(error, Error::Unsound { .. }), "{error}");
    // The pages are named, though the rows on them could not be followed either.
    assert!(error.to_string().contains("Tree 3 page"), "{error}");
    assert_eq!(bank.files(), [""; 0]);
}

#[test]
fn progress_never_falls_and_an_interrupt_leaves_nothing() {
    let bank = Bank::new();
    fill(&bank, 300);
    for codec in codecs() {
        let mut seen: Vec<db_backup::Progress> = Vec::new();
        db_backup::create(
            &bank.source(),
            &bank.store,
            &options(codec.clone()),
            &mut |p| seen.push(p),
        )
        .unwrap();
        for pair in seen.windows(2) {
            assert!(pair[0].phase != pair[1].phase || pair[0].done <= pair[1].done);
            assert!(pair[1].done <= pair[1].total);
        }
        let phases: Vec<_> = seen.iter().map(|p| p.phase).collect();
        let until = if codec.is_plain() {
            Phase::Hash
        } else {
            Phase::Encode
        };
        for phase in [Phase::Copy, Phase::Check, until, Phase::Publish] {
            assert!(phases.contains(&phase), "{phase:?}");
        }
        let before = bank.files();
        // Stopped at each point at which it could be.
        for (at, step) in seen.iter().enumerate().take(seen.len() - 1) {
            let interrupt = Interrupt::default();
            let options = options(codec.clone()).with_interrupt(interrupt.clone());
            let mut count = 0;
            let stopped = db_backup::create(&bank.source(), &bank.store, &options, &mut |_| {
                if count == at {
                    interrupt.interrupt().unwrap();
                }
                count += 1;
            });
            assert!(
                matches!(stopped, Err(Error::Interrupted)),
                "{at}: {stopped:?}"
            );
            assert_eq!(bank.files(), before, "stopped at {step:?}");
        }
    }
}

#[test]
fn two_at_once_in_one_folder_are_refused() {
    let bank = Bank::new();
    let lock = bank.store.lock("a test").unwrap();
    let error = bank.create(&options(plain(None))).unwrap_err();
    let Error::Locked { holder, .. } = &error else {
        panic!("{error}")
    };
    let holder = holder.as_deref().unwrap();
    assert!(
        holder.contains(&format!("a test (process {})", std::process::id())),
        "{holder}"
    );
    drop(lock);
    bank.create(&options(plain(None))).unwrap();
}

#[test]
fn what_is_listed_beside_sound_ones() {
    let bank = Bank::new();
    let good = bank.made(plain(Some(1)));
    let bad = bank.made(plain(Some(1)));
    let gone = bank.made(plain(Some(1)));
    let cut = bank.made(plain(Some(1)));
    fs::write(bank.folder().join(format!("{}.json", bad.name)), "{}").unwrap();
    fs::remove_file(bank.folder().join(&gone.parts[0].name)).unwrap();
    fs::write(bank.folder().join(&cut.parts[0].name), "x").unwrap();
    let orphan = "backup_20200101_000000.db.zst";
    bank.store
        .write_small(orphan, b"half", WriteMode::Create)
        .unwrap();
    fs::write(bank.folder().join("notes.txt"), "not ours").unwrap();
    let listing = db_backup::list(&bank.store).unwrap();
    assert_eq!(listing.orphans, [orphan]);
    let complete: Vec<_> = listing
        .backups
        .iter()
        .map(|entry| (entry.name.to_string(), entry.is_complete()))
        .collect();
    assert_eq!(
        complete,
        [
            (good.name, true),
            (bad.name, false),
            (gone.name, false),
            (cut.name, false)
        ]
    );
}

#[test]
fn the_latest_is_not_passed_over_in_silence() {
    let bank = Bank::new();
    bank.made(plain(Some(1)));
    let latest = bank.made(plain(Some(1)));
    fs::write(bank.folder().join(format!("{}.json", latest.name)), "{}").unwrap();
    let error = db_backup::find(&bank.store, Selector::Latest).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

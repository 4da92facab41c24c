//! Backups of somebody who can write the folder and seals what he likes.

use std::fs;
use std::path::Path;
use std::process::Command;

use db_backup::{Encoder, Error, Manifest, Selector};
use std::io::Write;

use super::bank::*;

type Edit = fn(&mut Manifest);

/// Seals a manifest anew, as whoever can write the folder can.
fn forged(bank: &Bank, manifest: &Manifest) {
    let mut forged = manifest.clone();
    let bytes = forged.seal().unwrap();
    fs::write(bank.folder().join(format!("{}.json", manifest.name)), bytes).unwrap();
}

fn refused(bank: &Bank, to: &Path) -> Error {
    let manifest = db_backup::find(&bank.store, Selector::Latest).unwrap();
    let error = bank.restore(&manifest, to).unwrap_err();
    assert!(!to.exists());
    let left = names(to.parent().unwrap());
    assert!(
        left.iter().all(|name| !name.starts_with('.')),
        "left behind: {left:?}"
    );
    error
}

/// A zstd stream of zeros that grows ten thousand times.
fn bomb(bank: &Bank, bytes: u64) -> Manifest {
    let mut manifest = bank.made(plain(Some(3)));
    let path = bank.folder().join(&manifest.parts[0].name);
    let mut encoder = Encoder::new(&plain(Some(3)), fs::File::create(path).unwrap()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    let (_, encoded) = encoder.finish().unwrap();
    assert!(encoded.stored.bytes * 1_000 < encoded.content.bytes);
    manifest.parts[0].bytes = encoded.stored.bytes;
    manifest.parts[0].sha256 = encoded.stored.sha256;
    manifest.content = encoded.content;
    manifest
}

#[test]
fn a_bomb_fills_no_disk() {
    let bank = Bank::new();
    let to = bank.root.path().join("new.db");
    let honest = bomb(&bank, 256 << 20);

    // It says that it is small.
    let mut small = honest.clone();
    small.content.bytes = 8_192;
    small.engine.pages = Some(2);
    forged(&bank, &small);
    let error = refused(&bank, &to);
    assert!(
        error.to_string().contains("more than its manifest says"),
        "{error}"
    );

    // It says that it is larger than the disk.
    let mut large = honest.clone();
    large.engine.pages = Some(1 << 40);
    large.content.bytes = 1 << 52;
    forged(&bank, &large);
    let error = refused(&bank, &to);
    let Error::Io { error, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);

    // It says what it is, and is no database.
    let mut true_size = honest;
    true_size.engine.pages = Some(true_size.content.bytes / 4_096);
    forged(&bank, &true_size);
    let error = refused(&bank, &to);
    assert!(matches!(error, Error::Unsound { .. }), "{error}");
}

#[test]
fn a_manifest_that_lies_about_the_data_is_caught() {
    let bank = Bank::new();
    fill(&bank, 10);
    let to = bank.root.path().join("new.db");
    let lies: &[(&str, Edit)] = &[
        ("rows", |m| m.tables[0].rows += 1),
        ("a table that is not there", |m| {
            m.tables[0].name = "bets".to_owned();
        }),
        ("a table too few", |m| drop(m.tables.pop())),
        ("application_id", |m| m.engine.application_id = Some(7)),
        ("schema", |m| {
            m.schema = Some(db_backup::SchemaFacts {
                version: "1".to_owned(),
                fingerprint: String::new(),
            });
        }),
    ];
    let manifest = bank.made(plain(Some(3)));
    for (what, lie) in lies {
        let mut lying = manifest.clone();
        lie(&mut lying);
        forged(&bank, &lying);
        let error = refused(&bank, &to);
        assert!(matches!(error, Error::Unsound { .. }), "{what}: {error}");
    }
    forged(&bank, &manifest);
    bank.restore(&manifest, &to).unwrap();
}

#[test]
fn a_part_that_is_no_file_is_not_waited_for() {
    let bank = Bank::new();
    let to = bank.root.path().join("new.db");
    let manifest = bank.made(plain(None));
    let part = bank.folder().join(&manifest.parts[0].name);
    let secret = bank.root.path().join("secret");
    fs::write(&secret, "root:x:0:0").unwrap();
    fs::remove_file(&part).unwrap();
    // A pipe that nobody writes, a folder, a link to a secret, a link to nothing.
    assert!(
        Command::new("mkfifo")
            .arg(&part)
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(refused(&bank, &to), Error::Damaged { .. }));
    fs::remove_file(&part).unwrap();
    fs::create_dir(&part).unwrap();
    assert!(matches!(refused(&bank, &to), Error::Damaged { .. }));
    fs::remove_dir(&part).unwrap();
    std::os::unix::fs::symlink(&secret, &part).unwrap();
    let error = refused(&bank, &to);
    assert!(matches!(error, Error::Damaged { .. }));
    assert!(!error.to_string().contains("root:x"));
    fs::remove_file(&part).unwrap();
    std::os::unix::fs::symlink("/nowhere", &part).unwrap();
    assert!(matches!(refused(&bank, &to), Error::Damaged { .. }));
}

/// A backup whose own contents would run code while it is checked.
#[test]
fn a_database_with_hostile_contents_is_only_data() {
    let bank = Bank::new();
    open(bank.path())
        .conn()
        .batch_execute(
            "CREATE TABLE \"we\"\"ird; DROP TABLE accounts; --\" (x);
             CREATE VIEW v AS SELECT * FROM no_such_table;
             CREATE TRIGGER t AFTER INSERT ON accounts BEGIN DELETE FROM history; END;",
        )
        .unwrap();
    let manifest = bank.made(plain(Some(3)));
    let names: Vec<_> = manifest.tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(
        names,
        ["accounts", "history", "we\"ird; DROP TABLE accounts; --"]
    );
    bank.restore(&manifest, &bank.root.path().join("new.db"))
        .unwrap();
}

//! What is encrypted cannot be read, and opens with the right key only.

use std::fs;

use db_backup::{Error, Identities, Invariant, RestoreOptions, Store, VerifyOptions, WriteMode};

use super::bank::*;

const CANARY: &str = "CANARY-5d1f0c";

#[test]
fn no_plain_byte_reaches_the_folder_of_an_encrypted_backup() {
    let bank = Bank::new();
    open(bank.path())
        .conn()
        .batch_execute(&format!(
            "INSERT INTO history (writer, seq, account, text) VALUES (0, 1, 1, '{CANARY}')"
        ))
        .unwrap();
    for codec in [encrypted(None), encrypted(Some(3))] {
        let mut seen = 0;
        let folder = bank.folder();
        db_backup::create(&bank.source(), &bank.store, &options(codec), &mut |_| {
            for name in names(&folder) {
                let bytes = fs::read(folder.join(name)).unwrap_or_default();
                assert!(
                    !holds(&bytes, CANARY),
                    "the plain copy is in the folder of backups"
                );
                seen += 1;
            }
        })
        .unwrap();
        assert!(seen > 0);
    }
    // The plain copy was beside the database, and is gone.
    assert_eq!(names(bank.root.path()), ["backups", "bank.db"]);
    // The test can find it where it is.
    assert!(holds(&fs::read(bank.path()).unwrap(), CANARY));
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[test]
fn only_its_identity_opens_it() {
    let bank = Bank::new();
    fill(&bank, 5);
    let manifest = bank.made(encrypted(Some(3)));
    let key = manifest.encryption.as_ref().unwrap();
    assert_eq!(key.recipients, [RECIPIENT]);
    let another = "AGE-SECRET-KEY-1XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXQQQ2N6A";
    let to = bank.root.path().join("to.db");
    let mut wrong = vec![Identities::default()];
    wrong.extend(Identities::parse_file("other.txt", another));
    for identities in wrong {
        let options = RestoreOptions::new().with_identities(identities.clone());
        let error = bank.restore_with(&manifest, &to, &options).unwrap_err();
        assert!(matches!(error, Error::Identity { .. }), "{error}");
        let verify = VerifyOptions::new().with_identities(identities);
        let error = db_backup::verify(&bank.store, &manifest, &verify, &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::Identity { .. }), "{error}");
    }
    assert_eq!(names(bank.root.path()), ["backups", "bank.db"]);
    bank.restore(&manifest, &to).unwrap();
}

/// Of a file that is encrypted itself the place knows nothing either, whatever its artifact is wrapped in.
#[test]
fn what_failed_of_an_encrypted_file_is_counted_only() {
    let bank = Bank::new();
    let mut manifest = bank.made(plain(Some(3)));
    manifest.engine.encrypted = Some(true);
    let bytes = manifest.seal().unwrap();
    let name = manifest.backup_name().unwrap();
    let write = |file: &str| bank.store.write_small(file, &bytes, WriteMode::Replace);
    write(&name.manifest()).unwrap();
    let wrong = Invariant::new("theirs", |_| Ok(vec![CANARY.to_owned()]));
    let verify = VerifyOptions::new().with_invariant(wrong);
    let error = db_backup::drill(&bank.store, &manifest, &verify, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Unsound { .. }), "{error}");
    let record = fs::read(bank.folder().join(name.failure())).unwrap();
    assert!(!holds(&record, CANARY) && holds(&record, "theirs: 1 finding"));
}

/// A file that SQLCipher encrypts stays so: in the backup, and in what is restored from it.
#[cfg(feature = "sqlcipher")]
#[test]
fn a_file_of_sqlcipher_stays_encrypted() {
    use db_backup::Source;
    use db_core::{Access, Connection, DatabaseUrl, Interrupt, KeySource};

    let root = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::SqliteFile(root.path().join("secret.db"));
    let file = root.path().join("key");
    fs::write(&file, "3b".repeat(32)).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let key = KeySource::file(file).read().unwrap();
    let none = Interrupt::default();
    let mut connection =
        Connection::open_encrypted(&url, Access::Create, &none, Some(&key)).unwrap();
    connection
        .conn()
        .batch_execute(&format!(
            "CREATE TABLE t (x); INSERT INTO t VALUES ('{CANARY}')"
        ))
        .unwrap();
    drop(connection);
    let store = db_backup::LocalStore::new(root.path().join("backups"));
    let source = Source {
        url,
        key: Some(key.clone()),
    };
    let options = db_backup::BackupOptions::new().with_codec(plain(None));
    let manifest = db_backup::create(&source, &store, &options, &mut |_| {}).unwrap();
    assert_eq!(manifest.engine.encrypted, Some(true));
    let artifact = root.path().join("backups").join(&manifest.parts[0].name);
    let bytes = fs::read(artifact).unwrap();
    assert!(!holds(&bytes, CANARY) && !bytes.starts_with(b"SQLite format 3"));

    let verify = VerifyOptions::new();
    let error = db_backup::verify(&store, &manifest, &verify, &mut |_| {}).unwrap_err();
    let Error::Database { error, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(error.kind(), db_core::ErrorKind::KeyMissing);
    let verify = verify.with_key(key.clone());
    db_backup::drill(&store, &manifest, &verify, &mut |_| {}).unwrap();

    let target = DatabaseUrl::SqliteFile(root.path().join("restored.db"));
    let restore = RestoreOptions::new().with_key(key.clone());
    db_backup::restore(&store, &manifest, &target, &restore, &mut |_| {}).unwrap();
    assert!(!holds(&fs::read(target.path().unwrap()).unwrap(), CANARY));
    Connection::open_encrypted(&target, Access::ReadWrite, &none, Some(&key)).unwrap();
}

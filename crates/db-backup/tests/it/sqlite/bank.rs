//! A bank whose money has to be conserved, and whose history is known.

use std::fs;
use std::path::{Path, PathBuf};

use db_backup::{
    BackupOptions, Codec, Error, Identities, Invariant, LocalStore, Manifest, Progress, Recipients,
    RestoreOptions, Restored, Source, Store,
};
use db_core::{Access, Conn, Connection, Database, DatabaseConfig, DatabaseUrl};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, SqliteConnection, sql_query};

pub(super) const ACCOUNTS: i64 = 100;
pub(super) const EACH: i64 = 1_000;

/// The public key of [`IDENTITY`].
pub(crate) const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
/// A secret key of nobody: it is in age's own documentation.
pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
pub(super) struct Entry {
    #[diesel(sql_type = BigInt)]
    pub(super) id: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) writer: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) seq: i64,
}

pub(super) struct Bank {
    pub(super) root: tempfile::TempDir,
    pub(super) url: DatabaseUrl,
    pub(super) store: LocalStore,
}

impl Bank {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let bank = Self {
            url: DatabaseUrl::SqliteFile(root.path().join("bank.db")),
            store: LocalStore::new(root.path().join("backups")),
            root,
        };
        let database = bank.open();
        database
            .write(|conn| {
                conn.batch_execute(&format!(
                    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
                     CREATE TABLE history (id INTEGER PRIMARY KEY, writer INTEGER NOT NULL,
                         seq INTEGER NOT NULL, account INTEGER NOT NULL REFERENCES accounts (id),
                         text TEXT);
                     CREATE UNIQUE INDEX uq_history_writer_seq ON history (writer, seq);
                     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
                     INSERT INTO accounts SELECT i, {EACH} FROM n;"
                ))?;
                Ok::<_, db_core::Error>(())
            })
            .unwrap();
        close(&database);
        bank
    }

    pub(super) fn path(&self) -> &Path {
        self.url.path().unwrap()
    }

    pub(super) fn open(&self) -> Database {
        Database::open(&DatabaseConfig::new(self.url.to_string())).unwrap()
    }

    pub(super) fn source(&self) -> Source {
        Source {
            url: self.url.clone(),
            key: None,
        }
    }

    pub(super) fn create(&self, options: &BackupOptions) -> Result<Manifest, Error> {
        db_backup::create(&self.source(), &self.store, options, &mut |_| {})
    }

    pub(super) fn made(&self, codec: Codec) -> Manifest {
        self.create(&options(codec)).unwrap()
    }

    pub(super) fn restore(&self, manifest: &Manifest, to: &Path) -> Result<Restored, Error> {
        self.restore_with(manifest, to, &restore_options())
    }

    pub(super) fn restore_with(
        &self,
        manifest: &Manifest,
        to: &Path,
        options: &RestoreOptions,
    ) -> Result<Restored, Error> {
        let target = DatabaseUrl::SqliteFile(to.to_owned());
        db_backup::restore(
            &self.store,
            manifest,
            &target,
            options,
            &mut |_: Progress| {},
        )
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.store.folder().unwrap().to_owned()
    }

    /// What is in the folder of backups, hidden files too, but for the lock.
    pub(super) fn files(&self) -> Vec<String> {
        names(&self.folder())
    }
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Locks stay.
        .filter(|name| name != ".lock" && !name.ends_with("-next") && !name.ends_with("-turn"))
        .collect();
    names.sort();
    names
}

pub(super) fn close(database: &Database) {
    database.close(std::time::Duration::from_secs(30)).unwrap();
}

pub(super) fn options(codec: Codec) -> BackupOptions {
    BackupOptions::new()
        .with_codec(codec)
        .with_invariant(conserved())
}

pub(super) fn restore_options() -> RestoreOptions {
    RestoreOptions::new()
        .with_identities(identities())
        .with_invariant(conserved())
}

pub(crate) fn identities() -> Identities {
    Identities::parse_file("key.txt", IDENTITY).unwrap()
}

pub(crate) fn encrypted(level: Option<i32>) -> Codec {
    Codec {
        level,
        recipients: Recipients::parse([RECIPIENT]).unwrap(),
    }
}

pub(super) fn plain(level: Option<i32>) -> Codec {
    Codec {
        level,
        recipients: Recipients::default(),
    }
}

/// All the ways to store a backup.
pub(super) fn codecs() -> [Codec; 4] {
    [
        plain(None),
        plain(Some(3)),
        encrypted(None),
        encrypted(Some(1)),
    ]
}

pub(super) fn conserved() -> Invariant {
    Invariant::new("money", |conn| {
        let Conn::Sqlite(conn) = conn.reborrow() else {
            unreachable!()
        };
        let sum = number(conn, "SELECT sum(balance) AS n FROM accounts");
        Ok(if sum == ACCOUNTS * EACH {
            Vec::new()
        } else {
            vec![format!("{sum} in all")]
        })
    })
}

pub(super) fn number(conn: &mut SqliteConnection, sql: &str) -> i64 {
    sql_query(sql).get_result::<Number>(conn).unwrap().n
}

/// One transfer, with its line in the history.
pub(super) fn transfer(database: &Database, random: &mut fastrand::Rng, writer: i64, seq: i64) {
    let (from, to) = (random.i64(1..=ACCOUNTS), random.i64(1..=ACCOUNTS));
    let amount = random.i64(1..100);
    database
        .write(|conn| {
            conn.batch_execute(&format!(
                "UPDATE accounts SET balance = balance - {amount} WHERE id = {from};
                 UPDATE accounts SET balance = balance + {amount} WHERE id = {to};
                 INSERT INTO history (writer, seq, account, text)
                     VALUES ({writer}, {seq}, {to}, hex(randomblob(100)));"
            ))?;
            Ok::<_, db_core::Error>(())
        })
        .unwrap();
}

/// So many transfers, one after the other.
pub(super) fn fill(bank: &Bank, transfers: i64) {
    let database = bank.open();
    let mut random = fastrand::Rng::with_seed(1);
    for seq in 1..=transfers {
        transfer(&database, &mut random, 0, seq);
    }
    close(&database);
}

pub(super) fn open(path: &Path) -> Connection {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    Connection::open(&url, Access::ReadWrite).unwrap()
}

/// Opens it as an application would, and checks it: integrity, money, an unbroken history.
pub(super) fn history(path: &Path) -> Vec<Entry> {
    let mut connection = open(path);
    let Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    let sound = "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    assert_eq!(number(conn, sound), 1);
    let sum = number(conn, "SELECT sum(balance) AS n FROM accounts");
    assert_eq!(sum, ACCOUNTS * EACH);
    let entries: Vec<Entry> = sql_query("SELECT id, writer, seq FROM history ORDER BY id")
        .load(conn)
        .unwrap();
    for (entry, id) in entries.iter().zip(1..) {
        assert_eq!(entry.id, id, "the history has a gap");
    }
    entries
}

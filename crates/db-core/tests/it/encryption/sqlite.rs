//! SQLite files that SQLCipher encrypts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use db_core::{
    Access, Connection, Database, DatabaseConfig, DatabaseUrl, EncryptionKey, Error, ErrorKind,
    Interrupt, KeySource, with_conn,
};
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use tempfile::TempDir;

use crate::support::fails;

const RIGHT: &str = "5e1f0a7cb2d94836a1c7e25f90b3d4684c2f1e0d9b8a7766554433221100ffee";
const WRONG: &str = "5e1f0a7cb2d94836a1c7e25f90b3d4684c2f1e0d9b8a7766554433221100ffef";

/// Text that would be found in a file that is not encrypted.
const CANARY: &str = "the canary sings at dawn";

/// A promise: who has the wrong key learns it within a second. Slow machines get some more.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A folder with keys, and room for databases.
struct Place {
    folder: TempDir,
    keys: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            keys: tempfile::tempdir().unwrap(),
        };
        for (name, key) in [("right", RIGHT), ("wrong", WRONG)] {
            fs::write(place.key(name), format!("{key}\n")).unwrap();
            fs::set_permissions(place.key(name), Permissions::from_mode(0o600)).unwrap();
        }
        place
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("vault.db")
    }

    fn url(&self) -> DatabaseUrl {
        DatabaseUrl::SqliteFile(self.path())
    }

    fn config(&self) -> DatabaseConfig {
        DatabaseConfig::new(format!("sqlite://{}", self.path().display()))
    }

    fn with_key(&self, name: &str) -> DatabaseConfig {
        self.config().encryption_key_file(self.key(name))
    }

    fn read_key(&self, name: &str) -> EncryptionKey {
        KeySource::file(self.key(name)).read().unwrap()
    }

    fn connect(&self, access: Access, key: Option<&EncryptionKey>) -> Result<Connection, Error> {
        Connection::open_encrypted(&self.url(), access, &Interrupt::default(), key)
    }

    /// A closed database with one row in it.
    fn filled(config: &DatabaseConfig) {
        let database = Database::open(config).unwrap();
        fill(&database);
        database.close(AT_ONCE).unwrap();
    }
}

fn fill(database: &Database) {
    database
        .write(|conn| {
            conn.batch_execute("CREATE TABLE birds (song TEXT); CREATE INDEX i ON birds (song)")?;
            with_conn!(conn, |c| sql_query("INSERT INTO birds VALUES ($1)")
                .bind::<Text, _>(CANARY)
                .execute(c))?;
            Ok::<_, Error>(())
        })
        .unwrap();
}

#[derive(QueryableByName)]
struct Bird {
    #[diesel(sql_type = Text)]
    song: String,
}

fn songs(database: &Database) -> Vec<String> {
    let birds = database.read(|conn| {
        let query = sql_query("SELECT song FROM birds");
        Ok::<Vec<Bird>, Error>(with_conn!(conn, |c| query.load(c))?)
    });
    birds.unwrap().into_iter().map(|bird| bird.song).collect()
}

/// Every file of a folder. Another process reads them: a descriptor of the database that this one
/// closed would drop its locks.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let output = Command::new("cat").arg(&path).output().unwrap();
        assert!(output.status.success(), "{path:?}");
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        files.insert(name, output.stdout);
    }
    files
}

/// The files that hold the text.
fn holding(folder: &Path, text: &str) -> Vec<String> {
    let holds = |bytes: &[u8]| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    contents(folder)
        .into_iter()
        .filter(|(_, bytes)| holds(bytes))
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn no_file_holds_what_the_database_holds() {
    for name in [None, Some("right")] {
        let place = Place::new();
        let config = name.map_or_else(|| place.config(), |name| place.with_key(name));
        let database = Database::open(&config).unwrap();
        fill(&database);
        assert_eq!(songs(&database), [CANARY]);
        let files = contents(place.folder.path());
        let log = files.get("vault.db-wal").map_or(0, Vec::len);
        assert!(log > 4_096, "the log was to be looked at too: {log} bytes");
        assert!(files.contains_key("vault.db-shm"));
        let found = holding(place.folder.path(), CANARY);
        let schema = holding(place.folder.path(), "CREATE TABLE birds");
        database.close(AT_ONCE).unwrap();
        drop(database);
        let found_closed = holding(place.folder.path(), CANARY);
        let head = holding(place.folder.path(), "SQLite format 3");
        if name.is_some() {
            let none: [&str; 0] = [];
            assert_eq!(found, none);
            assert_eq!(schema, none);
            assert_eq!(found_closed, none);
            assert_eq!(head, none);
        } else {
            // What the test looks for can be found.
            assert_eq!(found, ["vault.db-wal"]);
            assert_eq!(schema, ["vault.db-wal"]);
            assert_eq!(found_closed, ["vault.db"]);
            assert_eq!(head, ["vault.db"]);
        }
        // It is there, for whoever has the key.
        assert_eq!(songs(&Database::open(&config).unwrap()), [CANARY]);
    }
}

#[test]
fn the_wrong_key_and_no_key_are_told_and_touch_nothing() {
    let place = Place::new();
    Place::filled(&place.with_key("right"));
    let before = contents(place.folder.path());
    assert!(!before.contains_key("vault.db-wal"), "{:?}", before.keys());
    let wrong = place.read_key("wrong");
    for (key, config, kind, said) in [
        (
            Some(&wrong),
            place.with_key("wrong"),
            ErrorKind::WrongKey,
            "the key does not open it",
        ),
        (
            None,
            place.config(),
            ErrorKind::KeyMissing,
            "it looks encrypted, and no key is set",
        ),
    ] {
        let start = Instant::now();
        let error = Database::open(&config).unwrap_err();
        assert!(start.elapsed() < AT_ONCE);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains("vault.db"), "{error}");
        assert!(!error.is_retryable());
        for access in [Access::ReadOnly, Access::ReadWrite, Access::Create] {
            let error = place.connect(access, key).unwrap_err();
            assert_eq!(error.kind(), kind, "{access:?}: {error}");
        }
        assert_eq!(contents(place.folder.path()), before);
    }
    assert_eq!(
        songs(&Database::open(&place.with_key("right")).unwrap()),
        [CANARY]
    );
}

#[test]
fn a_log_that_was_left_behind_stays_for_whoever_has_the_key() {
    let place = Place::new();
    let database = Database::open(&place.with_key("right")).unwrap();
    fill(&database);
    // As after a crash: the file as it was, and a log with everything in it.
    let crashed = Place::new();
    for (name, bytes) in contents(place.folder.path()) {
        if name == "vault.db" || name == "vault.db-wal" {
            fs::write(crashed.folder.path().join(name), bytes).unwrap();
        }
    }
    let before = contents(crashed.folder.path());
    let wrong = place.read_key("wrong");
    for key in [Some(&wrong), None] {
        for access in [Access::ReadOnly, Access::ReadWrite, Access::Create] {
            let error = crashed.connect(access, key).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::WrongKey | ErrorKind::KeyMissing),
                "{error}"
            );
            let mut after = contents(crashed.folder.path());
            // The index of the log is made anew by whoever opens it.
            after.remove("vault.db-shm");
            assert_eq!(after, before, "{access:?}");
        }
    }
    let database = Database::open(&crashed.with_key("right")).unwrap();
    assert_eq!(songs(&database), [CANARY]);
}

#[test]
fn a_file_that_is_not_encrypted_does_not_take_a_key() {
    let place = Place::new();
    Place::filled(&place.config());
    let before = contents(place.folder.path());
    let error = Database::open(&place.with_key("right")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongKey);
    assert!(error.to_string().contains("it is not encrypted"), "{error}");
    assert_eq!(contents(place.folder.path()), before);

    // What is no database at all is not taken for an encrypted one.
    fs::write(place.path(), "a note, and no database ".repeat(400)).unwrap();
    for config in [place.config(), place.with_key("right")] {
        let error = Database::open(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotADatabase, "{error}");
    }
}

#[test]
fn a_damaged_page_is_damage_and_no_wrong_key() {
    let place = Place::new();
    let config = place.with_key("right");
    Place::filled(&config);
    let mut bytes = fs::read(place.path()).unwrap();
    // One bit of each page but the first, which holds the schema.
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[2_000] ^= 1;
    }
    fs::write(place.path(), &bytes).unwrap();
    let key = place.read_key("right");
    let mut connection = place.connect(Access::ReadWrite, Some(&key)).unwrap();
    let error = fails(&mut connection, "DELETE FROM birds");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_key_is_for_a_sqlite_file() {
    let place = Place::new();
    let key = place.read_key("right");
    for url in ["sqlite::memory:", "postgres://nobody@127.0.0.1:1/nothing"] {
        let url = DatabaseUrl::parse(url).unwrap();
        let interrupt = Interrupt::default();
        let error =
            Connection::open_encrypted(&url, Access::Create, &interrupt, Some(&key)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
    let memory = place.with_key("right").url("sqlite::memory:".to_owned());
    let error = Database::open(&memory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

/// Everything that Diesel tells of, whichever test runs it.
static TOLD: Mutex<String> = Mutex::new(String::new());

struct Listener;

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        writeln!(TOLD.lock().unwrap(), "{event:?}").unwrap();
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_key_is_shown_nowhere() {
    set_default_instrumentation(|| Some(Box::new(Listener))).unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    let mut shown = String::new();
    tracing::subscriber::with_default(subscriber, || {
        let place = Place::new();
        let config = place.with_key("right");
        let database = Database::open(&config).unwrap();
        fill(&database);
        assert_eq!(songs(&database), [CANARY]);
        let options = config.options().unwrap();
        let key = place.read_key("right");
        let connection = place.connect(Access::ReadOnly, Some(&key)).unwrap();
        write!(
            shown,
            "{config:?} {options:?} {key:?} {connection:?} {database:?}"
        )
        .unwrap();
        write!(shown, " {:?}", database.stats()).unwrap();
        database.close(AT_ONCE).unwrap();
        for config in [place.with_key("wrong"), place.config()] {
            let error = Database::open(&config).unwrap_err();
            write!(shown, " {error} {error:?}").unwrap();
        }
    });
    shown.push_str(&TOLD.lock().unwrap());
    assert!(
        shown.contains("PRAGMA busy_timeout"),
        "Diesel was listened to"
    );
    let log = log.0.lock().unwrap();
    assert!(!log.is_empty(), "the log was listened to");
    shown.push_str(&String::from_utf8_lossy(&log));
    for secret in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/self/{secret}")).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes));
    }
    for key in [RIGHT, WRONG] {
        let part = &key[20..44];
        assert!(!shown.to_lowercase().contains(part), "{shown}");
    }
}

//! One import of any bytes into a small SQLite database: no panic, and all of it or nothing.
//!
//! What was imported is checked by the engine, of CSV and JSON counted, and has to come out and in again unchanged.
//! After anything else the database is byte for byte the one from before, and nothing is beside it.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use db_core::bulk::{CellRef, SqliteBulk};
use db_core::{Access, DatabaseUrl, Interrupt};
use db_transfer::Error;
use db_transfer::export::{self, Form as Out, Options, Output};
use db_transfer::format::{Form, Input, Limits};
use db_transfer::import::{Import, OnConflict, Report};
use db_transfer::source::Source;
use tempfile::TempDir;

const SCHEMA: &str = "PRAGMA page_size = 1024;
    CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT, n INTEGER CHECK (n <> 7), r REAL, u VARCHAR(5) UNIQUE, x BLOB);
    CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, a_id INTEGER NOT NULL REFERENCES a (id), m NUMERIC DEFAULT 5,
        g INTEGER AS (id + 1));
    CREATE TABLE \"c d\" (k TEXT, l, PRIMARY KEY (k, l)) WITHOUT ROWID;
    CREATE TRIGGER marked AFTER INSERT ON b BEGIN UPDATE a SET t = 'marked' WHERE id = new.a_id; END;";
const ROWS: &str =
    "INSERT INTO a VALUES (1, 'one', 1, 0.5, 'u', x'00'), (5, NULL, NULL, NULL, NULL, NULL);
    INSERT INTO b (id, a_id) VALUES (3, 5); INSERT INTO \"c d\" VALUES ('k', 1);";
const TABLES: [&str; 3] = ["a", "b", "\"c d\""];

/// A script may ask for more work than there is time.
const PATIENCE: Duration = Duration::from_secs(8);

const LIMITS: Limits = Limits {
    value: 1 << 16,
    row: 1 << 18,
    columns: 64,
    depth: 32,
};

/// What stops the import that is under way, and when.
static ALARM: Mutex<Option<(Instant, Interrupt)>> = Mutex::new(None);

struct Arena {
    folder: TempDir,
    /// The database as it is before each import, and without its rows.
    full: Vec<u8>,
    blank: Vec<u8>,
    is_clean: bool,
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::new(Arena::new());
}

/// Imports any bytes as one of the forms; whether they went in.
///
/// The first byte says how: its bits are the policy (0 and 1), no validation (2), triggers (3), a dry run (4),
/// the table (5 and 6), and of JSON, whether it is one document or lines (7).
///
/// # Panics
/// If the import breaks its promise.
pub fn import(form: Form, bytes: &[u8]) -> bool {
    let Some((how, file)) = bytes.split_first() else {
        return false;
    };
    let form = match form {
        Form::Json if how & 0x80 != 0 => Form::Ndjson,
        form => form,
    };
    ARENA.with_borrow_mut(|arena| arena.import(form, *how, file))
}

impl Arena {
    fn new() -> Self {
        thread::spawn(watch);
        let folder = match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) => folder,
            Err(_) => TempDir::new().unwrap(),
        };
        // What a script attaches or writes lies in an empty folder, where it is seen.
        let work = folder.path().join("work");
        fs::create_dir(&work).unwrap();
        std::env::set_current_dir(&work).unwrap();
        let made = |rows: &str| {
            let path = folder.path().join("made.db");
            let url = DatabaseUrl::SqliteFile(path.clone());
            let mut bulk =
                SqliteBulk::open(&url, Access::Create, None, &Interrupt::default()).unwrap();
            bulk.execute(SCHEMA).unwrap();
            bulk.execute(rows).unwrap();
            drop(bulk);
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(path).unwrap();
            bytes
        };
        Self {
            full: made(ROWS),
            blank: made(""),
            folder,
            is_clean: false,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn import(&mut self, form: Form, how: u8, bytes: &[u8]) -> bool {
        let database = self.path("main.db");
        if !self.is_clean {
            fs::write(&database, &self.full).unwrap();
        }
        self.is_clean = false;
        let file = self.path("file");
        fs::write(&file, bytes).unwrap();
        let policy = match how & 3 {
            1 => OnConflict::Skip,
            2 => OnConflict::Update,
            _ => OnConflict::Error,
        };
        let dry_run = how & 16 != 0;
        let mut import = Import::new(Input::File(file))
            .form(Some(form))
            .limits(LIMITS);
        import = import
            .validate(how & 4 == 0)
            .fire_triggers(how & 8 != 0)
            .dry_run(dry_run);
        if form != Form::Sql {
            let table = ["a", "b", "c d"].get(usize::from(how >> 5 & 3)).copied();
            let named = table
                .filter(|_| form == Form::Csv)
                .or(table.filter(|_| how & 64 != 0));
            let named = named.or((form == Form::Csv).then_some("a"));
            import = import.tables(named).on_conflict(policy);
        }
        match run(&import, &database) {
            Ok(report) if !dry_run => self.look(&database, form, policy, &report),
            done => {
                match done {
                    Ok(_) | Err(Error::Usage(_) | Error::Interrupted) => {}
                    Err(Error::BadInput { faults }) => assert!(!faults.is_empty()),
                    Err(other) => panic!("{other}: {other:?}"),
                }
                let now = fs::read(&database).unwrap();
                assert!(now == self.full, "the database has changed");
                self.is_clean = true;
            }
        }
        for ending in ["-wal", "-shm", "-journal"] {
            assert!(
                !self.path(&format!("main.db{ending}")).exists(),
                "{ending} is left"
            );
        }
        let beside = fs::read_dir(self.path("work")).unwrap().count();
        assert_eq!(beside, 0, "the script has written beside the database");
        !self.is_clean
    }

    /// Whether everything is there.
    fn look(&self, database: &Path, form: Form, policy: OnConflict, report: &Report) {
        let mut bulk = open(database);
        assert_eq!(rows(&mut bulk, "PRAGMA integrity_check"), ["ok"]);
        if form == Form::Sql {
            // A script may change anything, which it does as it says.
            drop(bulk);
            self.script_comes_back(database);
            return;
        }
        let before = [2, 1, 1];
        for (table, before) in TABLES.iter().zip(before) {
            let now: u64 = rows(&mut bulk, &format!("SELECT count(*) FROM {table}"))[0]
                .parse()
                .unwrap();
            let told: Vec<_> = report
                .tables
                .iter()
                .filter(|told| told.table == **table)
                .collect();
            let written: u64 = told.iter().map(|table| table.written).sum();
            match policy {
                OnConflict::Update => assert!(now >= before && now <= before + written, "{table}"),
                _ => assert_eq!(now, before + written, "{table}: {report:?}"),
            }
        }
        assert!(rows(&mut bulk, "PRAGMA foreign_key_check").is_empty());
        drop(bulk);
        let there = self.path("there.json");
        exported(database, Out::Json, &there);
        let other = self.path("other.db");
        fs::write(&other, &self.blank).unwrap();
        let again = Import::new(Input::File(there.clone()))
            .validate(false)
            .limits(Limits::default());
        let url = DatabaseUrl::SqliteFile(other.clone());
        again.run(&url, &Interrupt::default(), &mut |_| {}).unwrap();
        let back = self.path("back.json");
        exported(&other, Out::Json, &back);
        same(&there, &back);
    }

    /// Whatever is in the database now, a script that is made of it makes the same database.
    fn script_comes_back(&self, database: &Path) {
        let there = self.path("there.sql");
        exported(database, Out::Sql, &there);
        let other = self.path("other.db");
        match fs::remove_file(&other) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        let again = Import::new(Input::File(there.clone())).may_create(true);
        match run(&again, &other) {
            // There may be more in it than there is time for.
            Err(Error::Interrupted) => return,
            done => drop(done.unwrap()),
        }
        let back = self.path("back.sql");
        exported(&other, Out::Sql, &back);
        same(&there, &back);
    }
}

fn run(import: &Import, database: &Path) -> Result<Report, Error> {
    let interrupt = Interrupt::default();
    *ALARM.lock().unwrap() = Some((Instant::now() + PATIENCE, interrupt.clone()));
    let done = import.run(
        &DatabaseUrl::SqliteFile(database.to_owned()),
        &interrupt,
        &mut |_| {},
    );
    *ALARM.lock().unwrap() = None;
    done
}

fn same(there: &Path, back: &Path) {
    let (there, back) = (fs::read(there).unwrap(), fs::read(back).unwrap());
    assert_eq!(
        String::from_utf8_lossy(&there),
        String::from_utf8_lossy(&back)
    );
}

fn exported(database: &Path, form: Out, to: &Path) {
    let url = DatabaseUrl::SqliteFile(database.to_owned());
    let mut source = Source::open(&url, None, &Interrupt::default()).unwrap();
    let options = Options {
        form: Some(form),
        ..Options::default()
    };
    export::export(
        &mut source,
        &url,
        &options,
        Output::File(to.to_owned()),
        &mut |_| {},
    )
    .unwrap();
}

fn open(database: &Path) -> SqliteBulk {
    let url = DatabaseUrl::SqliteFile(database.to_owned());
    SqliteBulk::open(&url, Access::ReadOnly, None, &Interrupt::default()).unwrap()
}

/// The first value of each row.
fn rows(bulk: &mut SqliteBulk, sql: &str) -> Vec<String> {
    let mut query = bulk.prepare(sql).unwrap();
    let mut rows = Vec::new();
    while query.step().unwrap() {
        rows.push(match query.cell(0).unwrap() {
            CellRef::Integer(number) => number.to_string(),
            CellRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        });
    }
    rows
}

fn watch() {
    loop {
        thread::park_timeout(PATIENCE / 4);
        if let Some((at, interrupt)) = ALARM.lock().unwrap().as_ref()
            && *at < Instant::now()
        {
            drop(interrupt.interrupt());
        }
    }
}

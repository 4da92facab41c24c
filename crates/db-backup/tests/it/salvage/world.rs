//! A database in which every page tells whose rows are on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use db_backup::Error;
use db_backup::salvage::{self, Options, Report};
use db_core::{Conn, Interrupt};
use db_testkit::TestDb;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

pub(super) const PAGE: usize = 1024;

/// A mark of 8 bytes, which begins every text and fills every blob.
fn mark(number: usize) -> String {
    format!("T{number:06}:")
}

pub(super) struct World {
    pub(super) db: TestDb,
    pub(super) bytes: Vec<u8>,
    /// The pages of each marked row, with its table.
    rows: BTreeMap<usize, (&'static str, BTreeSet<usize>)>,
    /// Pages of overflow chains that are too short for a mark.
    unmarked: BTreeSet<usize>,
    /// Kind of each page and the object that it belongs to.
    pub(super) map: BTreeMap<usize, (String, String)>,
}

#[derive(QueryableByName)]
struct Page {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    pagetype: String,
    #[diesel(sql_type = BigInt)]
    pageno: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// What is in the new file.
pub(super) struct Salvaged {
    pub(super) report: Report,
    /// By table.
    pub(super) found: BTreeMap<String, BTreeSet<usize>>,
}

impl World {
    /// `scale` times ten rows in each of four tables.
    pub(super) fn new(scale: usize) -> Self {
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        conn.execute(&format!(
            "PRAGMA page_size = {PAGE};
             PRAGMA journal_mode = WAL;
             PRAGMA user_version = 77;
             PRAGMA application_id = 4242;
             CREATE TABLE players (id INTEGER PRIMARY KEY, name TEXT NOT NULL, score REAL,
                                   created_at TEXT DEFAULT 'then');
             CREATE INDEX idx_players_name ON players (name);
             CREATE TABLE notes (word TEXT NOT NULL, body BLOB, CHECK (length(word) > 3));
             CREATE TABLE keyed (b INTEGER, a TEXT, c TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE TABLE logged (id INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT,
                                  double_id INTEGER GENERATED ALWAYS AS (id * 2) VIRTUAL);
             CREATE TABLE gone (id INTEGER PRIMARY KEY, line TEXT);
             CREATE VIEW best AS SELECT name FROM players WHERE score > 3;
             CREATE TRIGGER keep AFTER DELETE ON players BEGIN
                 INSERT INTO logged (line) VALUES ('deleted'); END;"
        ));
        let count = scale * 10;
        let mut tables = BTreeMap::new();
        let mut number = 0;
        conn.execute("BEGIN");
        for row in 0..count {
            for table in ["players", "notes", "keyed", "logged"] {
                let mark = mark(number);
                conn.execute(&match table {
                    "players" => format!(
                        "INSERT INTO players VALUES ({}, '{mark} player', {}, '{}')",
                        row * 3 + 1,
                        row / 2,
                        "x".repeat(row % 90)
                    ),
                    "notes" => format!(
                        "INSERT INTO notes VALUES ('{mark} note', CAST('{}' AS BLOB))",
                        mark.repeat((row % 7) * 70)
                    ),
                    "keyed" => format!(
                        "INSERT INTO keyed VALUES ({row}, '{mark} key', '{}')",
                        "y".repeat(row % 60)
                    ),
                    _ => format!("INSERT INTO logged (line) VALUES ('{mark} line')"),
                });
                tables.insert(number, table);
                number += 1;
            }
            conn.execute(&format!(
                "INSERT INTO gone VALUES ({row}, 'deleted {}')",
                "z".repeat(50)
            ));
        }
        conn.execute("COMMIT");
        conn.execute("ALTER TABLE players ADD COLUMN level INTEGER NOT NULL DEFAULT 5");
        conn.execute("DELETE FROM gone");
        conn.execute("DROP TABLE gone");
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)");
        let Conn::Sqlite(c) = conn.conn() else {
            unreachable!()
        };
        let pages: Vec<Page> = sql_query("SELECT name, pagetype, pageno FROM dbstat")
            .load(c)
            .unwrap();
        let map = pages
            .into_iter()
            .map(|p| (usize::try_from(p.pageno).unwrap(), (p.name, p.pagetype)))
            .collect();
        drop(conn);
        let bytes = fs::read(db.path().unwrap()).unwrap();
        let mut world = Self {
            db,
            bytes,
            rows: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            map,
        };
        world.find_rows(&tables);
        world
    }

    fn find_rows(&mut self, tables: &BTreeMap<usize, &'static str>) {
        for (&page, (object, kind)) in &self.map {
            let content = &self.bytes[(page - 1) * PAGE..page * PAGE];
            let marks = marks(content);
            if kind == "overflow" && marks.is_empty() {
                self.unmarked.insert(page);
            }
            for number in marks {
                let table = tables[&number];
                // Indexes repeat what their table has.
                if object == table {
                    let row = self.rows.entry(number).or_insert((table, BTreeSet::new()));
                    row.1.insert(page);
                }
            }
        }
        assert_eq!(self.rows.len(), tables.len());
    }

    pub(super) fn pages(&self) -> usize {
        self.bytes.len() / PAGE
    }

    /// A page of this kind that belongs to this object.
    pub(super) fn page(&self, object: &str, kind: &str) -> usize {
        let mut pages = self.map.iter();
        let found = pages.find(|(page, (o, k))| **page > 1 && o == object && k == kind);
        *found
            .unwrap_or_else(|| panic!("no {kind} page of {object}: {:?}", self.map))
            .0
    }

    /// The rows that lie on sound pages only, by table.
    pub(super) fn sound(
        &self,
        damaged: &BTreeSet<usize>,
    ) -> BTreeMap<&'static str, BTreeSet<usize>> {
        let overflow_is_unsure = !damaged.is_disjoint(&self.unmarked);
        let mut sound: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
        for (number, (table, pages)) in &self.rows {
            let is_excused = overflow_is_unsure && *table == "notes";
            if pages.is_disjoint(damaged) && !is_excused {
                sound.entry(*table).or_default().insert(*number);
            }
        }
        sound
    }
}

/// Salvages these bytes.
pub(super) fn salvage(bytes: &[u8]) -> Result<Salvaged, Error> {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    fs::write(&database, bytes).unwrap();
    salvage_file(&database, false)
}

pub(super) fn salvage_file(database: &Path, by_sql: bool) -> Result<Salvaged, Error> {
    let to: PathBuf = database.with_file_name("salvaged.db");
    let before = fs::read(database).unwrap();
    let options = Options {
        database: database.to_owned(),
        to: to.clone(),
        key: None,
        by_sql,
    };
    let report = salvage::salvage(&options, &Interrupt::default(), &mut |_| {})?;
    assert_eq!(fs::read(database).unwrap(), before, "the file was written");
    let folder = fs::read_dir(database.parent().unwrap()).unwrap();
    let names: BTreeSet<_> = folder.map(|f| f.unwrap().file_name()).collect();
    assert!(
        names.iter().all(|n| !n.to_string_lossy().starts_with('.')),
        "{names:?}"
    );
    let found = found(&to);
    Ok(Salvaged { report, found })
}

/// The marks in each table of a file, which has to be sound.
pub(super) fn found(path: &Path) -> BTreeMap<String, BTreeSet<usize>> {
    let url = db_core::DatabaseUrl::SqliteFile(path.to_owned());
    let mut connection = db_core::Connection::open(&url, db_core::Access::ReadOnly).unwrap();
    let Conn::Sqlite(c) = connection.conn() else {
        unreachable!()
    };
    let lines = |c: &mut diesel::SqliteConnection, sql: &str| -> Vec<String> {
        let rows: Vec<Line> = sql_query(sql).load(c).unwrap();
        rows.into_iter().map(|row| row.line).collect()
    };
    let check = lines(
        c,
        "SELECT integrity_check AS line FROM pragma_integrity_check",
    );
    assert_eq!(check, ["ok"]);
    let tables = lines(
        c,
        "SELECT name AS line FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
    );
    let mut found = BTreeMap::new();
    for table in tables {
        let columns = lines(
            c,
            &format!("SELECT name AS line FROM pragma_table_xinfo('{table}')"),
        );
        let mut numbers = BTreeSet::new();
        for column in columns {
            let sql = format!(
                "SELECT CAST(substr(\"{column}\", 1, 8) AS TEXT) AS line FROM \"{table}\"
                 WHERE typeof(\"{column}\") IN ('text', 'blob') AND length(\"{column}\") >= 8"
            );
            for line in lines_lossy(c, &sql) {
                numbers.extend(marks(line.as_bytes()));
            }
        }
        found.insert(table, numbers);
    }
    found
}

/// Texts that may be no UTF-8.
fn lines_lossy(c: &mut diesel::SqliteConnection, sql: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Raw {
        #[diesel(sql_type = diesel::sql_types::Binary)]
        raw: Vec<u8>,
    }
    let rows: Vec<Raw> = sql_query(format!("SELECT CAST(line AS BLOB) AS raw FROM ({sql})"))
        .load(c)
        .unwrap();
    rows.iter()
        .map(|row| String::from_utf8_lossy(&row.raw).into_owned())
        .collect()
}

/// The marks in some bytes.
fn marks(bytes: &[u8]) -> BTreeSet<usize> {
    let number = |window: &[u8]| {
        let is_mark = window[0] == b'T' && window[7] == b':';
        let digits = std::str::from_utf8(&window[1..7]).ok()?;
        (is_mark && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    bytes.windows(8).filter_map(number).collect()
}

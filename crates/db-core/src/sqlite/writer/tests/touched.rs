//! Which tables a write is found to have touched: too many at worst, never too few.

use diesel::prelude::*;

use super::*;
use crate::cache::QueryCache;
use crate::{CacheOptions, Conn};

const TABLES: [&str; 10] = [
    "plain", "keyed", "parent", "child", "orphan", "audited", "log", "behind", "numbered", "words",
];

const SCHEMA: &str = "
    CREATE TABLE plain (id INTEGER PRIMARY KEY, n INTEGER);
    CREATE TABLE keyed (id TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER PRIMARY KEY, p REFERENCES parent (id) ON DELETE CASCADE);
    CREATE TABLE orphan (id TEXT PRIMARY KEY, p REFERENCES child (id) ON DELETE SET NULL)
        WITHOUT ROWID;
    CREATE TABLE audited (id INTEGER PRIMARY KEY, n INTEGER);
    CREATE TABLE log (n INTEGER);
    CREATE TRIGGER audit AFTER UPDATE ON audited BEGIN INSERT INTO log VALUES (NEW.n); END;
    CREATE TABLE behind (n INTEGER);
    CREATE VIEW front AS SELECT n FROM behind;
    CREATE TRIGGER front_insert INSTEAD OF INSERT ON front
        BEGIN INSERT INTO behind VALUES (NEW.n); END;
    CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER);
    CREATE VIRTUAL TABLE words USING fts5 (word);
    INSERT INTO plain VALUES (1, 1), (2, 2);
    INSERT INTO keyed VALUES ('a', 1), ('b', 2);
    INSERT INTO parent VALUES (1);
    INSERT INTO child VALUES (1, 1);
    INSERT INTO orphan VALUES ('a', 1);
    INSERT INTO audited VALUES (1, 1);";

diesel::table! {
    plain (id) {
        id -> BigInt,
        n -> Nullable<BigInt>,
    }
}

struct Watched {
    bed: Bed,
    clock: Arc<TableClock>,
    cache: QueryCache<&'static str, ()>,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TableClock::new());
        let groups = Arc::new(Groups::default());
        let observer = Arc::<Groups>::clone(&groups);
        let options = options(&folder.path().join("test.db"));
        let writer = open_with(options, observer, Arc::clone(&clock));
        let bed = Bed {
            folder,
            writer,
            groups,
        };
        bed.writer.run(None, |conn| execute(conn, SCHEMA)).unwrap();
        let cache = QueryCache::new(
            Arc::clone(&clock),
            CacheOptions::new(100, Duration::from_mins(10)),
            Box::new(Instant::now),
            |_| (),
        );
        let watched = Self { bed, clock, cache };
        // The first write since it is watched counts as a change of everything.
        watched.writes("");
        watched
    }

    /// The tables that `closure`, committed, is found to have touched.
    fn touched_by<E: From<Error> + Send>(
        &self,
        closure: impl FnOnce(&mut SqliteConnection) -> Result<(), E> + Send,
    ) -> Vec<&'static str> {
        for table in TABLES {
            self.cache
                .get_or_compute(table, &[table], || Ok::<_, ()>(()))
                .unwrap();
        }
        let done = self.bed.writer.run(None, closure);
        drop(done);
        let changed = |table: &&'static str| self.cache.find(table).is_none();
        TABLES.into_iter().filter(changed).collect()
    }

    fn writes(&self, sql: &str) -> Vec<&'static str> {
        self.touched_by(|conn| execute(conn, sql))
    }

    fn add(&self, n: i64) -> Vec<&'static str> {
        self.touched_by(|conn| {
            // Diesel prepares this once and keeps it.
            let row = diesel::insert_into(plain::table).values(plain::n.eq(n));
            row.execute(conn).map(drop).map_err(Error::from)
        })
    }
}

#[test]
fn every_kind_of_write_names_its_tables() {
    let watched = Watched::new();
    for (sql, expected) in [
        ("INSERT INTO plain VALUES (3, 3)", &["plain"][..]),
        ("UPDATE plain SET n = n + 1 WHERE id = 1", &["plain"]),
        ("DELETE FROM plain WHERE id = 3", &["plain"]),
        // Without a condition, and without a hook: all rows go at once.
        ("DELETE FROM plain", &["plain"]),
        // No hook is called for these.
        ("INSERT INTO keyed VALUES ('c', 3)", &["keyed"]),
        ("REPLACE INTO keyed VALUES ('a', 9)", &["keyed"]),
        (
            "INSERT INTO keyed VALUES ('a', 1) ON CONFLICT DO UPDATE SET n = 2",
            &["keyed"],
        ),
        ("DELETE FROM keyed", &["keyed"]),
        // Foreign keys' actions, two deep.
        (
            "DELETE FROM parent WHERE id = 1",
            &["parent", "child", "orphan"],
        ),
        ("UPDATE audited SET n = 2", &["audited", "log"]),
        ("INSERT INTO front VALUES (1)", &["behind"]),
        ("INSERT INTO numbered (n) VALUES (1)", &["numbered"]),
        ("INSERT INTO words VALUES ('dice')", &["words"]),
        (
            "WITH x (n) AS (SELECT 7) INSERT INTO log SELECT n FROM x",
            &["log"],
        ),
        (
            "UPDATE plain SET n = k.n FROM keyed k WHERE k.id = 'a'",
            &["plain"],
        ),
        (
            "INSERT INTO log VALUES (1); INSERT INTO numbered (n) VALUES (2)",
            &["log", "numbered"],
        ),
        ("-- a comment\nINSERT INTO log VALUES (1)", &["log"]),
        ("SELECT * FROM plain", &[]),
        ("SAVEPOINT s; RELEASE s", &[]),
        ("PRAGMA user_version", &[]),
    ] {
        assert_eq!(watched.writes(sql), expected, "{sql}");
    }
}

#[test]
fn a_statement_that_is_prepared_once_names_its_tables_each_time() {
    let watched = Watched::new();
    for n in 0..5 {
        assert_eq!(watched.add(n), ["plain"], "{n}");
    }
}

#[test]
fn members_of_a_group_are_all_heard() {
    let watched = Watched::new();
    assert_eq!(watched.add(0), ["plain"]);
    for table in TABLES {
        watched
            .cache
            .get_or_compute(table, &[table], || Ok::<_, ()>(()))
            .unwrap();
    }
    std::thread::scope(|scope| {
        let held = watched.bed.hold(scope);
        for sql in [
            "UPDATE audited SET n = 2",
            "INSERT INTO keyed VALUES ('x', 1)",
        ] {
            let writer = &watched.bed.writer;
            scope.spawn(move || writer.run(None, |conn| execute(conn, sql)).unwrap());
        }
        watched.bed.await_pending(2);
        held.let_go();
    });
    let changed: Vec<_> = TABLES
        .into_iter()
        .filter(|table| watched.cache.find(table).is_none())
        .collect();
    assert_eq!(changed, ["keyed", "audited", "log"]);
}

#[test]
fn what_is_rolled_back_changes_nothing() {
    let watched = Watched::new();
    let touched = watched.touched_by(|conn| {
        execute(conn, "INSERT INTO plain VALUES (8, 8)")?;
        Err(Error::new(ErrorKind::Other, "no"))
    });
    assert_eq!(touched, [""; 0]);
}

#[test]
fn a_change_of_schema_is_a_change_of_everything() {
    let watched = Watched::new();
    assert_eq!(watched.add(0), ["plain"]);
    for sql in [
        "CREATE TRIGGER late AFTER INSERT ON plain BEGIN INSERT INTO log VALUES (NEW.n); END",
        "ALTER TABLE log ADD COLUMN m INTEGER DEFAULT 5",
        "ALTER TABLE plain RENAME COLUMN n TO nn; ALTER TABLE plain RENAME COLUMN nn TO n",
        "DROP VIEW front",
        "CREATE TABLE fresh (n)",
        "DROP TABLE numbered",
    ] {
        assert_eq!(watched.writes(sql), TABLES, "{sql}");
    }
    // The statement is the one that was prepared before there was the trigger; the other one runs
    // for the trigger's sake.
    let watched = Watched::new();
    assert_eq!(watched.add(0), ["plain"]);
    let trigger =
        "CREATE TRIGGER late AFTER INSERT ON plain BEGIN INSERT INTO behind VALUES (NEW.n); END";
    assert_eq!(watched.writes(trigger), TABLES);
    assert_eq!(watched.add(1), ["plain", "behind"]);
    assert_eq!(watched.add(2), ["plain", "behind"]);
}

#[test]
fn a_schema_that_was_rolled_back_is_forgotten() {
    let watched = Watched::new();
    let touched = watched.touched_by(|conn| {
        execute(
            conn,
            "DROP TRIGGER audit; UPDATE audited SET n = 3; INSERT INTO plain VALUES (9, 9)",
        )?;
        Err(Error::new(ErrorKind::Other, "no"))
    });
    assert_eq!(touched, [""; 0]);
    assert_eq!(
        watched.writes("UPDATE audited SET n = 3"),
        ["audited", "log"]
    );
}

#[test]
fn what_another_program_wrote_is_noticed_by_the_next_write() {
    let watched = Watched::new();
    assert_eq!(watched.add(0), ["plain"]);
    let url = DatabaseUrl::SqliteFile(watched.bed.folder.path().join("test.db"));
    let mut other = crate::Connection::open_beside(&url, crate::Access::ReadWrite);
    let Conn::Sqlite(other) = other.conn() else {
        unreachable!()
    };
    execute(
        other,
        "CREATE TRIGGER theirs AFTER INSERT ON plain BEGIN UPDATE keyed SET n = NEW.n; END",
    )
    .unwrap();
    assert_eq!(watched.add(1), TABLES);
    // And the trigger that it made is known from then on.
    assert_eq!(watched.add(2), ["plain", "keyed"]);
    assert_eq!(watched.writes("SELECT 1"), [""; 0]);
}

#[test]
fn a_write_that_had_begun_when_someone_began_to_watch_counts() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TableClock::new());
    let observer = Arc::new(Groups::default());
    let writer = open_with(
        options(&folder.path().join("w.db")),
        observer,
        Arc::clone(&clock),
    );
    let before = clock.now();
    writer
        .run(None, |conn| {
            execute(conn, "CREATE TABLE t (x)")?;
            clock.watch();
            execute(conn, "INSERT INTO t VALUES (1)")
        })
        .unwrap();
    assert!(clock.now() >= before + 2, "it watched, and it changed");
}

#[test]
fn texts_that_vary_are_not_hoarded() {
    let watched = Watched::new();
    for n in 0..1_200 {
        watched
            .bed
            .writer
            .run(None, |conn| {
                execute(conn, &format!("UPDATE plain SET n = {n}"))
            })
            .unwrap();
    }
    assert_eq!(watched.writes("UPDATE plain SET n = 7"), ["plain"]);
    let rows: Vec<_> = (1_000..9_000).map(|n| format!("({n},{n})")).collect();
    let sql = format!("INSERT INTO plain VALUES {}", rows.join(","));
    assert_eq!(watched.writes(&sql), ["plain"]);
    assert!(watched.clock.now() > 1_200);
}

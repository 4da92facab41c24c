//! A tracker says after each migration what a full read would say.

use db_core::Engine;
use db_migrate::catalog::{Catalog, Delta, Object, Scope, Tracker};
use db_testkit::{TestConn, TestDb, both_engines};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::read;

/// What a migration may do; `#` and `@` stand for small numbers, so that statements meet.
const BOTH: &[&str] = &[
    "CREATE TABLE t# (id INTEGER PRIMARY KEY, c0 TEXT DEFAULT 'x', c1 INTEGER, UNIQUE (c0, c1))",
    "CREATE TABLE t# (id INTEGER PRIMARY KEY, c0 TEXT, c1 INTEGER, CONSTRAINT ck CHECK (c1 > 0),
       CONSTRAINT fk FOREIGN KEY (c1) REFERENCES t@ (id))",
    "CREATE TABLE t# (c0 TEXT NOT NULL DEFAULT 'x', c1 INTEGER DEFAULT 1)",
    "DROP TABLE t#",
    "ALTER TABLE t# ADD COLUMN c@ TEXT",
    "ALTER TABLE t# ADD COLUMN c@ INTEGER NOT NULL DEFAULT 3",
    "ALTER TABLE t# DROP COLUMN c@",
    "ALTER TABLE t# RENAME COLUMN c@ TO d@",
    "ALTER TABLE t# RENAME COLUMN d@ TO c@",
    "ALTER TABLE t# RENAME TO t@",
    "CREATE INDEX i@ ON t# (c@)",
    "CREATE UNIQUE INDEX i@ ON t# (c0, c1) WHERE c1 > 5",
    "DROP INDEX i#",
    "CREATE VIEW v# AS SELECT c0, c1 FROM t@",
    "CREATE VIEW v# AS SELECT * FROM v@",
    "DROP VIEW v#",
    "INSERT INTO t# (c1) VALUES (7)",
    "UPDATE t# SET c1 = c1 + 1",
    "SELECT 1",
    "SAVEPOINT s; CREATE TABLE lost (a INTEGER); ROLLBACK TO s; RELEASE s",
    "SAVEPOINT s; CREATE TABLE t# (c0 TEXT, c1 INTEGER); RELEASE s",
    "DROP TABLE t#; CREATE TABLE t# (c1 INTEGER, c0 TEXT); CREATE INDEX i# ON t# (c0)",
    "CREATE TABLE __db_migrate_# (a INTEGER, b TEXT DEFAULT 'x', UNIQUE (a))",
];
const SQLITE: &[&str] = &[
    "CREATE TRIGGER g@ AFTER INSERT ON t# BEGIN UPDATE t# SET c1 = @; END",
    "DROP TRIGGER g@",
    "CREATE VIRTUAL TABLE f# USING fts5(a)",
    "DROP TABLE f#",
    "CREATE TABLE t# (id INTEGER PRIMARY KEY AUTOINCREMENT, c0 TEXT, c1 INTEGER) STRICT",
];
const POSTGRES: &[&str] = &[
    "CREATE TABLE t# (id bigserial PRIMARY KEY, c0 text, c1 integer GENERATED ALWAYS AS IDENTITY)",
    "DROP TABLE t# CASCADE",
    "ALTER TABLE t# DROP COLUMN c@ CASCADE",
    "ALTER TABLE t# ALTER c@ SET DEFAULT NULL",
    "ALTER TABLE t# ALTER c@ DROP DEFAULT",
    "ALTER TABLE t# ALTER c0 SET DEFAULT 'y', ALTER c1 SET NOT NULL",
    "ALTER TABLE t# ALTER c1 SET DEFAULT @, ALTER c1 DROP NOT NULL",
    "ALTER TABLE t# ALTER c1 TYPE bigint",
    "ALTER TABLE t# ALTER c0 TYPE varchar(9)",
    "ALTER TABLE t# ADD CONSTRAINT ck@ CHECK (c1 > @) NOT VALID",
    "ALTER TABLE t# VALIDATE CONSTRAINT ck@",
    "ALTER TABLE t# RENAME CONSTRAINT ck@ TO ck#",
    "ALTER TABLE t# DROP CONSTRAINT ck@",
    "ALTER TABLE t# ADD CONSTRAINT fk@ FOREIGN KEY (c1) REFERENCES t@ (id) ON DELETE CASCADE",
    "ALTER INDEX i# RENAME TO i@",
    "REINDEX TABLE t#",
    "CREATE OR REPLACE VIEW v# AS SELECT c0, c1 + 1 AS c1 FROM t@",
    "CREATE MATERIALIZED VIEW v# AS SELECT count(*) AS c0, 1 AS c1 FROM t@",
    "CREATE RULE r AS ON DELETE TO t# DO INSTEAD NOTHING",
    "COMMENT ON TABLE t# IS 'comment @'",
    "COMMENT ON COLUMN t#.c@ IS 'column'",
    "COMMENT ON INDEX i# IS 'index'",
    "COMMENT ON FUNCTION f# IS 'function @'",
    "COMMENT ON CONSTRAINT ck@ ON t# IS 'constraint'",
    "COMMENT ON TABLE t# IS NULL",
    "CREATE OR REPLACE FUNCTION f#() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END @'",
    "CREATE FUNCTION f#(integer) RETURNS integer LANGUAGE sql AS 'SELECT @'",
    "CREATE FUNCTION q#() RETURNS bigint BEGIN ATOMIC SELECT count(c@) FROM t#; END",
    "ALTER FUNCTION f#() RENAME TO f@",
    "DROP FUNCTION f#() CASCADE",
    "CREATE TRIGGER g@ BEFORE INSERT ON t# FOR EACH ROW EXECUTE FUNCTION f@()",
    "ALTER TABLE t# DISABLE TRIGGER ALL",
    "ALTER TRIGGER g@ ON t# RENAME TO g#",
    "ALTER TABLE t# ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p@ ON t# USING (c1 > @)",
    "CREATE POLICY p@ ON t# USING (EXISTS (SELECT FROM t@ o WHERE o.c1 = 1))",
    "ALTER POLICY p@ ON t# USING (c1 < @)",
    "CREATE TYPE e# AS ENUM ('a', 'b')",
    "ALTER TABLE t# ADD COLUMN m@ e# DEFAULT 'a'",
    "ALTER TYPE e# RENAME VALUE 'a' TO 'c'",
    "ALTER TYPE e# RENAME TO e@",
    "CREATE DOMAIN n# AS integer CHECK (VALUE > @)",
    "ALTER DOMAIN n# ADD CONSTRAINT more CHECK (VALUE < 100)",
    "CREATE TYPE k# AS (x integer, y text)",
    "ALTER TYPE k# ADD ATTRIBUTE z@ integer",
    "ALTER TABLE t# ADD COLUMN k@ k#",
    "ALTER TYPE k# RENAME ATTRIBUTE x TO w CASCADE",
    "CREATE SEQUENCE s# INCREMENT 3",
    "ALTER SEQUENCE s# INCREMENT @ CACHE 5",
    "ALTER SEQUENCE s# OWNED BY t#.c@",
    "CREATE SCHEMA o#",
    "ALTER TABLE t# SET SCHEMA o@",
    "CREATE TABLE o#.t@ (c0 text)",
    "CREATE TABLE part# (a integer, b text) PARTITION BY RANGE (a)",
    "CREATE TABLE part#_@ PARTITION OF part# FOR VALUES FROM (@) TO (5)",
    "CREATE INDEX ON part# (b)",
    "ALTER TABLE part# DETACH PARTITION part#_@",
    "ALTER TABLE part# ADD COLUMN c@ text",
    "CREATE TABLE kid# (z text) INHERITS (t@)",
    "CREATE STATISTICS st# ON c0, c1 FROM t#",
    "ALTER TABLE t# SET (fillfactor = 7@)",
    "ALTER TABLE t# REPLICA IDENTITY FULL",
    "CREATE TEMP TABLE t# (c0 text)",
    "CREATE OPERATOR ==@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)",
];

/// What there is from the beginning, so that most statements find what they are about.
const START: &str = "
    CREATE TABLE t0 (id INTEGER PRIMARY KEY, c0 TEXT, c1 INTEGER);
    CREATE TABLE t1 (id INTEGER PRIMARY KEY, c0 TEXT, c1 INTEGER, CONSTRAINT ck0 CHECK (c1 > 0));
    CREATE INDEX i0 ON t0 (c0);
    CREATE VIEW v0 AS SELECT c0, c1 FROM t0;";

/// One migration: which statement, with which numbers.
type Step = (usize, u8, u8);

fn sql(statements: &[&str], step: Step) -> String {
    let text = statements[step.0 % statements.len()];
    text.replace('#', &(step.1 % 3).to_string())
        .replace('@', &(step.2 % 2).to_string())
}

/// Runs one migration and refreshes; a migration that fails is rolled back and forgotten.
fn migrate(conn: &mut TestConn, tracker: &mut Tracker, text: &str) -> Option<Delta> {
    conn.execute("BEGIN");
    if conn.conn().batch_execute(text).is_err() {
        conn.execute("ROLLBACK");
        return None;
    }
    let delta = tracker.refresh(&mut conn.conn()).unwrap();
    conn.execute("COMMIT");
    Some(delta)
}

/// What the stored objects are after a delta.
fn replay(catalog: &Catalog, delta: &Delta) -> Catalog {
    let changed: Vec<_> = delta
        .upserted
        .iter()
        .map(|o| (o.kind, o.name.clone()))
        .collect();
    let stays = |o: &&Object| {
        let key = (o.kind, o.name.clone());
        !changed.contains(&key) && !delta.removed.contains(&key)
    };
    let kept = catalog.objects().filter(stays).chain(&delta.upserted);
    Catalog::from_objects(kept.cloned().collect())
}

fn run(db: &TestDb, statements: &[&str], steps: &[Step]) {
    let mut conn = db.connect();
    conn.execute(START);
    let mut tracker = Tracker::start(&mut conn.conn(), &Scope::default()).unwrap();
    let mut before = tracker.catalog();
    let mut done = Vec::new();
    for &step in steps {
        let text = sql(statements, step);
        let Some(delta) = migrate(&mut conn, &mut tracker, &text) else {
            continue;
        };
        done.push(text);
        let live = read(&mut conn);
        let told = crate::support::differences(
            &live,
            &tracker.catalog(),
            db_migrate::catalog::Mode::Strict,
        );
        assert!(
            told.is_empty(),
            "after {done:#?}\nthe tracker differs: {told:#?}"
        );
        assert_eq!(live, tracker.catalog(), "after {done:#?}");
        assert_eq!(replay(&before, &delta), live, "after {done:#?}");
        assert_eq!(delta.strict_fingerprint, live.strict_fingerprint());
        assert_eq!(delta.loose_fingerprint, live.loose_fingerprint());
        assert_eq!(delta.is_empty(), before == live, "after {done:#?}");
        before = live;
    }
}

both_engines! {
    fn a_tracker_agrees_with_full_reads(db: TestDb) {
        let (cases, own) = match db.engine() {
            Engine::Sqlite => (96, SQLITE),
            Engine::Postgres => (24, POSTGRES),
        };
        // More where they are asked for, as the property-testing library itself reads them.
        let cases = match std::env::var_os("PROPTEST_CASES") {
            Some(_) => Config::default().cases,
            None => cases,
        };
        let engine = db.engine();
        let statements = [BOTH, own].concat();
        let step = (any::<usize>(), any::<u8>(), any::<u8>());
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let strategy = proptest::collection::vec(step, 1..60);
        let answer = TestRunner::new(config).run(&strategy, |steps| {
            run(&TestDb::new(engine), &statements, &steps);
            Ok(())
        });
        if let Err(error) = answer {
            panic!("{error}");
        }
    }

    fn a_migration_of_rows_alone_leaves_an_empty_delta(db: TestDb) {
        let mut conn = db.connect();
        conn.execute("CREATE TABLE t (a INTEGER)");
        let mut tracker = Tracker::start(&mut conn.conn(), &Scope::default()).unwrap();
        let text = "INSERT INTO t VALUES (1), (2); UPDATE t SET a = 3";
        let delta = migrate(&mut conn, &mut tracker, text).unwrap();
        assert!(delta.is_empty());
        assert_eq!(delta.strict_fingerprint, read(&mut conn).strict_fingerprint());
    }
}

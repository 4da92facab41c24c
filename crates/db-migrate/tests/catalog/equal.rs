//! Changes that are none, and must raise no false alarm.

use db_testkit::{TestDb, both_engines};

use crate::support::assert_drift;

const TABLES: &str = "\
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER DEFAULT 0, CONSTRAINT ck CHECK (b >= 0));
CREATE INDEX idx_t_a ON t (a);
CREATE VIEW v AS SELECT id, a FROM t;
INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'y');";

both_engines! {
    fn maintenance_changes_nothing(db: TestDb) {
        let mut conn = db.connect();
        assert_drift(&mut conn, TABLES, "VACUUM", &[]);
        assert_drift(&mut conn, "SELECT 1", "ANALYZE", &[]);
        assert_drift(&mut conn, "SELECT 1", "REINDEX TABLE t".replace("TABLE ", if db.path().is_some() { "" } else { "TABLE " }).as_str(), &[]);
    }

    fn there_and_back_changes_nothing(db: TestDb) {
        let change = "ALTER TABLE t RENAME TO tmp; ALTER TABLE tmp RENAME TO t;
            ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t RENAME COLUMN z TO a";
        assert_drift(&mut db.connect(), TABLES, change, &[]);
    }

    fn a_dropped_column_leaves_no_gap(db: TestDb) {
        let change = "ALTER TABLE t ADD COLUMN gone TEXT; ALTER TABLE t DROP COLUMN gone";
        assert_drift(&mut db.connect(), TABLES, change, &[]);
    }
}

/// A dump, restored into another database.
mod restored {
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use db_migrate::catalog::Mode;
    use db_testkit::{TestConn, TestDb};
    use diesel::sql_types::Text;
    use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

    use crate::support::{differences, read};

    const SQLITE: &str = "\
        CREATE TABLE \"order\" ([id] INTEGER PRIMARY KEY AUTOINCREMENT, `a b` TEXT DEFAULT 'x''y');
        CREATE TABLE t (id INTEGER PRIMARY KEY, o INTEGER REFERENCES \"order\" (id)) STRICT;
        CREATE VIRTUAL TABLE f USING fts5(body);
        CREATE INDEX i ON \"order\" (\"a b\");
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT ';'; UPDATE t SET o = 1; END;
        CREATE VIEW v AS SELECT id FROM t;
        ALTER TABLE t ADD COLUMN late TEXT; ALTER TABLE t RENAME TO u;";
    const POSTGRES: &str = "\
        CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN amount AS bigint CHECK (VALUE >= 0 AND VALUE < 9);
        CREATE TABLE t (id bigserial PRIMARY KEY, status varchar(9) NOT NULL DEFAULT 'a'
            CHECK (status IN ('a', 'b')), gone int, n amount, m mood DEFAULT 'ok',
          CHECK (id > 0 AND n > 0 AND id < 100), UNIQUE (status, n));
        ALTER TABLE t DROP COLUMN gone;
        CREATE INDEX i ON t (lower(status)) WHERE status IN ('a', 'b') AND n > 1 AND id > 2;
        CREATE VIEW v AS SELECT id, status FROM t WHERE status IN ('a', 'b') AND n > 1;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
        CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.n > 1 AND NEW.n > 2) EXECUTE FUNCTION f();
        CREATE POLICY p ON t USING (status IN ('a', 'b')); COMMENT ON TABLE t IS 'things';
        CREATE TABLE parts (a int, b text) PARTITION BY LIST (a);
        CREATE TABLE parts1 PARTITION OF parts FOR VALUES IN (1, 2);
        CREATE INDEX ON parts (b); CREATE SCHEMA other; CREATE TABLE other.t (r bigint REFERENCES public.t);
        CREATE MATERIALIZED VIEW mv AS SELECT count(*) FROM t; ANALYZE;";

    #[test]
    fn sqlite() {
        let (from, to) = (TestDb::sqlite(), TestDb::sqlite());
        from.connect().execute(SQLITE);
        for sql in dump(&mut from.connect()) {
            to.connect().execute(&sql);
        }
        assert_equal(&from, &to, Mode::Strict);
    }

    #[test]
    fn postgres() {
        let (from, to) = (TestDb::postgres(), TestDb::postgres());
        from.connect().execute(POSTGRES);
        let dump = Command::new(program("pg_dump"))
            .arg(from.url())
            .output()
            .unwrap();
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        let mut psql = Command::new(program("psql"));
        feed(
            psql.args(["-q", "-v", "ON_ERROR_STOP=1"]).arg(to.url()),
            &dump.stdout,
        );
        assert_equal(&from, &to, Mode::Loose);
        // The dump rewrote expressions, so that a comparison of texts would cry wolf.
        let (before, after) = (read(&mut from.connect()), read(&mut to.connect()));
        assert!(!before.compare(&after, Mode::Strict).is_empty());
        assert_eq!(before.loose_fingerprint(), after.loose_fingerprint());
    }

    /// What the shell's `.dump` writes: the texts as they are stored, tables first. It puts a
    /// virtual table back by its text too, and its shadows with it.
    fn dump(conn: &mut TestConn) -> Vec<String> {
        let TestConn::Sqlite(conn) = conn else {
            panic!("not SQLite")
        };
        sql_query(
            "SELECT sql AS text FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'sqlite_*'
             AND name NOT IN (SELECT name FROM pragma_table_list WHERE type = 'shadow')
             ORDER BY type <> 'table', rowid",
        )
        .load::<Line>(conn)
        .unwrap()
        .into_iter()
        .map(|line| line.text)
        .collect()
    }

    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = Text)]
        text: String,
    }

    #[track_caller]
    fn assert_equal(from: &TestDb, to: &TestDb, mode: Mode) {
        let (before, after) = (read(&mut from.connect()), read(&mut to.connect()));
        assert!(before.len() > 8);
        assert_eq!(differences(&before, &after, mode), Vec::<String>::new());
    }

    fn feed(command: &mut Command, input: &[u8]) {
        use std::io::Write as _;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// The newest of Debian's installations, or whatever is on the path.
    fn program(name: &str) -> PathBuf {
        let versions = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let mut found: Vec<_> = versions.map(|v| v.path().join("bin").join(name)).collect();
        found.retain(|path| path.exists());
        found.sort();
        found.pop().unwrap_or_else(|| Path::new(name).to_owned())
    }
}

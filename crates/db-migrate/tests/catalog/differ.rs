//! Changes that must be found and named: a comparison that cannot fail is worth nothing.

use db_testkit::{TestDb, both_engines};

use crate::support::assert_drift;

const USERS: &str = "\
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER DEFAULT 0,
  CONSTRAINT ck_users_age CHECK (age >= 0));
CREATE INDEX idx_users_name ON users (name) WHERE age > 18;
CREATE VIEW adults AS SELECT id, name FROM users WHERE age > 18;";

both_engines! {
    fn a_column_added_is_one_line(db: TestDb) {
        let change = "ALTER TABLE users ADD COLUMN nickname TEXT";
        assert_drift(&mut db.connect(), USERS, change, &["column users.nickname: added: "]);
    }

    fn a_column_dropped_is_one_line(db: TestDb) {
        let setup = "CREATE TABLE t (a INTEGER, b TEXT, c TEXT)";
        let change = "ALTER TABLE t DROP COLUMN b";
        assert_drift(&mut db.connect(), setup, change, &["column t.b: gone: "]);
    }

    fn a_table_added_or_gone_is_one_line(db: TestDb) {
        let mut conn = db.connect();
        assert_drift(&mut conn, "SELECT 1", USERS, &[
            "table users: added: columns (id, name, age)", "view adults: added: ",
        ]);
        let change = "DROP VIEW adults; DROP TABLE users";
        assert_drift(&mut conn, "SELECT 1", change, &["table users: gone: ", "view adults: gone: "]);
    }

    fn the_type_of_a_column_counts(db: TestDb) {
        let change = "DROP TABLE t; CREATE TABLE t (a BIGINT, b TEXT)";
        assert_drift(&mut db.connect(), "CREATE TABLE t (a INTEGER, b TEXT)", change, &[
            "column t.a: changed: ",
        ]);
    }

    fn the_default_of_a_column_counts(db: TestDb) {
        let change = "DROP TABLE t; CREATE TABLE t (a INTEGER DEFAULT 1)";
        assert_drift(&mut db.connect(), "CREATE TABLE t (a INTEGER DEFAULT 0)", change, &[
            "column t.a: changed: ",
        ]);
    }

    fn the_nullability_of_a_column_counts(db: TestDb) {
        let change = "DROP TABLE t; CREATE TABLE t (a INTEGER NOT NULL)";
        assert_drift(&mut db.connect(), "CREATE TABLE t (a INTEGER)", change, &[
            "column t.a: changed: ",
        ]);
    }

    fn the_order_of_columns_counts(db: TestDb) {
        let change = "DROP TABLE t; CREATE TABLE t (b INTEGER, a INTEGER)";
        assert_drift(&mut db.connect(), "CREATE TABLE t (a INTEGER, b INTEGER)", change, &[
            "table t: changed: expected columns (a, b), found columns (b, a)",
        ]);
    }

    fn the_text_of_a_constraint_counts(db: TestDb) {
        let change = "DROP TABLE t; CREATE TABLE t (a INTEGER, CONSTRAINT ck_t CHECK (a > 1))";
        let setup = "CREATE TABLE t (a INTEGER, CONSTRAINT ck_t CHECK (a > 0))";
        assert_drift(&mut db.connect(), setup, change, &["constraint t.ck_t: changed: "]);
    }

    fn a_foreign_key_counts_with_its_action(db: TestDb) {
        let setup = "CREATE TABLE p (id INTEGER PRIMARY KEY);
            CREATE TABLE t (a INTEGER, CONSTRAINT fk_t FOREIGN KEY (a) REFERENCES p (id))";
        let change = "DROP TABLE t; CREATE TABLE t (a INTEGER,
            CONSTRAINT fk_t FOREIGN KEY (a) REFERENCES p (id) ON DELETE CASCADE)";
        assert_drift(&mut db.connect(), setup, change, &["constraint t.fk_t: changed: "]);
    }

    fn the_predicate_of_an_index_counts(db: TestDb) {
        let change = "DROP INDEX idx_users_name;
            CREATE INDEX idx_users_name ON users (name) WHERE age > 21";
        assert_drift(&mut db.connect(), USERS, change, &["index idx_users_name: changed: "]);
    }

    fn an_index_gone_or_added_is_named(db: TestDb) {
        let change = "DROP INDEX idx_users_name; CREATE INDEX idx_users_age ON users (age)";
        assert_drift(&mut db.connect(), USERS, change, &[
            "index idx_users_age: added: ", "index idx_users_name: gone: ",
        ]);
    }

    fn the_text_of_a_view_counts(db: TestDb) {
        let change = "DROP VIEW adults; CREATE VIEW adults AS SELECT id, name FROM users WHERE age > 21";
        assert_drift(&mut db.connect(), USERS, change, &["view adults: changed: "]);
    }

    fn what_belongs_to_the_ledgers_does_not_count(db: TestDb) {
        let change = "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY);
            CREATE TABLE __db_migrate_history (id INTEGER PRIMARY KEY, text TEXT, UNIQUE (text));
            CREATE INDEX __db_migrate_by_text ON __db_migrate_history (text, id);";
        assert_drift(&mut db.connect(), USERS, change, &[]);
    }
}

/// What only SQLite has.
mod sqlite {
    use db_testkit::TestDb;

    use crate::support::assert_drift;

    #[test]
    fn the_body_of_a_trigger_counts() {
        let setup = "CREATE TABLE t (a INTEGER, b TEXT);
            CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = 'x'; END;";
        let change = "DROP TRIGGER tr;
            CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = 'X'; END;";
        assert_drift(
            &mut TestDb::sqlite().connect(),
            setup,
            change,
            &["trigger tr: changed: "],
        );
    }

    #[test]
    fn strictness_and_a_constraint_without_a_name_count() {
        let setup = "CREATE TABLE t (a INTEGER, b TEXT, UNIQUE (a))";
        let change = "DROP TABLE t; CREATE TABLE t (a INTEGER, b TEXT, UNIQUE (b)) STRICT";
        assert_drift(
            &mut TestDb::sqlite().connect(),
            setup,
            change,
            &[
                "table t: changed: ",
                "constraint t.unique ( a ): gone: ",
                "constraint t.unique ( b ): added: ",
            ],
        );
    }

    #[test]
    fn virtual_tables_count_and_their_shadows_do_not() {
        let change = "CREATE VIRTUAL TABLE f USING fts5(body);
            CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);
            INSERT INTO f VALUES ('some words'); INSERT INTO r VALUES (1, 0, 1);";
        assert_drift(
            &mut TestDb::sqlite().connect(),
            "SELECT 1",
            change,
            &["table f: added: ", "table r: added: "],
        );
    }

    #[test]
    fn a_table_that_a_module_has_not_made_counts_whatever_its_name() {
        let change = "CREATE TABLE F_Content (id INTEGER PRIMARY KEY);
            CREATE VIRTUAL TABLE f USING fts5(body, content = 'F_Content', content_rowid = 'id');";
        assert_drift(
            &mut TestDb::sqlite().connect(),
            "SELECT 1",
            change,
            &["table F_Content: added: ", "table f: added: "],
        );
    }

    #[test]
    fn a_table_that_only_looks_like_the_engines_own_counts() {
        let change = "CREATE TABLE sqliteish (a INTEGER)";
        assert_drift(
            &mut TestDb::sqlite().connect(),
            "SELECT 1",
            change,
            &["table sqliteish: added"],
        );
    }
}

/// What only PostgreSQL has.
mod postgres {
    use db_testkit::TestDb;

    use crate::support::assert_drift;

    const TRIGGER: &str = "\
        CREATE TABLE t (a INTEGER, b TEXT);
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.b = ''x''; RETURN NEW; END';
        CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch();";

    #[track_caller]
    fn check(setup: &str, change: &str, expected: &[&str]) {
        assert_drift(&mut TestDb::postgres().connect(), setup, change, expected);
    }

    #[test]
    fn columns_change_in_place() {
        let setup = "CREATE TABLE t (a INTEGER, b TEXT, c INTEGER)";
        for (change, column) in [
            ("ALTER TABLE t ALTER a TYPE bigint", "a"),
            ("ALTER TABLE t ALTER a SET NOT NULL", "a"),
            ("ALTER TABLE t ALTER b SET DEFAULT 'x'", "b"),
            ("ALTER TABLE t ALTER b TYPE varchar(10)", "b"),
            ("ALTER TABLE t ALTER b TYPE text COLLATE \"C\"", "b"),
            (
                "ALTER TABLE t ALTER c SET NOT NULL, ALTER c ADD GENERATED ALWAYS AS IDENTITY",
                "c",
            ),
        ] {
            let found = crate::support::drift(&mut TestDb::postgres().connect(), setup, change);
            let start = format!("column t.{column}: changed: ");
            assert!(
                found.iter().any(|line| line.starts_with(&start)),
                "{change}: {found:#?}"
            );
        }
    }

    #[test]
    fn the_body_of_a_function_counts() {
        let change = "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN NEW.b = ''y''; RETURN NEW; END'";
        check(TRIGGER, change, &["function touch(): changed: "]);
    }

    #[test]
    fn a_disabled_trigger_counts() {
        check(
            TRIGGER,
            "ALTER TABLE t DISABLE TRIGGER tr",
            &["trigger t.tr: changed: "],
        );
    }

    #[test]
    fn a_disabled_foreign_key_counts() {
        let setup = "CREATE TABLE p (id INTEGER PRIMARY KEY);
            CREATE TABLE t (a INTEGER CONSTRAINT fk_t REFERENCES p)";
        check(
            setup,
            "ALTER TABLE t DISABLE TRIGGER ALL",
            &[
                "trigger t.\"fk_t/\"\"RI_FKey_check_ins\"\"\": added: ",
                "trigger t.\"fk_t/\"\"RI_FKey_check_upd\"\"\": added: ",
            ],
        );
    }

    #[test]
    fn the_labels_of_an_enum_count() {
        let setup = "CREATE TYPE mood AS ENUM ('sad', 'happy')";
        check(
            setup,
            "ALTER TYPE mood ADD VALUE 'ok' BEFORE 'happy'",
            &[
                "type mood: changed: expected ENUM ('sad', 'happy'), found ENUM ('sad', 'ok', 'happy')",
            ],
        );
    }

    #[test]
    fn an_invalid_index_counts() {
        let setup = "CREATE TABLE t (a INTEGER); CREATE INDEX i ON t (a)";
        let change = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass";
        check(setup, change, &["index i: changed: "]);
    }

    #[test]
    fn policies_and_row_security_count() {
        let setup = "CREATE TABLE t (a INTEGER); CREATE POLICY p ON t USING (a > 0)";
        let change = "ALTER POLICY p ON t USING (a > 1); ALTER TABLE t ENABLE ROW LEVEL SECURITY";
        check(
            setup,
            change,
            &["table t: changed: ", "policy t.p: changed: "],
        );
    }

    #[test]
    fn comments_count() {
        let setup = "CREATE TABLE t (a INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT a FROM t;
            CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        let change = "COMMENT ON TABLE t IS 'things'; COMMENT ON COLUMN t.a IS 'which';
            COMMENT ON VIEW v IS 'a view'; COMMENT ON FUNCTION f() IS 'one';
            COMMENT ON CONSTRAINT t_pkey ON t IS 'key'; COMMENT ON INDEX t_pkey IS 'index'";
        check(
            setup,
            change,
            &[
                "comment on column t.a: added: which",
                "comment on constraint t.t_pkey: added: key",
                "comment on function f(): added: one",
                "comment on index t_pkey: added: index",
                "comment on table t: added: things",
                "comment on view v: added: a view",
            ],
        );
    }

    #[test]
    fn what_a_migration_can_create_is_seen() {
        let change = "
            CREATE SCHEMA other; CREATE UNLOGGED TABLE other.u (a INTEGER);
            CREATE SEQUENCE s INCREMENT 5; CREATE DOMAIN positive AS INTEGER CHECK (VALUE > 0);
            CREATE TYPE pair AS (x INTEGER, y TEXT); CREATE TYPE span AS RANGE (subtype = float8);
            CREATE TABLE m (a INTEGER, b positive) PARTITION BY RANGE (a);
            CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (10);
            CREATE TABLE child (c TEXT) INHERITS (other.u);
            CREATE MATERIALIZED VIEW mv AS SELECT a FROM m;
            CREATE RULE r AS ON DELETE TO m1 DO INSTEAD NOTHING;
            CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
            CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
            CREATE STATISTICS st ON a, b FROM m1;
            CREATE COLLATION german (provider = icu, locale = 'de');
            CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
            CREATE FUNCTION ev() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER et ON sql_drop EXECUTE FUNCTION ev();";
        check(
            "SELECT 1",
            change,
            &[
                "schema other: added: ",
                "type pair: added: COMPOSITE (x integer, y text)",
                "type positive: added: DOMAIN integer CONSTRAINT positive_check CHECK ((VALUE > 0))",
                "type span: added: RANGE OF double precision",
                "sequence s: added: AS bigint START 1 INCREMENT 5",
                "table child: added: columns (a, c)\nINHERITS other.u",
                "table m: added: columns (a, b)\nPARTITION BY RANGE (a)",
                "table m1: added: columns (a, b)\nPARTITION FOR VALUES FROM (0) TO (10)\nOF m",
                "table other.u: added: columns (a)\nUNLOGGED",
                "materialized view mv: added: ",
                "function ev(): added: ",
                "function p(): added: PROCEDURE",
                "function total(integer): added: AGGREGATE",
                "event trigger et: added: ",
                "collation german: added: ",
                "operator ===(integer, integer): added: ",
                "statistics st: added: ",
            ],
        );
    }

    #[test]
    fn functions_of_the_ledger_do_not_count() {
        let change = "CREATE TABLE __db_migrate_log (a INTEGER);
            CREATE FUNCTION __db_migrate_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE TRIGGER refuse BEFORE DELETE ON __db_migrate_log
              FOR EACH ROW EXECUTE FUNCTION __db_migrate_refuse();
            COMMENT ON FUNCTION __db_migrate_refuse() IS 'ours'";
        check("SELECT 1", change, &[]);
    }

    #[test]
    fn temporary_tables_and_grants_do_not_count() {
        let setup = "CREATE TABLE t (a INTEGER)";
        let change = "CREATE TEMP TABLE t (b TEXT); GRANT SELECT ON public.t TO public";
        check(setup, change, &[]);
    }
}

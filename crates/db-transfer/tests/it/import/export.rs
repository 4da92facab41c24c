//! Out, in, and out again: the same bytes.

use db_core::Engine;
use db_testkit::{TestDb, both_engines};
use db_transfer::export::Form as Out;
use db_transfer::format::{Form, Input};
use db_transfer::import::Import;

use super::Place;
use crate::export::{exported, exported_csv};

/// Names and types that are awkward, parents that come after children by name.
fn schema(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "CREATE TABLE \"z select\" (id INTEGER PRIMARY KEY, \"a \"\"b\"\"\" TEXT, r REAL, b BLOB, n NUMERIC);
             CREATE TABLE \"a,child\" (k TEXT, z INTEGER REFERENCES \"z select\" (id), PRIMARY KEY (k)) WITHOUT ROWID;
             CREATE TABLE s (id INTEGER PRIMARY KEY AUTOINCREMENT, t ANY) STRICT"
        }
        Engine::Postgres => {
            "CREATE SCHEMA \"s.x\"; CREATE TYPE mood AS ENUM ('sad', 'o k');
             CREATE TABLE \"z select\" (id bigint PRIMARY KEY, \"a \"\"b\"\"\" text, r double precision, b bytea, n numeric);
             CREATE TABLE \"a,child\" (k varchar(20) PRIMARY KEY, z bigint REFERENCES \"z select\" (id));
             CREATE TABLE \"s.x\".s (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t timestamptz, j jsonb,
               m mood[], b boolean, i interval, f real)"
        }
    }
}

fn rows(engine: Engine) -> String {
    let common = "INSERT INTO \"z select\" VALUES (1, '', 0.1, NULL, 5), (2, 'l1' || chr(13) || chr(10) || '\"x\",', -1e300, NULL, 0.5),
        (3, '=1+1', 5e-324, NULL, NULL), (9223372036854775807, NULL, NULL, NULL, 12345678901);
        INSERT INTO \"a,child\" VALUES ('\\N', 1), ('\\x00', 9223372036854775807), (' ü ', NULL);";
    match engine {
        Engine::Sqlite => format!(
            "{} UPDATE \"z select\" SET b = x'00ff' WHERE id = 1; UPDATE \"z select\" SET b = x'' WHERE id = 2;
             INSERT INTO s VALUES (7, 'text'), (8, 1), (9, 1.5), (10, x'01'), (11, NULL)",
            common.replace("chr(", "char(")
        ),
        Engine::Postgres => format!(
            "{common} UPDATE \"z select\" SET b = '\\x00ff' WHERE id = 1; UPDATE \"z select\" SET b = '', r = 'NaN' WHERE id = 2;
             INSERT INTO \"s.x\".s (t, j, m, b, i, f) VALUES ('1883-01-01 12:00:00.000001+00', '{{\"$blob\": \"00\"}}', '{{sad,NULL,\"o k\"}}', true, '1 mon -3 days', 0.1),
               ('infinity', 'null', '{{}}', false, NULL, '-Infinity'), (NULL, '\"text\"', NULL, NULL, '0', 1e-30)"
        ),
    }
}

fn engine(db: &TestDb) -> Engine {
    if db.url().starts_with("postgres") {
        Engine::Postgres
    } else {
        Engine::Sqlite
    }
}

fn same_engine(engine: Engine) -> TestDb {
    match engine {
        Engine::Sqlite => TestDb::sqlite(),
        Engine::Postgres => TestDb::postgres(),
    }
}

both_engines! {
    fn json_and_lines_come_back_byte_by_byte(db: TestDb) {
        let engine = engine(&db);
        let source = Place::new(db, schema(engine));
        source.execute(&rows(engine));
        for (out, form) in [(Out::Json, Form::Json), (Out::Ndjson, Form::Ndjson)] {
            let written = exported(&source.db, out);
            let target = Place::new(same_engine(engine), schema(engine));
            target.run(&target.import("all", &written).form(Some(form))).unwrap();
            let again = exported(&target.db, out);
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&written));
        }
    }

    fn csv_comes_back_byte_by_byte(db: TestDb) {
        let engine = engine(&db);
        let source = Place::new(db, schema(engine));
        source.execute(&rows(engine));
        let (written, _) = exported_csv(&source.db);
        let target = Place::new(same_engine(engine), schema(engine));
        for (name, text) in &written {
            target.file(name, text);
        }
        target.run(&Import::new(Input::File(target.dir.path().to_owned()))).unwrap();
        let (again, _) = exported_csv(&target.db);
        assert_eq!(again, written);
    }

    fn a_script_comes_back_byte_by_byte(db: TestDb) {
        let engine = engine(&db);
        let source = Place::new(db, schema(engine));
        source.execute(&rows(engine));
        let written = exported(&source.db, Out::Sql);
        let target = Place::new(same_engine(engine), "SELECT 1");
        target.run(&target.import("all.sql", &written)).unwrap();
        let again = exported(&target.db, Out::Sql);
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            // pg_dump makes a new key each time.
            text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(text(&again), text(&written));
    }
}

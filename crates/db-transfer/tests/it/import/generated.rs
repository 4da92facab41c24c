//! Any database goes out, in, and out again: the same bytes, in every form.

use db_core::Engine;
use db_testkit::TestDb;
use db_transfer::export::{Form as Out, Options};
use db_transfer::format::{Form, Input};
use db_transfer::import::Import;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::Place;
use crate::export::{exported_csv_with, exported_with};
use crate::generated::sqlite::Values;
use crate::generated::{each, postgres, quoted, sqlite};

fn run(place: &Place, import: &Import) -> Result<(), TestCaseError> {
    let done = place.run(import);
    done.map(drop)
        .map_err(|error| TestCaseError::fail(error.to_string()))
}

/// A script without the key that `pg_dump` makes anew each time.
fn text(script: &[u8]) -> String {
    let text = String::from_utf8_lossy(script).into_owned();
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    lines.collect::<Vec<_>>().join("\n")
}

/// Takes every row away.
fn clear(place: &Place) {
    let tables = match place.engine() {
        Engine::Sqlite => {
            "SELECT '', name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        }
        Engine::Postgres => {
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')"
        }
    };
    let tables = place.rows(tables);
    if tables.is_empty() {
        return;
    }
    let delete = |row: &Vec<String>| match place.engine() {
        Engine::Sqlite => format!("DELETE FROM {};", quoted(&row[1])),
        Engine::Postgres => format!("TRUNCATE {}.{} CASCADE;", quoted(&row[0]), quoted(&row[1])),
    };
    let all: String = tables.iter().map(delete).collect();
    match place.engine() {
        Engine::Sqlite => place.execute(&format!("PRAGMA foreign_keys = OFF; {all}")),
        Engine::Postgres => place.execute(&all),
    }
}

/// Exports, imports into a database without rows, and exports again, in every form.
pub(crate) fn comes_back(source: &TestDb, has_csv: bool) -> Result<(), TestCaseError> {
    trip(source, has_csv, false)
}

/// The same in the order of the keys: a server may store the rows of larger tables in another order than
/// that in which they came.
pub(crate) fn comes_back_sorted(source: &TestDb) -> Result<(), TestCaseError> {
    trip(source, true, true)
}

fn trip(source: &TestDb, has_csv: bool, sorted: bool) -> Result<(), TestCaseError> {
    let target = Place::new(TestDb::new(source.engine()), "SELECT 1");
    let out = |db: &TestDb, form| {
        let form = Some(form);
        let options = Options {
            form,
            sorted,
            ..Options::default()
        };
        exported_with(db, &options).0
    };
    let script = out(source, Out::Sql);
    run(&target, &target.import("all.sql", &script).validate(true))?;
    prop_assert_eq!(text(&out(&target.db, Out::Sql)), text(&script));
    for (form, read) in [(Out::Json, Form::Json), (Out::Ndjson, Form::Ndjson)] {
        clear(&target);
        let written = out(source, form);
        let import = target.import("all", &written).form(Some(read));
        // SQLite keeps any value in any column.
        let is_typed = has_csv || source.engine() == Engine::Postgres;
        run(&target, &import.validate(is_typed))?;
        let again = out(&target.db, form);
        prop_assert_eq!(
            String::from_utf8_lossy(&again),
            String::from_utf8_lossy(&written)
        );
    }
    if !has_csv {
        return Ok(());
    }
    clear(&target);
    let (written, _) = exported_csv_with(source, sorted);
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in &written {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    if !written.is_empty() {
        let folder = Input::File(folder.path().to_owned());
        run(&target, &Import::new(folder))?;
    }
    let (again, _) = exported_csv_with(&target.db, sorted);
    prop_assert_eq!(again, written);
    Ok(())
}

/// `BITCRAPS_TEST_TRIPS` asks for more.
#[test]
fn any_values_come_back_from_sql_and_json() {
    each(("TRIPS", 60), sqlite::database(Values::Any), |tables| {
        let source = TestDb::sqlite();
        sqlite::fill(&source, &tables);
        comes_back(&source, false)
    });
}

#[test]
fn any_database_comes_back_from_every_form() {
    each(
        ("TRIPS", 60),
        sqlite::database(Values::Declared),
        |tables| {
            let source = TestDb::sqlite();
            sqlite::fill(&source, &tables);
            comes_back(&source, true)
        },
    );
}

#[test]
fn any_database_comes_back_from_every_form_postgres() {
    each(("TRIPS", 16), postgres::database(), |tables| {
        let source = Place::new(TestDb::postgres(), &postgres::schema(&tables));
        source.execute(&postgres::rows(&tables));
        comes_back(&source.db, true)
    });
}

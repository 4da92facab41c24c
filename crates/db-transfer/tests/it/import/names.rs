//! Names are names, whatever they say: row 36.

use db_core::Engine;
use db_testkit::{TestDb, both_engines, size};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Place;

/// Everything of the schema but the table that the test makes.
const WITNESS: &str = "CREATE TABLE witness (a INTEGER); INSERT INTO witness VALUES (1)";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn csv(name: &str) -> String {
    quoted(name)
}

/// Names that mean something in SQL, in CSV, or to people.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z\"';,()\\[\\]`$%\\\\ .=@\n-]{1,16}",
        "\\PC{1,12}",
        Just("\"; DROP TABLE witness; --".to_owned()),
        Just("a) VALUES (1); DELETE FROM witness; --".to_owned()),
        Just("=1+1".to_owned()),
        Just("select".to_owned()),
        Just("x' || (SELECT 1) || '".to_owned()),
        Just("COPY t TO PROGRAM 'id'".to_owned()),
    ]
    .prop_filter("an engine's own limits", |name| {
        name.len() <= 60 && !name.contains('\0') && !name.starts_with("sqlite_")
    })
}

both_engines! {
    fn names_run_no_statement(db: TestDb) {
        let place = Place::new(db, WITNESS);
        let cases = u32::try_from(size("NAMES", 60)).unwrap();
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let names = (any_name(), any_name(), any_name())
            .prop_filter("columns differ", |(_, a, b)| !a.eq_ignore_ascii_case(b) && a.to_lowercase() != b.to_lowercase());
        runner.run(&names, |(table, key, value)| {
            let name = quoted(&table);
            place.execute(&format!(
                "DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({} INTEGER PRIMARY KEY, {} TEXT)",
                quoted(&key), quoted(&value)
            ));
            let before = catalog(&place);
            let text = format!("{},{}\n1,{}\n", csv(&key), csv(&value), csv(&value));
            let import = place.import("f.csv", text).tables(Some(table.clone()));
            for policy in [db_transfer::import::OnConflict::Error, db_transfer::import::OnConflict::Update] {
                place.run(&import.clone().on_conflict(policy)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            }
            prop_assert_eq!(place.rows(&format!("SELECT * FROM {name}")), vec![vec!["1".to_owned(), value.clone()]]);
            // A header that names no column is refused, and runs nothing either.
            let wrong = place.import("f.csv", format!("{}\n1\n", csv(&format!("{value}x")))).tables(Some(table));
            prop_assert!(place.run(&wrong).is_err());
            prop_assert_eq!(catalog(&place), before);
            prop_assert_eq!(place.rows("SELECT * FROM witness"), vec![vec!["1".to_owned()]]);
            place.execute(&format!("DROP TABLE {name}"));
            Ok(())
        }).unwrap();
    }
}

/// Every object that there is.
fn catalog(place: &Place) -> Vec<Vec<String>> {
    match place.engine() {
        Engine::Sqlite => place.rows("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"),
        Engine::Postgres => place.rows(
            "SELECT c.oid, c.relname, c.relkind, (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid) \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname NOT LIKE 'pg!_%' ESCAPE '!' ORDER BY 1",
        ),
    }
}

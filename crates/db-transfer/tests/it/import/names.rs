//! Names are names, whatever they say: row 36.

use std::collections::HashSet;
use std::ops::RangeInclusive;

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

/// The longest name, in bytes, that both engines keep whole.
const LONGEST: usize = 60;

/// Columns that a table has, and has on the average.
const COLUMNS: RangeInclusive<usize> = 2..=98;
const MEAN_COLUMNS: u64 = 50;

/// Names of the columns of one table, which differ by more than their case.
fn columns() -> impl Strategy<Value = Vec<String>> {
    let any = proptest::collection::vec(any_name(), COLUMNS);
    let differ = any.prop_map(|mut names| {
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.to_lowercase()));
        names
    });
    differ.prop_filter("a key and a value", |names| names.len() > 1)
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
        name.len() <= LONGEST && !name.contains('\0') && !name.starts_with("sqlite_")
    })
}

both_engines! {
    fn names_run_no_statement(db: TestDb) {
        let place = Place::new(db, WITNESS);
        let cases = u32::try_from(size("NAMES", 3000) / MEAN_COLUMNS).unwrap();
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        runner.run(&(any_name(), columns()), |(table, columns)| {
            let name = quoted(&table);
            let (key, values) = columns.split_first().unwrap();
            let texts: Vec<String> = values.iter().map(|value| format!("{} TEXT", quoted(value))).collect();
            place.execute(&format!(
                "DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({} INTEGER PRIMARY KEY, {})", quoted(key), texts.join(", ")
            ));
            let before = catalog(&place);
            let row: Vec<String> = values.iter().map(|value| csv(value)).collect();
            let row = row.join(",");
            let text = format!("{},{row}\n1,{row}\n", csv(key));
            let import = place.import("f.csv", text).tables(Some(table.clone()));
            for policy in [db_transfer::import::OnConflict::Error, db_transfer::import::OnConflict::Update] {
                place.run(&import.clone().on_conflict(policy)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            }
            let stored = place.rows(&format!("SELECT * FROM {name}"));
            prop_assert_eq!(&stored[0][0], "1");
            prop_assert_eq!((&stored[0][1..], stored.len()), (values, 1));
            // A header that names no column is refused, and runs nothing either.
            let wrong = place.import("f.csv", format!("{}\n1\n", csv(&format!("{key}{}", "x".repeat(LONGEST))))).tables(Some(table));
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

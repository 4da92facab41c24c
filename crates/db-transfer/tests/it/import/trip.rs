//! What is written is what was in the file, for any rows.

use db_core::bulk::{CellRef, SqliteBulk};
use db_core::{Access, Engine, Interrupt};
use db_testkit::{TestDb, both_engines, size};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::Place;
use crate::generated::sqlite::{Cell, any_cell};

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// As an export writes it.
fn json(cell: &Cell) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Integer(value) => value.to_string(),
        Cell::Real(value) if value.is_infinite() => {
            format!(
                "{{\"$real\":\"{}Infinity\"}}",
                if *value < 0.0 { "-" } else { "" }
            )
        }
        Cell::Real(value) => format!("{value:?}"),
        Cell::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => serde_json::to_string(text).unwrap(),
            Err(_) => format!("{{\"$text\":\"{}\"}}", hex(bytes)),
        },
        Cell::Blob(bytes) => format!("{{\"$blob\":\"{}\"}}", hex(bytes)),
    }
}

/// Rows of every storage class, in columns of any type, arrive bit by bit.
#[test]
fn every_storage_class_comes_back_from_json() {
    let place = Place::new(
        TestDb::sqlite(),
        "CREATE TABLE t (n INTEGER PRIMARY KEY, a, b, c)",
    );
    let cases = u32::try_from(size("TRIPS", 60)).unwrap();
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let rows = prop::collection::vec(prop::array::uniform3(any_cell()), 1..8);
    runner
        .run(&(rows, any::<bool>()), |(rows, lines)| {
            place.execute("DELETE FROM t");
            let text: Vec<_> = rows
                .iter()
                .enumerate()
                .map(|(n, [a, b, c])| {
                    format!(
                        "{{\"n\":{n},\"a\":{},\"b\":{},\"c\":{}}}",
                        json(a),
                        json(b),
                        json(c)
                    )
                })
                .collect();
            let import = if lines {
                place.import("t.ndjson", text.join("\n"))
            } else {
                place.import("t.json", format!("[{}]", text.join(",")))
            };
            place
                .run(&import.validate(false))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let bulk =
                SqliteBulk::open(&place.url(), Access::ReadOnly, None, &Interrupt::default())
                    .unwrap();
            let mut query = bulk.prepare("SELECT a, b, c FROM t ORDER BY n").unwrap();
            for row in &rows {
                prop_assert!(query.step().unwrap());
                for (index, wanted) in row.iter().enumerate() {
                    let found = match query.cell(index).unwrap() {
                        CellRef::Null => Cell::Null,
                        CellRef::Integer(value) => Cell::Integer(value),
                        CellRef::Real(value) => Cell::Real(value),
                        CellRef::Text(bytes) => Cell::Text(bytes.to_vec()),
                        CellRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
                    };
                    prop_assert_eq!(&found, wanted);
                }
            }
            Ok(())
        })
        .unwrap();
}

both_engines! {
    /// Texts and numbers of CSV arrive as they are, on both engines and under each policy.
    fn rows_of_csv_come_as_they_are(db: TestDb) {
        let real = if db.url().starts_with("postgres") { "double precision" } else { "REAL" };
        let place = Place::new(db, &format!("CREATE TABLE t (n BIGINT PRIMARY KEY, a TEXT, b BIGINT, c {real})"));
        let cases = u32::try_from(size("TRIPS", 40)).unwrap();
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let row = (prop::option::of("[^\0]{0,8}"), prop::option::of(any::<i64>()),
                   prop::option::of(any::<f64>().prop_filter("finite", |f| f.is_finite())));
        runner.run(&prop::collection::vec(row, 1..10), |rows| {
            place.execute("DELETE FROM t");
            let mut text = "n,a,b,c\r\n".to_owned();
            for (n, (a, b, c)) in rows.iter().enumerate() {
                let a = a.as_ref().map_or_else(String::new, |a| format!("\"{}\"", a.replace('"', "\"\"")));
                let b = b.map_or_else(String::new, |b| b.to_string());
                let c = c.map_or_else(String::new, |c| format!("{c:e}"));
                text = text + &[n.to_string(), a, b, c].join(",") + "\r\n";
            }
            for policy in [db_transfer::import::OnConflict::Error, db_transfer::import::OnConflict::Update] {
                place.run(&place.import("t.csv", &text).on_conflict(policy))
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
            }
            let found = place.rows("SELECT a, b, c FROM t ORDER BY n");
            for (found, (a, b, c)) in found.iter().zip(&rows) {
                let null = || "NULL".to_owned();
                prop_assert_eq!(&found[0], &a.clone().unwrap_or_else(null));
                prop_assert_eq!(&found[1], &b.map_or_else(null, |b| b.to_string()));
                let read = found[2].parse::<f64>().ok();
                // SQLite keeps no sign of zero in a REAL column.
                prop_assert_eq!(read, *c, "{:?}", found[2]);
            }
            prop_assert_eq!(found.len(), rows.len());
            Ok(())
        }).unwrap();
        assert_eq!(place.engine() == Engine::Postgres, place.url().engine() == Engine::Postgres);
    }
}

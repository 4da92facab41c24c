//! The committed `table!` declarations against what the migrations build.

use std::fs;
use std::path::PathBuf;

use db_core::Engine;
use db_migrate::catalog::model::{LogicalType, Model, Storage, Table};
use db_migrate::catalog::parity::{has_lower_bound, has_upper_bound};

use super::Finding;
use super::declared::{self, DeclaredTable};

/// What PostgreSQL has no table for, and so no declaration that is generated.
const BY_HAND: [&str; 1] = ["audit_context"];

/// The file that holds the declarations.
#[must_use]
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("db-schema")
        .join("src/schema.rs")
}

/// All checks of the committed declarations.
///
/// # Panics
/// If the file cannot be read.
#[must_use]
pub fn check(sqlite: &Model, postgres: &Model) -> Vec<Finding> {
    let path = path();
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let mut found = is_generated(&text, postgres);
    let declared = declared::read(&text);
    for (engine, model) in [(Engine::Sqlite, sqlite), (Engine::Postgres, postgres)] {
        let findings = fits(&declared, engine, model);
        found.extend(findings.into_iter().map(|f| f.on(engine)));
    }
    found
}

/// Whether the text is what the generator writes.
#[must_use]
pub fn is_generated(text: &str, postgres: &Model) -> Vec<Finding> {
    let fresh = match declared::write(postgres) {
        Ok(fresh) => fresh,
        Err(problems) => return problems,
    };
    // A checkout may have changed the line ends.
    let text = text.replace("\r\n", "\n");
    if text == fresh {
        return Vec::new();
    }
    let line = text
        .lines()
        .zip(fresh.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| text.lines().count().min(fresh.lines().count()));
    vec![Finding::new(
        "crates/db-schema/src/schema.rs",
        format!(
            "line {} is not what the migrations give; run `cargo xtask schema generate`",
            line + 1
        ),
    )]
}

/// Whether the declarations fit the live tables of one engine: names, order, keys, types,
/// nullability.
#[must_use]
pub fn fits(declared: &[DeclaredTable], engine: Engine, model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for table in declared {
        match model.table(&table.name) {
            Some(live) => table_fits(table, engine, live, &mut found),
            None => found.push(Finding::new(
                format!("table {}", table.name),
                "it is declared, but does not exist",
            )),
        }
    }
    for live in &model.tables {
        let known = declared.iter().any(|table| table.name == live.name);
        let by_hand = engine == Engine::Sqlite && BY_HAND.contains(&live.name.as_str());
        if !known && !by_hand {
            found.push(Finding::new(
                format!("table {}", live.name),
                "it is not declared",
            ));
        }
    }
    found
}

fn table_fits(table: &DeclaredTable, engine: Engine, live_table: &Table, found: &mut Vec<Finding>) {
    let subject = format!("table {}", table.name);
    let names: Vec<_> = table.columns.iter().map(|c| c.name.as_str()).collect();
    let live_names: Vec<_> = live_table.columns.iter().map(|c| c.name.as_str()).collect();
    if names != live_names {
        found.push(Finding::new(
            &subject,
            format!(
                "declared are the columns {}, there are {}",
                names.join(", "),
                live_names.join(", ")
            ),
        ));
    }
    let key = live_table
        .primary_key
        .as_ref()
        .map_or(&[][..], |key| &key.columns);
    if table.primary_key != key {
        found.push(Finding::new(
            &subject,
            format!(
                "declared is the key ({}), it is ({})",
                table.primary_key.join(", "),
                key.join(", ")
            ),
        ));
    }
    for column in &table.columns {
        let Some(live) = live_table.column(&column.name) else {
            continue;
        };
        let subject = format!("column {}.{}", table.name, column.name);
        let fits = match engine {
            Engine::Postgres => {
                declared::sql_type(&live.logical_type) == Some(column.sql_type.as_str())
            }
            Engine::Sqlite => storage(&column.sql_type) == Some(live.logical_type.storage()),
        };
        if !fits {
            found.push(Finding::new(
                &subject,
                format!(
                    "declared is {}, it is {}",
                    column.sql_type, live.declared_type
                ),
            ));
        }
        if engine == Engine::Sqlite {
            if column.sql_type == "Integer" {
                found.extend(unbounded(live_table, &column.name));
            }
            found.extend(unguarded(&column.sql_type, live_table, &column.name));
        }
        if column.nullable != live.nullable {
            let word = |nullable| if nullable { "nullable" } else { "not nullable" };
            found.push(Finding::new(
                &subject,
                format!(
                    "declared {}, it is {}",
                    word(column.nullable),
                    word(live.nullable)
                ),
            ));
        }
    }
}

/// What SQLite's storage would let pass, and a check has to refuse: text that is no JSON, numbers
/// that are no truth value.
fn unguarded(sql_type: &str, table: &Table, column: &str) -> Option<Finding> {
    let (suffix, part) = match sql_type {
        "JsonDoc" => ("json", "json_valid"),
        "Bool" => ("bool", column),
        _ => return None,
    };
    let name = format!("ck_{}_{column}_{suffix}", table.name);
    let guarded = table.checks.iter().any(|check| {
        check.name.as_deref() == Some(name.as_str()) && check.expression.contains(part)
    });
    (!guarded).then(|| {
        Finding::new(
            format!("column {}.{column}", table.name),
            format!("{sql_type} needs the check {name}"),
        )
    })
}

/// An INTEGER of SQLite holds 64 bits: what Rust reads into 32 has to be bounded, or one row that was
/// written by hand makes the table unreadable.
fn unbounded(table: &Table, column: &str) -> Option<Finding> {
    let checks = || table.checks.iter().map(|check| check.expression.as_str());
    let bounded = checks().any(|check| has_upper_bound(check, column, i32::MAX.into()))
        && checks().any(|check| has_lower_bound(check, column));
    (!bounded).then(|| {
        Finding::new(
            format!("column {}.{column}", table.name),
            "Integer needs a check with a lower and an upper bound",
        )
    })
}

/// How SQLite stores a SQL type.
fn storage(sql_type: &str) -> Option<Storage> {
    let meanings = [
        LogicalType::SmallInt,
        LogicalType::Integer,
        LogicalType::BigInt,
        LogicalType::Float,
        LogicalType::Real,
        LogicalType::Text,
        LogicalType::Blob,
        LogicalType::Bool,
        LogicalType::Timestamp,
        LogicalType::Json,
    ];
    meanings
        .iter()
        .find(|meaning| declared::sql_type(meaning) == Some(sql_type))
        .map(LogicalType::storage)
}

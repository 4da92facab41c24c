//! A script, split and looked over before anything runs.

use db_core::Engine;

use crate::error::Error;
use crate::sql::{Facts, Statement, facts, split};

/// A statement with what the runner has to know about it.
#[derive(Debug, Clone)]
pub(crate) struct Prepared<'s> {
    pub(crate) statement: Statement<'s>,
    pub(crate) facts: Facts,
}

/// What a script may hold, as its migration's options say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) in_transaction: bool,
}

/// Splits a script and refuses what would silently do something else than it says.
pub(crate) fn prepare<'s>(
    engine: Engine,
    file: &str,
    sql: &'s str,
    rules: Rules,
) -> Result<Vec<Prepared<'s>>, Error> {
    let statements = split(engine, sql).map_err(|e| Error::Script {
        place: format!("{file}:{}", e.line),
        reason: e.problem.to_string(),
    })?;
    let mut prepared: Vec<_> = statements
        .into_iter()
        .map(|statement| Prepared {
            facts: facts(engine, statement.text),
            statement,
        })
        .collect();
    if rules.in_transaction && engine == Engine::Postgres {
        drop_outer_transaction(&mut prepared);
    }
    for p in &prepared {
        if let Some(reason) = refusal(p, engine, rules) {
            return Err(Error::Script {
                place: format!("{file}:{}", p.statement.line),
                reason,
            });
        }
    }
    Ok(prepared)
}

/// `BEGIN; …; COMMIT;` around a whole script says what the runner does anyway. With Diesel, the
/// COMMIT ends the transaction that was to hold the ledger's row.
fn drop_outer_transaction(prepared: &mut Vec<Prepared<'_>>) {
    let word = |at: Option<&Prepared<'_>>| {
        at.filter(|p| p.facts.controls_transaction)
            .map(|p| p.statement.text.to_ascii_lowercase())
            .unwrap_or_default()
    };
    let (first, last) = (word(prepared.first()), word(prepared.last()));
    let begins = first.starts_with("begin") || first.starts_with("start");
    let ends = last.starts_with("commit") || last.starts_with("end");
    if begins && ends && prepared.len() > 1 {
        prepared.pop();
        prepared.remove(0);
    }
}

/// Whether a script asks for SQLite's foreign keys to be off.
///
/// The pragma does nothing inside a transaction, so that with diesel_cli rebuilding a parent table
/// deletes its children by cascade. What its author meant is done instead: they are switched off
/// around the migration (docs/adr/0014).
pub(crate) fn asks_for_foreign_keys_off(prepared: &[Prepared<'_>]) -> bool {
    prepared.iter().any(|p| {
        let value = p
            .statement
            .text
            .rsplit(['=', '('])
            .next()
            .unwrap_or_default();
        let word: String = value
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        p.facts.sets_foreign_keys && ["off", "0", "false", "no"].contains(&word.as_str())
    })
}

fn refusal(prepared: &Prepared<'_>, engine: Engine, rules: Rules) -> Option<String> {
    let facts = &prepared.facts;
    if rules.in_transaction && facts.controls_transaction && !is_savepoint(prepared) {
        return Some(format!(
            "{} inside a migration would end the transaction that holds its ledger row; remove \
             it, or write run_in_transaction = false into metadata.toml",
            first_words(prepared.statement.text)
        ));
    }
    (engine == Engine::Postgres && rules.in_transaction && facts.refuses_transaction).then(|| {
        format!(
            "{} cannot run inside a transaction; put it into a migration of its own with \
             run_in_transaction = false in metadata.toml",
            first_words(prepared.statement.text)
        )
    })
}

/// Savepoints nest inside the migration's transaction and leave it alone.
fn is_savepoint(prepared: &Prepared<'_>) -> bool {
    let words: Vec<String> = prepared
        .statement
        .text
        .split_ascii_whitespace()
        .map(str::to_ascii_lowercase)
        .collect();
    match words.first().map(String::as_str) {
        Some("savepoint" | "release") => true,
        Some("rollback") => words.iter().any(|w| w == "to"),
        _ => false,
    }
}

/// The first words of a statement, for messages.
fn first_words(text: &str) -> String {
    text.split_ascii_whitespace()
        .take(4)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(engine: Engine, sql: &str, in_transaction: bool) -> Option<String> {
        let rules = Rules { in_transaction };
        prepare(engine, "up.sql", sql, rules)
            .err()
            .map(|e| e.to_string())
    }

    #[test]
    fn what_would_silently_do_something_else_is_refused() {
        for (engine, sql, part) in [
            (
                Engine::Sqlite,
                "BEGIN; SELECT 1; COMMIT",
                "BEGIN inside a migration",
            ),
            (
                Engine::Postgres,
                "SELECT 1; COMMIT; SELECT 2",
                "COMMIT inside a migration",
            ),
            (
                Engine::Postgres,
                "CREATE INDEX CONCURRENTLY i ON t (x)",
                "CREATE INDEX CONCURRENTLY i cannot run inside",
            ),
            (Engine::Postgres, "COPY t FROM STDIN;", "up.sql:1"),
        ] {
            let error = refused(engine, sql, true).unwrap_or_default();
            assert!(error.contains(part), "{sql}: {error}");
        }
    }

    #[test]
    fn a_wish_for_no_foreign_keys_is_understood() {
        for (sql, wish) in [
            ("PRAGMA foreign_keys = OFF", true),
            ("pragma main.foreign_keys(0);", true),
            ("PRAGMA foreign_keys='no'", true),
            ("PRAGMA foreign_keys = ON", false),
            ("PRAGMA foreign_keys", false),
            ("SELECT 'PRAGMA foreign_keys = OFF'", false),
        ] {
            let rules = Rules {
                in_transaction: true,
            };
            let prepared = prepare(Engine::Sqlite, "up.sql", sql, rules).unwrap();
            assert_eq!(asks_for_foreign_keys_off(&prepared), wish, "{sql}");
        }
    }

    #[test]
    fn what_is_meant_well_passes() {
        for (engine, sql, in_transaction) in [
            (Engine::Postgres, "BEGIN; SELECT 1; COMMIT;", true),
            (
                Engine::Postgres,
                "SAVEPOINT a; ROLLBACK TO a; RELEASE a",
                true,
            ),
            (
                Engine::Postgres,
                "CREATE INDEX CONCURRENTLY i ON t (x)",
                false,
            ),
            (Engine::Sqlite, "PRAGMA foreign_keys = OFF", false),
            (Engine::Sqlite, "PRAGMA foreign_keys", true),
        ] {
            assert_eq!(refused(engine, sql, in_transaction), None, "{sql}");
        }
        let rules = Rules {
            in_transaction: true,
        };
        let kept = prepare(Engine::Postgres, "up.sql", "BEGIN; SELECT 1; END", rules).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].statement.text, "SELECT 1");
    }
}

//! The small migrations that every tool runs: the same statements, the same order.
//!
//! Five kinds in turn, on one table per round: a table with an index, a column, an index on it,
//! rows, a trigger. That is what the folders of real projects consist of, and it keeps any one
//! tool from being judged by one kind of statement. Nothing is random, so two runs compare.

use db_core::Engine;

/// How many migrations the cases use.
pub(crate) const COUNT: usize = 300;

/// How many kinds of migration there are; each round of them has its own table.
const KINDS: usize = 5;

/// The version of the first migration: a date and a running number of six digits.
const DAY: u64 = 20_240_101_000_000;

/// One migration, in no tool's format yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Migration {
    /// Its place in the order, from 1.
    pub(crate) ordinal: usize,
    /// What it does, in words joined by `_`.
    pub(crate) name: String,
    /// The way there.
    pub(crate) up: String,
    /// The way back.
    pub(crate) down: String,
}

impl Migration {
    /// A version of fourteen digits, as Diesel, sqlx and dbmate make them from the clock.
    pub(crate) fn version(&self) -> u64 {
        DAY + self.ordinal as u64
    }
}

/// The tables that exist when `count` migrations have been applied.
pub(crate) const fn tables(count: usize) -> usize {
    count.div_ceil(KINDS)
}

/// Makes the first `count` migrations for one engine.
pub(crate) fn migrations(engine: Engine, count: usize) -> Vec<Migration> {
    (0..count).map(|index| migration(engine, index)).collect()
}

fn migration(engine: Engine, index: usize) -> Migration {
    let table = format!("gadgets_{:03}", index / KINDS);
    let (name, up, down) = match index % KINDS {
        0 => create_table(&table),
        1 => add_column(&table),
        2 => create_index(&table),
        3 => insert_rows(&table),
        _ => create_trigger(engine, &table),
    };
    Migration {
        ordinal: index + 1,
        name,
        up,
        down,
    }
}

fn create_table(table: &str) -> (String, String, String) {
    (
        format!("create_{table}"),
        format!(
            "-- One row per gadget.\nCREATE TABLE {table} (\n    id INTEGER PRIMARY KEY,\n    \
             name TEXT NOT NULL,\n    amount INTEGER NOT NULL DEFAULT 0,\n    \
             CONSTRAINT ck_{table}_amount CHECK (amount >= 0)\n);\n\n\
             CREATE INDEX idx_{table}_name ON {table} (name);\n"
        ),
        format!("DROP TABLE {table};\n"),
    )
}

fn add_column(table: &str) -> (String, String, String) {
    (
        format!("add_note_to_{table}"),
        format!("ALTER TABLE {table} ADD COLUMN note TEXT NOT NULL DEFAULT 'none; yet';\n"),
        format!("ALTER TABLE {table} DROP COLUMN note;\n"),
    )
}

fn create_index(table: &str) -> (String, String, String) {
    (
        format!("index_{table}_by_amount"),
        format!("CREATE INDEX idx_{table}_amount_note ON {table} (amount, note);\n"),
        format!("DROP INDEX idx_{table}_amount_note;\n"),
    )
}

fn insert_rows(table: &str) -> (String, String, String) {
    (
        format!("fill_{table}"),
        format!(
            "INSERT INTO {table} (id, name, amount) VALUES\n    (1, 'first', 10),\n    \
             (2, 'it''s the second', 20),\n    (3, 'third', 30);\n"
        ),
        format!("DELETE FROM {table} WHERE id IN (1, 2, 3);\n"),
    )
}

fn create_trigger(engine: Engine, table: &str) -> (String, String, String) {
    let name = format!("watch_{table}");
    let (up, down) = match engine {
        Engine::Sqlite => (
            format!(
                "CREATE TRIGGER trg_{table}_note AFTER UPDATE OF amount ON {table}\nBEGIN\n    \
                 UPDATE {table} SET note = 'changed' WHERE id = NEW.id;\nEND;\n"
            ),
            format!("DROP TRIGGER trg_{table}_note;\n"),
        ),
        Engine::Postgres => (
            format!(
                "CREATE FUNCTION note_{table}() RETURNS trigger LANGUAGE plpgsql AS $body$\n\
                 BEGIN\n    NEW.note := 'changed';\n    RETURN NEW;\nEND;\n$body$;\n\n\
                 CREATE TRIGGER trg_{table}_note BEFORE UPDATE OF amount ON {table}\n    \
                 FOR EACH ROW EXECUTE FUNCTION note_{table}();\n"
            ),
            format!("DROP TRIGGER trg_{table}_note ON {table};\n\nDROP FUNCTION note_{table}();\n"),
        ),
    };
    (name, up, down)
}

#[cfg(test)]
mod tests {
    use db_core::{Access, Connection, DatabaseUrl};

    use super::*;

    #[test]
    fn two_runs_make_the_same_migrations() {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            assert_eq!(migrations(engine, COUNT), migrations(engine, COUNT));
            assert_eq!(migrations(engine, COUNT).len(), COUNT);
        }
    }

    #[test]
    fn versions_rise_and_have_fourteen_digits() {
        let all = migrations(Engine::Sqlite, COUNT);
        assert!(
            all.windows(2)
                .all(|pair| pair[0].version() < pair[1].version())
        );
        assert!(all.iter().all(|one| one.version().to_string().len() == 14));
    }

    #[test]
    fn ups_build_the_tables_and_downs_remove_everything() {
        let all = migrations(Engine::Sqlite, 23);
        let mut memory = Connection::open(&DatabaseUrl::SqliteMemory, Access::Create).unwrap();
        let mut conn = memory.conn();
        for one in &all {
            conn.batch_execute(&one.up).unwrap();
        }
        assert_eq!(tables(23), 5);
        conn.batch_execute("INSERT INTO gadgets_004 (name) VALUES ('fifth table')")
            .unwrap();
        for one in all.iter().rev() {
            conn.batch_execute(&one.down).unwrap();
        }
        conn.batch_execute("CREATE TABLE gadgets_000 (free INTEGER)")
            .unwrap();
    }
}

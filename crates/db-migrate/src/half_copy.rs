//! What a copy into a PostgreSQL database has noted there, and left if it was killed.
//!
//! Whoever copies keeps what undoes it in a table that is named as the ledgers are, and is no part of the
//! schema (`copy` of db-transfer writes it). It is read here so that what the copy has left can be told
//! from what somebody changed by hand.

use db_core::Conn;
use diesel::sql_types::{Bool, Nullable, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, sql_query};

use crate::catalog::{Change, Difference, Kind};

/// Whether there are notes, and may be read.
const LOOK: &str = "SELECT pg_catalog.has_table_privilege(
    pg_catalog.to_regclass('__db_migrate_copy'), 'SELECT') AS readable";

const NOTES: &str = "SELECT undo AS text FROM __db_migrate_copy";

#[derive(QueryableByName)]
struct Look {
    #[diesel(sql_type = Nullable<Bool>)]
    readable: Option<bool>,
}

#[derive(QueryableByName)]
struct Note {
    #[diesel(sql_type = Text)]
    text: String,
}

/// A copy that is under way or was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfCopy {
    /// The statements that undo it, without quotes; none if this role may not read them.
    notes: Option<Vec<String>>,
}

impl HalfCopy {
    /// Reads the notes. `None` if no copy into this database has stopped half way, as on SQLite, where a
    /// copy appears as a whole.
    ///
    /// # Errors
    /// What the server says.
    pub fn read<'c>(conn: impl Into<Conn<'c>>) -> QueryResult<Option<Self>> {
        let Conn::Postgres(conn) = conn.into() else {
            return Ok(None);
        };
        let look: Look = sql_query(LOOK).get_result(conn)?;
        let notes = match look.readable {
            None => return Ok(None),
            Some(false) => None,
            Some(true) => {
                let notes: Vec<Note> = sql_query(NOTES).load(conn)?;
                Some(notes.iter().map(|note| plain(&note.text)).collect())
            }
        };
        Ok(Some(Self { notes }))
    }

    /// Whether the copy has left this: tables and types that it made, foreign keys that it took away while
    /// rows come in. Of notes that cannot be read everything may be.
    #[must_use]
    pub fn has_left(&self, difference: &Difference) -> bool {
        let Some(notes) = &self.notes else {
            return true;
        };
        let has = |step: &str| notes.iter().any(|note| note.contains(step));
        let name = plain(&difference.name);
        match (difference.kind, &difference.change) {
            (Kind::Constraint, Change::Gone { .. }) => {
                let table = plain(difference.table.as_deref().unwrap_or_default());
                let key = name
                    .strip_prefix(&table)
                    .and_then(|rest| rest.strip_prefix('.'));
                let drop =
                    |key: &str| format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {key};");
                key.is_some_and(|key| has(&drop(key)))
            }
            (Kind::Table, Change::Added { .. }) => {
                has(&format!("DROP TABLE IF EXISTS {name} CASCADE"))
            }
            (Kind::Type, Change::Added { .. }) => {
                let step = format!("DROP TYPE IF EXISTS {name}");
                notes.contains(&step)
            }
            (Kind::Schema, Change::Added { .. }) => {
                has(&format!("DROP TABLE IF EXISTS {name}."))
                    || has(&format!("DROP TYPE IF EXISTS {name}."))
            }
            // It numbers a column of a table that was made, whose schema is not said at home.
            (Kind::Sequence, Change::Added { live }) => {
                let owner = plain(live);
                let owner = owner.split(" IDENTITY OF ").nth(1).unwrap_or_default();
                let table = owner.rsplit_once('.').map_or("", |(table, _)| table);
                let at_home = table.split_once('.').map_or(table, |(_, table)| table);
                [table, at_home]
                    .iter()
                    .any(|table| has(&format!("DROP TABLE IF EXISTS {table} CASCADE")))
            }
            _ => false,
        }
    }
}

/// A text without the quotes of names, which are set by other rules here than there.
fn plain(text: &str) -> String {
    text.replace('"', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(kind: Kind, name: &str, table: Option<&str>, change: Change) -> Difference {
        Difference {
            kind,
            name: name.to_owned(),
            table: table.map(str::to_owned),
            change,
        }
    }

    fn added(live: &str) -> Change {
        Change::Added {
            live: live.to_owned(),
        }
    }

    fn gone() -> Change {
        Change::Gone {
            expected: "FOREIGN KEY (a) REFERENCES b(a)".to_owned(),
        }
    }

    #[test]
    fn what_the_notes_name_is_the_copys_and_nothing_else() {
        let notes = [
            "-- migrated",
            "-- rows 0 3 \"bets\"",
            "ALTER TABLE bets DROP CONSTRAINT IF EXISTS fk_bets_user; ALTER TABLE \"Odd one\" DROP \
             CONSTRAINT IF EXISTS \"a.b\"; TRUNCATE \"bets\"; ALTER TABLE bets ADD CONSTRAINT …",
            "DROP TABLE IF EXISTS \"half\" CASCADE",
            "DROP TABLE IF EXISTS \"away\".\"other\" CASCADE",
            "DROP TYPE IF EXISTS \"mood\"",
        ];
        let half = HalfCopy {
            notes: Some(notes.iter().map(|note| plain(note)).collect()),
        };
        for (kind, name, table, change, expected) in [
            (
                Kind::Constraint,
                "bets.fk_bets_user",
                Some("bets"),
                gone(),
                true,
            ),
            (
                Kind::Constraint,
                "\"Odd one\".\"a.b\"",
                Some("\"Odd one\""),
                gone(),
                true,
            ),
            (
                Kind::Constraint,
                "bets.fk_bets",
                Some("bets"),
                gone(),
                false,
            ),
            (
                Kind::Constraint,
                "bet.fk_bets_user",
                Some("bet"),
                gone(),
                false,
            ),
            (
                Kind::Constraint,
                "bets.fk_bets_user",
                Some("bets"),
                added("CHECK (a)"),
                false,
            ),
            (Kind::Table, "half", None, added(""), true),
            (Kind::Table, "hal", None, added(""), false),
            (Kind::Table, "bets", None, gone(), false),
            (Kind::Table, "away.other", None, added(""), true),
            (Kind::Schema, "away", None, added(""), true),
            (Kind::Schema, "awa", None, added(""), false),
            (Kind::Type, "mood", None, added(""), true),
            (Kind::Type, "moo", None, added(""), false),
            (
                Kind::Sequence,
                "s",
                None,
                added("AS bigint IDENTITY OF public.half.id"),
                true,
            ),
            (
                Kind::Sequence,
                "s",
                None,
                added("AS bigint IDENTITY OF away.other.id"),
                true,
            ),
            (
                Kind::Sequence,
                "s",
                None,
                added("AS bigint IDENTITY OF public.bets.id"),
                false,
            ),
            (Kind::Sequence, "s", None, added("AS bigint"), false),
            (Kind::Index, "idx", Some("bets"), added(""), false),
        ] {
            let difference = difference(kind, name, table, change);
            assert_eq!(half.has_left(&difference), expected, "{difference:?}");
            assert!(HalfCopy { notes: None }.has_left(&difference));
        }
    }
}

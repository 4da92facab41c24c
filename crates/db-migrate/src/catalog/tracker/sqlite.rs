//! What changed in a SQLite schema.
//!
//! Every statement that writes `sqlite_schema` raises the schema version by one or more and
//! makes at most one entry that has a text. So if as many entries came as the version rose,
//! nothing else happened, and the entries that are known need not be looked at again.

use std::collections::HashMap;

use diesel::sql_types::BigInt;
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};

use super::store::{Store, Updates};
use crate::catalog::Scope;
use crate::catalog::sqlite::{self, Entry};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The rows of `sqlite_schema` as they were.
#[derive(Debug, Clone, Default)]
pub(super) struct SqliteTracker {
    version: i64,
    entries: HashMap<i64, Entry>,
    /// The highest row number seen, also among entries that are out of scope.
    last: i64,
    has_virtual: bool,
}

impl SqliteTracker {
    pub(super) fn start(
        conn: &mut SqliteConnection,
        scope: &Scope,
        store: &mut Store,
    ) -> QueryResult<Self> {
        let mut tracker = Self {
            version: version(conn)?,
            ..Self::default()
        };
        let updates = tracker.read_all(conn, scope)?;
        store.apply(updates);
        Ok(tracker)
    }

    /// The entries that are not as they were.
    pub(super) fn changes(
        &mut self,
        conn: &mut SqliteConnection,
        scope: &Scope,
    ) -> QueryResult<Updates> {
        let before = self.version;
        self.version = version(conn)?;
        let rises = self.version - before;
        if rises == 0 {
            return Ok(Updates::Some(Vec::new()));
        }
        if !self.has_virtual && rises > 0 {
            let found = sqlite::entries_after(conn, self.last)?;
            let plain = found.iter().all(|entry| !entry.is_virtual());
            let named = found
                .iter()
                .filter(|e| e.sql.is_some() && !e.is_internal())
                .count();
            if plain && i64::try_from(named) == Ok(rises) {
                return Ok(self.add(found, scope));
            }
        }
        self.read_all(conn, scope)
    }

    fn add(&mut self, found: Vec<Entry>, scope: &Scope) -> Updates {
        let mut updates = Vec::new();
        for entry in found {
            self.last = self.last.max(entry.id);
            if entry.is_in(scope) {
                updates.push((entry.id, sqlite::objects(&entry)));
                self.entries.insert(entry.id, entry);
            }
        }
        Updates::Some(updates)
    }

    fn read_all(&mut self, conn: &mut SqliteConnection, scope: &Scope) -> QueryResult<Updates> {
        let (found, last) = sqlite::entries(conn, scope)?;
        self.last = last;
        self.has_virtual = found.iter().any(Entry::is_virtual);
        let mut before = std::mem::take(&mut self.entries);
        let mut updates = Vec::new();
        for entry in found {
            if before.remove(&entry.id).as_ref() != Some(&entry) {
                updates.push((entry.id, sqlite::objects(&entry)));
            }
            self.entries.insert(entry.id, entry);
        }
        updates.extend(before.into_keys().map(|id| (id, Vec::new())));
        Ok(Updates::Some(updates))
    }
}

fn version(conn: &mut SqliteConnection) -> QueryResult<i64> {
    sql_query("SELECT schema_version AS number FROM pragma_schema_version")
        .get_result::<Number>(conn)
        .map(|row| row.number)
}

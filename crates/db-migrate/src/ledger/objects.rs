//! The schema as it was after the last migration, object by object, beside its fingerprint.

use db_core::{Conn, Engine, with_conn};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use serde::Serialize;

use super::Ledger;
use super::cached::Cached;
use crate::catalog::{Catalog, Delta, Kind, Object};
use crate::error::{Error, in_database};

/// Of what, and where, the stored catalog is a picture.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
pub(crate) struct Stamp {
    /// The ledger row after which it was taken.
    #[diesel(sql_type = BigInt)]
    pub(crate) last_sequence: i64,
    /// The strict fingerprint.
    #[diesel(sql_type = Text)]
    pub(crate) fingerprint: String,
    /// The loose one, which survives dump and restore.
    #[diesel(sql_type = Text)]
    pub(crate) loose_fingerprint: String,
    /// Cluster, database and major version; strict texts compare only on the same.
    #[diesel(sql_type = Text)]
    pub(crate) server: String,
    /// When.
    #[diesel(sql_type = Text)]
    pub(crate) taken_at: String,
    /// The seal that was put on it; a new one has none.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) seal: Option<String>,
}

/// What a migration leaves of the stored schema.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SchemaAfter<'s> {
    /// It was read: what changed, and its stamp.
    Read(&'s Delta, &'s Stamp),
    /// It was not read, so the stored one is no longer that of the last migration: its stamp goes.
    Unread,
    /// As it was not after the migration before, whose transaction took the stamp away.
    StillUnread,
}

#[derive(QueryableByName)]
struct Record {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    table_name: Option<String>,
    #[diesel(sql_type = Text)]
    strict: String,
    #[diesel(sql_type = Text)]
    loose: String,
}

#[derive(QueryableByName)]
struct ServerName {
    #[diesel(sql_type = Text)]
    server: String,
}

/// What names a stored object.
#[derive(Serialize)]
struct Key<'k> {
    kind: Kind,
    name: &'k str,
}

/// A change of the schema as the texts in which it travels: any number of objects are one value.
#[derive(Debug)]
pub(super) struct DeltaTexts {
    removed: Option<String>,
    upserted: Option<String>,
}

impl DeltaTexts {
    pub(super) fn new(delta: &Delta) -> Result<Self, Error> {
        let keys: Vec<_> = delta
            .removed
            .iter()
            .map(|(kind, name)| Key { kind: *kind, name })
            .collect();
        let texts = |some: bool, json: Result<String, Error>| some.then_some(json).transpose();
        Ok(Self {
            removed: texts(!keys.is_empty(), as_json(&keys))?,
            upserted: texts(!delta.upserted.is_empty(), as_json(&delta.upserted))?,
        })
    }
}

fn as_json<T: Serialize>(rows: &[T]) -> Result<String, Error> {
    serde_json::to_string(rows).map_err(|e| Error::Unencodable {
        what: "the schema",
        reason: e.to_string(),
    })
}

impl Ledger {
    /// What stores a change of the schema; no object is both removed and put.
    pub(super) fn put_delta<'t>(&self, texts: &'t DeltaTexts) -> Vec<Cached<'t>> {
        let removed = texts.removed.iter().map(|json| self.remove_objects(json));
        let upserted = texts.upserted.iter().map(|json| self.put_objects(json));
        removed.chain(upserted).collect()
    }

    /// Writes the stamp alone.
    pub(crate) fn stamp(&self, conn: &mut Conn<'_>, stamp: &Stamp) -> Result<(), Error> {
        self.write(conn, vec![self.put_stamp(stamp)])
    }

    /// Stores a whole catalog in place of the one before.
    pub(crate) fn stamp_whole(
        &self,
        conn: &mut Conn<'_>,
        catalog: &Catalog,
        stamp: &Stamp,
    ) -> Result<(), Error> {
        conn.batch_execute(&format!("DELETE FROM {}", self.objects()))
            .map_err(in_database(self.engine, "storing the schema"))?;
        let rows: Vec<_> = catalog.objects().collect();
        if !rows.is_empty() {
            let json = as_json(&rows)?;
            self.write(conn, vec![self.put_objects(&json)])?;
        }
        self.stamp(conn, stamp)
    }

    /// Writes the stamp as it is, so that a commit has something to wait for.
    pub(crate) fn touch(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        let query = format!("UPDATE {} SET taken_at = taken_at", self.state());
        self.write(conn, vec![Cached::new(&query)])
    }

    /// Forgets the stamp: the schema after what happened is not known.
    pub(crate) fn unstamp(&self, conn: &mut Conn<'_>) -> Result<(), Error> {
        self.write(conn, vec![self.delete_stamp()])
    }

    pub(super) fn delete_stamp(&self) -> Cached<'static> {
        Cached::new(&format!("DELETE FROM {}", self.state()))
    }

    fn put_objects<'j>(&self, json: &'j str) -> Cached<'j> {
        let each = match self.engine {
            Engine::Sqlite => {
                "SELECT value ->> 'kind', value ->> 'name', value ->> 'table', value ->> 'strict',
                        value ->> 'loose'
                 FROM json_each($?) WHERE true"
            }
            Engine::Postgres => {
                "SELECT kind, name, \"table\", strict, loose
                 FROM pg_catalog.json_to_recordset($?::pg_catalog.json)
                 AS r (kind text, name text, \"table\" text, strict text, loose text)"
            }
        };
        let query = format!(
            "INSERT INTO {} (kind, name, table_name, strict, loose) {each}
             ON CONFLICT (kind, name) DO UPDATE SET table_name = excluded.table_name,
               strict = excluded.strict, loose = excluded.loose",
            self.objects()
        );
        Cached::new(&query).text(json)
    }

    fn remove_objects<'j>(&self, json: &'j str) -> Cached<'j> {
        let keys = match self.engine {
            Engine::Sqlite => "SELECT value ->> 'kind', value ->> 'name' FROM json_each($?)",
            Engine::Postgres => {
                "SELECT kind, name FROM pg_catalog.json_to_recordset($?::pg_catalog.json)
                 AS r (kind text, name text)"
            }
        };
        let query = format!(
            "DELETE FROM {} WHERE (kind, name) IN ({keys})",
            self.objects()
        );
        Cached::new(&query).text(json)
    }

    pub(super) fn put_stamp<'s>(&self, stamp: &'s Stamp) -> Cached<'s> {
        let query = format!(
            "INSERT INTO {} (id, last_sequence, fingerprint, loose_fingerprint, server, taken_at)
             VALUES (1, $?, $?, $?, $?, $?)
             ON CONFLICT (id) DO UPDATE SET last_sequence = excluded.last_sequence,
               fingerprint = excluded.fingerprint,
               loose_fingerprint = excluded.loose_fingerprint,
               server = excluded.server, taken_at = excluded.taken_at, seal = NULL,
               settled = NULL",
            self.state()
        );
        Cached::new(&query)
            .number(stamp.last_sequence)
            .text(&stamp.fingerprint)
            .text(&stamp.loose_fingerprint)
            .text(&stamp.server)
            .text(&stamp.taken_at)
    }

    /// The stored stamp, if there is one.
    pub(crate) fn stored_stamp(&self, conn: &mut Conn<'_>) -> Result<Option<Stamp>, Error> {
        let query = format!(
            "SELECT last_sequence, fingerprint, loose_fingerprint, server, taken_at, seal FROM {}",
            self.state()
        );
        let rows: Vec<Stamp> = with_conn!(conn, |c| sql_query(query).load(c))
            .map_err(in_database(self.engine, "reading the stored schema"))?;
        Ok(rows.into_iter().next())
    }

    /// The stored catalog.
    pub(crate) fn stored_catalog(&self, conn: &mut Conn<'_>) -> Result<Catalog, Error> {
        let query = format!(
            "SELECT kind, name, table_name, strict, loose FROM {}",
            self.objects()
        );
        let rows: Vec<Record> = with_conn!(conn, |c| sql_query(query).load(c))
            .map_err(in_database(self.engine, "reading the stored schema"))?;
        let objects = rows
            .into_iter()
            .filter_map(|row| {
                // A kind that only a newer program knows is left out; if the object exists, it is
                // reported as added, which makes the operator look.
                let kind = serde_json::from_value(serde_json::Value::String(row.kind)).ok()?;
                Some(Object {
                    kind,
                    name: row.name,
                    table: row.table_name,
                    strict: row.strict,
                    loose: row.loose,
                })
            })
            .collect();
        Ok(Catalog::from_objects(objects))
    }

    /// Cluster, database and major version, within which strict texts are comparable.
    pub(crate) fn server(&self, conn: &mut Conn<'_>) -> Result<String, Error> {
        let query = match self.engine {
            // SQLite's own text is normalised by our lexer, whatever its version.
            Engine::Sqlite => return Ok("sqlite".to_owned()),
            Engine::Postgres => {
                "SELECT (s.system_identifier || '/' || d.oid || '/' ||
                         current_setting('server_version_num')::int / 10000)::text AS server
                 FROM pg_catalog.pg_control_system() s, pg_catalog.pg_database d
                 WHERE d.datname = current_database()"
            }
        };
        let name: ServerName = with_conn!(conn, |c| sql_query(query).get_result(c))
            .map_err(in_database(self.engine, "reading the server's identity"))?;
        Ok(name.server)
    }
}

//! Drift: the live schema beside the one stored after the last migration, and beside what the
//! migrations build.

use db_core::{Conn, Engine};
use serde::Serialize;

use crate::catalog::{Catalog, Difference, Kind, Mode, Scope};
use crate::error::{Error, in_database};
use crate::ledger::{History, Ledger, Stamp};

/// Why the stored schema says nothing about the live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// No migration of this engine has stored one yet.
    NeverTaken,
    /// diesel_cli has changed the schema since.
    ChangedByDiesel,
    /// A migration outside a transaction stopped half way.
    HalfApplied,
    /// A migration outside a transaction stopped on its way back.
    HalfReverted,
}

/// How the live schema compares with the stored one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Drift {
    /// It is the same.
    None,
    /// It is the same but for what a dump and a restore rewrite; the next run records it anew.
    Restored,
    /// It was changed by hand.
    Found {
        /// Each object that differs.
        differences: Vec<Difference>,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        reason: Unknown,
    },
}

impl Drift {
    /// The differences, if there are any.
    #[must_use]
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Found { differences } => differences,
            _ => &[],
        }
    }
}

/// Why nothing can be told of a history, whatever the schema is.
fn unknown(history: &History) -> Option<Unknown> {
    if !history.has_ledger {
        Some(Unknown::NeverTaken)
    } else if !history.unrecorded.is_empty() || !history.vanished.is_empty() {
        Some(Unknown::ChangedByDiesel)
    } else if !history.incomplete.is_empty() {
        Some(Unknown::HalfApplied)
    } else {
        history.half_reverted().map(|_| Unknown::HalfReverted)
    }
}

/// Compares as far as it takes: an unbroken seal is enough, else the live catalog is read.
pub(crate) fn find(
    ledger: &Ledger,
    conn: &mut Conn<'_>,
    (history, stamp): (&History, Option<&Stamp>),
    live: impl FnOnce(&mut Conn<'_>) -> Result<Catalog, Error>,
) -> Result<Drift, Error> {
    if let Some(reason) = unknown(history) {
        return Ok(Drift::Unknown { reason });
    }
    let seal = stamp.and_then(|stamp| stamp.seal.as_deref());
    if seal.is_some() && seal == ledger.live_seal(conn)?.as_deref() {
        return Ok(Drift::None);
    }
    let live = live(conn)?;
    compare(ledger, conn, history, &live)
}

/// Compares a live catalog with the stored one.
pub(crate) fn compare(
    ledger: &Ledger,
    conn: &mut Conn<'_>,
    history: &History,
    live: &Catalog,
) -> Result<Drift, Error> {
    if let Some(reason) = unknown(history) {
        return Ok(Drift::Unknown { reason });
    }
    let Some(stamp) = ledger.stored_stamp(conn)? else {
        return Ok(Drift::Unknown {
            reason: Unknown::NeverTaken,
        });
    };
    if stamp.fingerprint == live.strict_fingerprint() {
        return Ok(Drift::None);
    }
    let same_server = ledger.server(conn)? == stamp.server;
    if !same_server && stamp.loose_fingerprint == live.loose_fingerprint() {
        return Ok(Drift::Restored);
    }
    let mode = if same_server {
        Mode::Strict
    } else {
        Mode::Loose
    };
    let foreign = ledger.foreign_schemas(conn)?;
    let mut differences = ledger.stored_catalog(conn)?.compare(live, mode);
    // What was stored before another ledger moved into its schema is theirs now.
    differences.retain(|d| !foreign.iter().any(|schema| is_in(d, schema)));
    Ok(if differences.is_empty() {
        Drift::Restored
    } else {
        Drift::Found { differences }
    })
}

fn is_in(difference: &Difference, schema: &str) -> bool {
    let prefix = format!("{schema}.");
    (difference.kind == Kind::Schema && difference.name == schema)
        || difference.name.starts_with(&prefix)
        || difference
            .table
            .as_ref()
            .is_some_and(|t| t.starts_with(&prefix))
}

/// Reads the live catalog.
pub(crate) fn live(conn: &mut Conn<'_>, scope: &Scope) -> Result<Catalog, Error> {
    let engine: Engine = conn.engine();
    Catalog::read(conn, scope).map_err(in_database(engine, "reading the schema"))
}

/// The stamp for a whole catalog.
pub(crate) fn stamp_of(
    catalog: &Catalog,
    sequence: i64,
    server: String,
    taken_at: String,
) -> Stamp {
    Stamp {
        last_sequence: sequence,
        fingerprint: catalog.strict_fingerprint(),
        loose_fingerprint: catalog.loose_fingerprint(),
        server,
        taken_at,
        seal: None,
    }
}

//! PostgreSQL's catalog, read as a whole each time.
//!
//! An incremental reading was built and measured: it followed the counters of
//! `pg_stat_get_xact_tuples_*` and the `xmin` of catalog rows, cost more than a small migration all
//! the same, and was the one part of this crate whose correctness could not be argued simply. A run
//! decides instead when a reading is worth its time (docs/adr/0016).

use std::collections::BTreeMap;

use diesel::{PgConnection, QueryResult};

use super::store::{Group, Updates};
use crate::catalog::postgres::{pin, read_all};
use crate::catalog::{Object, Scope};

/// Reads everything, by relation.
pub(super) fn read(conn: &mut PgConnection, scope: &Scope) -> QueryResult<Updates> {
    let (_, items) = pin::pinned(conn, scope.home(), |conn| read_all(conn, scope))?;
    let mut groups: BTreeMap<Group, Vec<Object>> = BTreeMap::new();
    for item in items {
        groups
            .entry(Group::from(item.relation))
            .or_default()
            .push(item.object);
    }
    Ok(Updates::All(groups.into_iter().collect()))
}

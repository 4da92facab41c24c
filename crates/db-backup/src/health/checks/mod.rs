//! The checks, each in a module with those that look at the same thing.

mod amcheck;
mod backups;
mod clock;
mod connectivity;
pub(super) mod copy;
mod damage;
mod disk;
mod foreign_keys;
mod integrity;
mod pool;
mod replication;
pub(super) mod schema;
mod storage;
mod tables;
mod transactions;
mod wal;

use db_core::Engine;

use super::look::Look;
use super::query::Trouble;
use super::{Cost, Verdict};

/// Whether the database can be opened; it always runs.
pub(super) const CONNECTIVITY: &str = "connectivity";
/// Whether what is stored can be read.
pub(super) const INTEGRITY: &str = "integrity";
/// Whether all tables are there.
pub(super) const TABLES: &str = "tables";
/// Whether all indexes are there.
pub(super) const INDEXES: &str = "indexes";

/// A check that is built in.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) cost: Cost,
    /// The one engine on which there is something to see.
    pub(super) engine: Option<Engine>,
    pub(super) run: fn(&mut Look<'_>) -> Result<Verdict, Trouble>,
}

const fn both(
    name: &'static str,
    cost: Cost,
    run: fn(&mut Look<'_>) -> Result<Verdict, Trouble>,
) -> Check {
    Check {
        name,
        cost,
        engine: None,
        run,
    }
}

const fn postgres(
    name: &'static str,
    cost: Cost,
    run: fn(&mut Look<'_>) -> Result<Verdict, Trouble>,
) -> Check {
    Check {
        name,
        cost,
        engine: Some(Engine::Postgres),
        run,
    }
}

/// Damage that was met on the way; runs behind all others.
pub(super) const DAMAGE: Check = both("damage", Cost::Cheap, damage::run);

/// All others, in the order in which they run.
pub(super) const ALL: [Check; 27] = [
    both(CONNECTIVITY, Cost::Cheap, connectivity::run),
    both("response_time", Cost::Cheap, connectivity::response),
    both(TABLES, Cost::Cheap, schema::tables),
    both(INDEXES, Cost::Cheap, schema::indexes),
    both("migrations", Cost::Cheap, schema::migrations),
    both("drift", Cost::Cheap, schema::drift),
    both("disk", Cost::Cheap, disk::free),
    both("writable", Cost::Cheap, disk::writable),
    both("wal", Cost::Cheap, wal::run),
    both("pool", Cost::Cheap, pool::saturation),
    both("failures", Cost::Cheap, pool::failures),
    both("transactions", Cost::Cheap, transactions::run),
    both("backup", Cost::Cheap, backups::backup),
    both("restore_drill", Cost::Cheap, backups::restore_drill),
    both("clock", Cost::Cheap, clock::run),
    both("bloat", Cost::Cheap, storage::bloat),
    postgres("invalid_indexes", Cost::Cheap, tables::invalid_indexes),
    postgres("replication", Cost::Cheap, replication::lag),
    postgres("slots", Cost::Cheap, replication::slots),
    postgres("wal_archive", Cost::Cheap, wal::archive),
    postgres("transaction_age", Cost::Cheap, transactions::age),
    both(INTEGRITY, Cost::Expensive, integrity::run),
    both("foreign_keys", Cost::Expensive, foreign_keys::run),
    both("sizes", Cost::Expensive, storage::sizes),
    both("statistics", Cost::Expensive, tables::statistics),
    postgres("unused_indexes", Cost::Expensive, tables::unused_indexes),
    postgres("slow_queries", Cost::Expensive, tables::slow_queries),
];

//! What must be true of the file after a kill.

use std::collections::BTreeMap;
use std::path::Path;

use db_core::{Database, Error};

use super::Lanes;
use super::work::{ACCOUNTS, DEPOSIT, Workload, transfer};
use crate::support::{execute, integrity, number, numbers, open};

/// Opens the file as the next process would, and looks; `known` becomes what is there.
pub(super) fn check(workload: Workload, path: &Path, known: &mut Lanes) -> Result<(), Error> {
    if !path.exists() {
        assert!(known.is_empty(), "answered, and no file");
        return Ok(());
    }
    let database = open(path);
    database.read(integrity)?;
    let tables = "SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'";
    let tables = database.read(|conn| number(conn, tables))?;
    assert!(tables == 0 || tables == 3, "{tables} of 3 tables");
    if tables == 0 {
        assert!(known.is_empty(), "answered, and no tables");
        return database.close(std::time::Duration::from_secs(10));
    }
    let lanes = lanes(&database)?;
    for lane in 0..workload.lanes() {
        let answered = known.get(&lane).copied().unwrap_or(0);
        let there = lanes.get(&lane).copied().unwrap_or(0);
        assert!(
            there == answered || there == answered + 1,
            "lane {lane}: {answered} answered, {there} there"
        );
    }
    balances(workload, &database, &lanes)?;
    // It still takes writes.
    database.write(|conn| execute(conn, "PRAGMA user_version = 1; PRAGMA user_version = 0"))?;
    *known = lanes;
    database.close(std::time::Duration::from_secs(10))
}

/// The last number of each lane, whose writes must be whole and without a gap.
fn lanes(database: &Database) -> Result<Lanes, Error> {
    database.read(|conn| {
        for halves in [
            "SELECT lane, seq FROM heads EXCEPT SELECT lane, seq FROM tails",
            "SELECT lane, seq FROM tails EXCEPT SELECT lane, seq FROM heads",
        ] {
            let halves = number(conn, &format!("SELECT count(*) AS n FROM ({halves})"))?;
            assert_eq!(halves, 0, "half a write");
        }
        let mut lanes = Lanes::new();
        for lane in numbers(conn, "SELECT DISTINCT lane AS n FROM heads")? {
            let rows = number(
                conn,
                &format!("SELECT count(*) AS n FROM heads WHERE lane = {lane}"),
            )?;
            let last = number(
                conn,
                &format!("SELECT max(seq) AS n FROM heads WHERE lane = {lane}"),
            )?;
            assert_eq!(rows, last, "a gap in lane {lane}");
            lanes.insert(u64::try_from(lane).unwrap(), u64::try_from(last).unwrap());
        }
        Ok(lanes)
    })
}

/// Every account holds what the transfers that are there come to.
fn balances(workload: Workload, database: &Database, lanes: &Lanes) -> Result<(), Error> {
    let mut expected: BTreeMap<u64, i64> = (0..ACCOUNTS).map(|id| (id, DEPOSIT)).collect();
    if workload == Workload::Transfers {
        for (lane, last) in lanes {
            for (from, to, amount) in (1..=*last).map(|seq| transfer(*lane, seq)) {
                *expected.get_mut(&from).unwrap() -= amount;
                *expected.get_mut(&to).unwrap() += amount;
            }
        }
    }
    let expected: Vec<i64> = expected.into_values().collect();
    let found =
        database.read(|conn| numbers(conn, "SELECT balance AS n FROM accounts ORDER BY id"))?;
    assert_eq!(found, expected);
    Ok(())
}

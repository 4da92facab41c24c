//! A database that takes the place of another one, as `copy --replace` does it.

use chrono::{DateTime, TimeDelta, Utc};
use db_backup::Replacement;
use db_core::{Clock as _, DatabaseUrl, SystemClock};
use db_testkit::TestDb;

fn url(db: &TestDb) -> DatabaseUrl {
    DatabaseUrl::parse(&db.url()).unwrap()
}

/// A database that may be replaced, and a replacement that began at this moment.
fn begun(at: DateTime<Utc>) -> (TestDb, Replacement) {
    let db = TestDb::postgres();
    db.connect().execute("CREATE TABLE old (a int)");
    let replacement = Replacement::begin(&url(&db), None, at).unwrap();
    (db, replacement)
}

/// What somebody works on is not swept, however long ago it was begun, also while nobody is connected to
/// the database itself.
#[test]
fn a_place_that_is_old_and_in_use_is_kept() {
    let now = SystemClock.now();
    let (slow_db, slow) = begun(now - TimeDelta::hours(1));
    // Whoever begins sweeps.
    let (quick_db, quick) = begun(now);
    drop(quick);
    let kept = slow.take_place().unwrap();
    let mut conn = slow_db.connect();
    // It is the new one, which is empty.
    conn.execute("CREATE TABLE old (a int)");
    drop(conn);
    quick_db
        .connect()
        .execute(&format!("DROP DATABASE \"{kept}\" WITH (FORCE)"));
    quick_db.connect().execute("SELECT a FROM old");
}

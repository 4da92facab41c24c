//! Databases for a moment: gone with whoever made them, and with the next one's help after a death.

use db_core::{Access, Clock as _, Connection, DatabaseUrl, ScratchDatabase, SystemClock};
use db_testkit::TestDb;

use super::number;

fn made(db: &TestDb) -> ScratchDatabase {
    let admin = Connection::open(&url(db), Access::ReadWrite).unwrap();
    ScratchDatabase::create(admin, "", SystemClock.now()).unwrap()
}

fn url(db: &TestDb) -> DatabaseUrl {
    DatabaseUrl::parse(&db.url()).unwrap()
}

fn is_there(db: &TestDb, name: &str) -> bool {
    let mut conn = Connection::open(&url(db), Access::ReadOnly).unwrap();
    let sql = format!("SELECT count(*) AS value FROM pg_database WHERE datname = '{name}'");
    number(&mut conn.conn(), &sql).unwrap() > 0
}

#[test]
fn it_is_gone_when_it_is_dropped_and_stays_when_it_is_kept() {
    let db = TestDb::postgres();
    let mut kept = made(&db);
    let name = kept.name().to_owned();
    let mut inside = Connection::open(&kept.url(), Access::ReadWrite).unwrap();
    inside
        .conn()
        .batch_execute("CREATE TABLE t (a int)")
        .unwrap();
    kept.keep(true);
    drop(kept);
    assert!(is_there(&db, &name));
    let gone = made(&db);
    let other = gone.name().to_owned();
    assert!(is_there(&db, &other));
    // Somebody else who is connected to it does not keep it.
    let _inside = Connection::open(&gone.url(), Access::ReadOnly).unwrap();
    drop(gone);
    assert!(!is_there(&db, &other));
    db.connect()
        .execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
}

#[test]
fn what_belongs_to_no_living_session_is_swept() {
    let db = TestDb::postgres();
    let with_name = |first: &str| format!("{first}_20200101000000_{:08x}", std::process::id());
    let (left, foreign) = (
        with_name("bitcraps_scratch"),
        with_name("bitcraps_scratched"),
    );
    for name in [&left, &foreign] {
        db.connect().execute(&format!("CREATE DATABASE {name}"));
    }
    let quiet = made(&db);
    let mut deserted = made(&db);
    deserted.keep(true);
    let (url, name) = (deserted.url(), deserted.name().to_owned());
    let inside = Connection::open(&url, Access::ReadOnly).unwrap();
    // Its maker is dead, and whoever fills it is not yet.
    drop(deserted);
    drop(made(&db));
    assert!(!is_there(&db, &left));
    assert!(is_there(&db, &foreign), "a name of somebody else's");
    assert!(is_there(&db, quiet.name()), "nobody is connected to it");
    assert!(is_there(&db, &name), "somebody is");
    drop(inside);
    // The server takes a moment to see that a session has ended.
    let swept = (0..1000).any(|_| {
        drop(made(&db));
        !is_there(&db, &name)
    });
    assert!(swept);
    db.connect().execute(&format!("DROP DATABASE {foreign}"));
}

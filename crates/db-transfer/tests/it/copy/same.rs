//! A copy onto itself is refused, however its two ends are written.

use std::fs;
use std::os::unix::fs::symlink;

use db_core::DatabaseUrl;
use db_testkit::TestDb;
use db_transfer::copy::{Copy, CopyError, Endpoint};

use super::support::endpoint;

#[track_caller]
fn refused(from: &Endpoint, to: &Endpoint) {
    assert!(from.is_same_as(to).unwrap(), "{from:?} {to:?}");
    let error = Copy::new(from.clone(), to.clone()).run().unwrap_err();
    assert!(matches!(error, CopyError::Usage(_)), "{error}");
    assert!(error.to_string().contains("the same database"), "{error}");
}

#[test]
fn a_file_behind_other_paths_is_the_same() {
    let db = TestDb::sqlite();
    db.connect().execute("CREATE TABLE t (x INTEGER)");
    let path = db.path().unwrap();
    let folder = path.parent().unwrap();
    let name = path.file_name().unwrap();
    let (soft, hard) = (folder.join("soft.db"), folder.join("hard.db"));
    symlink(path, &soft).unwrap();
    fs::hard_link(path, &hard).unwrap();
    for other in [
        folder
            .join(".")
            .join("..")
            .join(folder.file_name().unwrap())
            .join(name),
        soft,
        hard,
    ] {
        refused(
            &endpoint(&db),
            &Endpoint::new(DatabaseUrl::SqliteFile(other)),
        );
    }
    let other = TestDb::sqlite();
    other.connect().execute("CREATE TABLE t (x INTEGER)");
    assert!(!endpoint(&db).is_same_as(&endpoint(&other)).unwrap());
    let none = DatabaseUrl::SqliteFile(folder.join("none.db"));
    assert!(!endpoint(&db).is_same_as(&Endpoint::new(none)).unwrap());
}

#[test]
fn a_database_of_a_server_is_known_by_more_than_its_name_postgres() {
    let (db, other) = (TestDb::postgres(), TestDb::postgres());
    let url = db.url();
    let mark = if url.contains('?') { '&' } else { '?' };
    let spelled = DatabaseUrl::parse(&format!("{url}{mark}application_name=other")).unwrap();
    let spelled = Endpoint::new(spelled);
    assert_ne!(spelled.url, endpoint(&db).url);
    refused(&endpoint(&db), &spelled);
    assert!(!endpoint(&db).is_same_as(&endpoint(&other)).unwrap());
    let file = TestDb::sqlite();
    assert!(!endpoint(&db).is_same_as(&endpoint(&file)).unwrap());
}

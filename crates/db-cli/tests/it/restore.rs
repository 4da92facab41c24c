//! Restores over a database, from the command line.

use std::fs;

use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::TestDb;
use diesel::RunQueryDsl;
use diesel::dsl::sql;
use diesel::sql_types::BigInt;

use crate::backup::filled;
use crate::support::{Place, bare, finish};

#[test]
fn a_database_is_replaced_only_by_its_name_or_by_force() {
    let place = filled();
    place.ok(&["backup"]);
    place
        .db
        .connect()
        .execute("INSERT INTO users (id, name) VALUES (2, 'later')");
    let database = place.db.path().unwrap().to_owned();
    let before = fs::read(&database).unwrap();
    // There is no terminal to type the name on.
    let refused = place.json(7, &["restore"]);
    // Of what it is stands in the question.
    let question = refused["error"]["message"].as_str().unwrap();
    let of = format!("a backup of {}", database.display());
    assert!(question.contains(&of), "{question}");
    assert!(
        refused["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("--force")
    );
    assert_eq!(fs::read(&database).unwrap(), before);
    let restored = place.json(0, &["restore", "--force"]);
    let kept = restored["kept"].as_str().unwrap();
    assert!(kept.contains(".before-restore-"), "{restored}");
    let count = |file: &str| {
        let url = DatabaseUrl::SqliteFile(file.into());
        let mut connection = Connection::open(&url, Access::ReadOnly).unwrap();
        let Conn::Sqlite(conn) = connection.conn() else {
            unreachable!()
        };
        diesel::select(sql::<BigInt>("(SELECT count(*) FROM users)"))
            .get_result::<i64>(conn)
            .unwrap()
    };
    assert_eq!((count(database.to_str().unwrap()), count(kept)), (1, 2));
    place.ok(&["status"]);
}

#[test]
fn a_database_in_use_is_not_replaced() {
    let place = filled();
    place.ok(&["backup"]);
    let open = place.db.connect();
    let refused = place.json(6, &["restore", "--force"]);
    assert_eq!(refused["error"]["kind"], "locked");
    let told = refused["error"]["message"].as_str().unwrap();
    assert!(
        told.contains(&format!("process {}", std::process::id())),
        "{told}"
    );
    drop(open);
    place.ok(&["restore", "--force"]);
}

#[test]
fn a_backup_of_a_newer_schema_is_refused() {
    let place = filled();
    place.ok(&["backup"]);
    let older = Place::new(TestDb::sqlite());
    for name in ["20240102000000_games", "20240103000000_house"] {
        fs::remove_dir_all(older.path("migrations").join(name)).unwrap();
    }
    let dir = place.path("backups").display().to_string();
    let refused = older.json(7, &["restore", "--dir", &dir, "--target", "new.db"]);
    assert_eq!(refused["error"]["kind"], "newer_backup");
    assert!(!older.path("new.db").exists());
}

#[test]
fn another_applications_database_is_left_alone() {
    let place = filled();
    place.ok(&["backup"]);
    let foreign = place.path("foreign.db");
    let url = DatabaseUrl::SqliteFile(foreign.clone());
    Connection::open(&url, Access::Create)
        .unwrap()
        .conn()
        .batch_execute("PRAGMA application_id = 77; CREATE TABLE t (x)")
        .unwrap();
    let before = fs::read(&foreign).unwrap();
    place.ends(7, &["restore", "--target", "foreign.db", "--force"]);
    assert_eq!(fs::read(&foreign).unwrap(), before);
    place.ends(2, &["restore", "--target", "postgres://u@h/d", "--force"]);
    place.ends(2, &["restore", "--target", ".", "--force"]);
}

#[test]
fn help_has_examples_first() {
    let root = tempfile::tempdir().unwrap();
    for arguments in [
        &["restore"][..],
        &["backup"],
        &["backup", "create"],
        &["backup", "list"],
        &["backup", "verify"],
    ] {
        let help = finish(bare(root.path()).args(arguments).arg("--help"));
        assert!(help.out.starts_with("Examples:\n"), "{help:?}");
        insta::assert_snapshot!(format!("{}_help", arguments.join("_")), help.out);
    }
}

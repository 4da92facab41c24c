//! Restores over a database, from the command line.

use std::fs;

use db_core::{Access, Conn, Connection, DatabaseUrl, ErrorKind};
use db_testkit::{TestDb, both_engines};
use diesel::RunQueryDsl;
use diesel::dsl::sql;
use diesel::sql_types::BigInt;

use crate::backup::filled;
use crate::support::{Place, bare, finish};

/// The users in a file.
fn users(file: &str) -> i64 {
    let url = DatabaseUrl::SqliteFile(file.into());
    let mut connection = Connection::open(&url, Access::ReadOnly).unwrap();
    let Conn::Sqlite(conn) = connection.conn() else {
        unreachable!()
    };
    diesel::select(sql::<BigInt>("(SELECT count(*) FROM users)"))
        .get_result(conn)
        .unwrap()
}

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
    assert_eq!((users(database.to_str().unwrap()), users(kept)), (1, 2));
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

/// What `restore` says when somebody has opened the database in the last moment.
#[test]
fn a_proven_file_that_waits_gets_its_place() {
    let place = filled();
    place.ok(&["backup"]);
    let database = place.db.path().unwrap().to_owned();
    let waiting = format!("{}.restored-20260102T030405Z", database.display());
    place.ok(&["restore", "--target", &waiting]);
    place
        .db
        .connect()
        .execute("INSERT INTO users (id, name) VALUES (2, 'later')");
    let unasked = place.json(7, &["restore", "--finish", &waiting]);
    let question = unasked["error"]["message"].as_str().unwrap();
    assert!(question.contains(&waiting), "{question}");
    let open = place.db.connect();
    let in_use = place.json(6, &["restore", "--finish", &waiting, "--force"]);
    assert_eq!(in_use["error"]["kind"], "locked");
    drop(open);
    let done = place.json(0, &["restore", "--finish", &waiting, "--force"]);
    let kept = done["kept"].as_str().unwrap();
    assert_eq!((users(database.to_str().unwrap()), users(kept)), (1, 2));
    assert!(!fs::exists(&waiting).unwrap());
    place.ends(
        2,
        &["restore", "--finish", database.to_str().unwrap(), "--force"],
    );
    place.ends(2, &["restore", "latest", "--finish", &waiting, "--force"]);
}

/// At three in the morning a file is brought back, whatever the environment says of a server.
#[test]
fn what_touches_no_server_needs_no_name_of_its_database() {
    let place = filled();
    let made = place.json(0, &["backup"]);
    let name = made["name"].as_str().unwrap();
    let database = place.db.path().unwrap().display().to_string();
    let waiting = format!("{database}.restored-20260102T030405Z");
    let run = |words: &[&str]| {
        let mut command = bare(place.root.path());
        command.env("DATABASE_URL", "postgres://app@nowhere.invalid");
        finish(command.args(words))
    };
    for words in [
        &["backup", "verify", &format!("./backups/{name}.db.zst")][..],
        &["backup", "verify", "--restore"],
        &["restore", "--target", "new.db"],
        &["restore", name, "--target", &waiting],
        &["restore", "--finish", &waiting, "--force"],
    ] {
        let done = run(words);
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
    }
    let new = place.path("new.db");
    assert_eq!((users(new.to_str().unwrap()), users(&database)), (1, 1));
    // Without a place it is a database of that server which would be replaced.
    let refused = run(&["restore", name]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains(" names no database"), "{refused:?}");
}

/// What waits after `restore --accept-unsound` is no sounder than its backup was.
#[test]
fn an_unsound_file_that_waits_gets_its_place_where_that_is_accepted() {
    let db = TestDb::sqlite();
    db.migrate();
    let place = Place::new(db);
    place.db.connect().execute(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO token_balances (user_id, balance) VALUES ('nobody', 5)",
    );
    place.ok(&["backup", "create", "--accept-unsound"]);
    let database = place.db.path().unwrap().display();
    let waiting = format!("{database}.restored-20260102T030405Z");
    // Without the migrations of other tests, to which this schema is a newer one.
    let restore = |words: &[&str]| {
        let mut command = bare(place.root.path());
        command.args(["--database-url", &place.db.url(), "restore"]);
        finish(command.args(words))
    };
    let made = restore(&["--target", &waiting, "--accept-unsound"]);
    assert_eq!(made.code, 0, "{made:?}");
    let refused = restore(&["--finish", &waiting, "--force"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.err.contains("--accept-unsound"), "{refused:?}");
    assert!(fs::exists(&waiting).unwrap());
    let taken = restore(&[
        "--finish",
        &waiting,
        "--force",
        "--accept-unsound",
        "--json",
    ]);
    let taken = taken.document();
    assert_eq!(taken["sound"], false);
    let found = taken["unsound"].as_array().unwrap();
    let said = |what: &str| found.iter().any(|one| one.as_str().unwrap().contains(what));
    assert!(said("money: ") && said("has no parent in users"), "{taken}");
    assert!(!fs::exists(&waiting).unwrap());
}

/// A key that cannot be read is not taken for none.
#[test]
fn a_key_that_is_named_is_asked_for_when_a_file_gets_its_place() {
    let place = filled();
    place.ok(&["backup"]);
    let waiting = format!(
        "{}.restored-20260102T030405Z",
        place.db.path().unwrap().display()
    );
    place.ok(&["restore", "--target", &waiting]);
    let missing = [
        "--key-file",
        "missing.key",
        "restore",
        "--finish",
        &waiting,
        "--force",
    ];
    let refused = place.run(&missing);
    assert!(
        refused.code != 0 && refused.err.contains("missing.key"),
        "{refused:?}"
    );
    assert!(fs::exists(&waiting).unwrap());
}

both_engines! {
    /// By whoever has a program without the last migrations: neither a new database nor one that is there.
    fn a_backup_of_a_newer_schema_is_refused(db: TestDb) {
        let place = Place::migrated(db);
        let made = place.json(0, &["backup"]);
        let older = Place::new(TestDb::new(place.engine()));
        for name in ["20240102000000_games", "20240103000000_house"] {
            fs::remove_dir_all(older.path("migrations").join(name)).unwrap();
        }
        older.ok(&["migrate"]);
        older.db.connect().execute("INSERT INTO users (id, name) VALUES (7, 'ours')");
        let dir = place.path("backups").display().to_string();
        let there = DatabaseUrl::parse(&older.db.url()).unwrap();
        let new = match there.database_name() {
            Some(name) => there.with_database(&format!("{name}_new")),
            None => DatabaseUrl::SqliteFile(older.path("new.db")),
        };
        let target = match &new {
            DatabaseUrl::Postgres(url) => url.clone(),
            url => url.path().unwrap().display().to_string(),
        };
        let restore = ["restore", made["name"].as_str().unwrap(), "--dir", &dir];
        for more in [&["--target", &target][..], &["--force"], &["--target", &target, "--force"]] {
            let refused = older.json(7, &[&restore[..], more].concat());
            let error = &refused["error"];
            assert_eq!(error["kind"], "newer_backup", "{more:?}");
            let message = error["message"].as_str().unwrap();
            let versions = "its schema has version 20240103000000, and 20240101000000 is the newest that is known";
            assert!(message.ends_with(versions), "{more:?}: {message}");
            assert_eq!(error["hint"], "use the program that made it, or a newer one", "{more:?}");
        }
        let error = Connection::open(&new, Access::ReadOnly).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DatabaseMissing);
        assert_eq!(older.applied(), ["20240101000000"]);
        older.db.connect().execute("INSERT INTO users (id, name) VALUES (8, 'ours as well')");
    }
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

//! Dumps: out, proven, and back.

use db_backup::postgres::PostgresOptions;
use db_backup::{BackupOptions, Invariant, Observation, Source};
use db_backup::{Depth, Level, Method, Phase, Progress, Store, WriteMode};
use db_backup::{Error, Kind, RestoreOptions, VerifyOptions, drill, list, restore, verify};
use db_core::{Access, Conn, Connection, DatabaseUrl, Engine};
use db_testkit::{TestDb, wait_for};

use super::{back_up, place};

/// A database of the whole schema with some rows, also of odd names.
fn filled() -> TestDb {
    let db = TestDb::postgres();
    db.migrate();
    let mut conn = db.connect();
    conn.execute(
        "CREATE SCHEMA \"odd.schema\";
         CREATE TABLE \"odd.schema\".\"my \"\"table\" (id int PRIMARY KEY, note varchar(20)
             CHECK (note IN ('a', 'b') AND (note <> 'c' AND note <> 'd')));
         INSERT INTO \"odd.schema\".\"my \"\"table\" SELECT n, 'a' FROM generate_series(1, 300) n;
         CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
         INSERT INTO parts SELECT n, '2026-05-05' FROM generate_series(1, 77) n;
         SELECT lo_from_bytea(0, 'a large object')",
    );
    db
}

pub(super) fn target(db: &TestDb, ending: &str) -> DatabaseUrl {
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    let name = format!("{}{ending}", url.database_name().unwrap());
    url.with_database(&name)
}

pub(super) fn run(url: &DatabaseUrl, sql: &str) {
    let mut connection = Connection::open(url, Access::ReadWrite).unwrap();
    connection.conn().batch_execute(sql).unwrap();
}

pub(super) fn drop_database(db: &TestDb, name: &str) {
    db.connect()
        .execute(&format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
}

#[test]
fn a_dump_comes_back_as_it_was() {
    let db = filled();
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    assert_eq!(manifest.kind, Kind::PostgresDump);
    assert!(manifest.schema.is_some());
    let rows = |name: &str| {
        manifest
            .tables
            .iter()
            .find(|table| table.name == name)
            .unwrap()
            .rows
    };
    assert_eq!(rows("public.parts_1"), 77);
    assert_eq!(rows("\"odd.schema\".\"my \"\"table\""), 300);

    let check = VerifyOptions::new();
    assert_eq!(
        verify(&store, &manifest, &check, &mut |_| ())
            .unwrap()
            .bytes,
        manifest.content.bytes
    );
    let check = check.with_server(DatabaseUrl::parse(&db.url()).unwrap());
    let (record, _) = drill(&store, &manifest, &check, &mut |_| ()).unwrap();
    assert_eq!(record.level, Level::Full);

    // Into a database that is not there yet.
    let new = target(&db, "_new");
    let options = RestoreOptions::new();
    let restored = restore(&store, &manifest, &new, &options, &mut |_| ()).unwrap();
    assert_eq!(restored.tables, manifest.tables);
    assert_eq!(restored.kept, None);
    let second = back_up(&url_text(&new), &store, Method::Logical).unwrap();
    assert_eq!(second.schema, manifest.schema);
    assert_eq!(second.tables, manifest.tables);
    drop_database(&db, &new.database_name().unwrap());
}

/// There is one check of a dump without a restore: what it finds ends by the same, however it is asked for.
#[test]
fn a_full_check_of_a_dump_is_none_and_is_not_called_so() {
    let db = TestDb::postgres();
    db.connect().execute("CREATE TABLE dice (face int)");
    let (_folder, store) = place();
    let mut manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    let full = VerifyOptions::new().with_level(Level::Full);
    let verified = verify(&store, &manifest, &full, &mut |_| ()).unwrap();
    assert_eq!(verified.level, Level::Quick);
    manifest.tables.push(db_backup::TableRows {
        name: "public.cards".to_owned(),
        rows: 52,
    });
    let bytes = manifest.seal().unwrap();
    let file = manifest.backup_name().unwrap().manifest();
    store
        .write_small(&file, &bytes, WriteMode::Replace)
        .unwrap();
    let error = verify(&store, &manifest, &full, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Unsound { .. }), "{error}");
    let failure = list(&store).unwrap().backups.remove(0).failure.unwrap();
    assert_eq!(failure.depth, Depth::Quick);
}

#[test]
fn over_a_database_only_when_nobody_is_connected_and_the_old_one_is_kept() {
    let db = filled();
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    let over = target(&db, "_over");
    let name = over.database_name().unwrap();
    db.connect().execute(&format!("CREATE DATABASE \"{name}\""));
    db.connect()
        .execute(&format!("ALTER DATABASE \"{name}\" SET work_mem TO '7MB'"));
    let mut client = Connection::open(&over, Access::ReadWrite).unwrap();
    client
        .conn()
        .batch_execute("CREATE TABLE precious (id int)")
        .unwrap();

    let options = RestoreOptions::new().with_replace(true);
    let error = restore(&store, &manifest, &over, &options, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(
        error.to_string().contains("others are connected"),
        "{error}"
    );
    drop(client);

    let options = options.with_replace(false);
    let error = wait_until_free(|| restore(&store, &manifest, &over, &options, &mut |_| ()));
    let error = error.unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");

    let options = options.with_replace(true);
    let restored = restore(&store, &manifest, &over, &options, &mut |_| ()).unwrap();
    let kept = restored.kept.unwrap();
    let mut old = Connection::open(&over.with_database(&kept), Access::ReadWrite).unwrap();
    old.conn().batch_execute("SELECT * FROM precious").unwrap();
    drop(old);
    let mut new = Connection::open(&over, Access::ReadWrite).unwrap();
    new.conn()
        .batch_execute(
            "SELECT 1 / (current_setting('work_mem') = '7MB')::int;
             SELECT 1 / (count(*) = 300)::int FROM \"odd.schema\".\"my \"\"table\"",
        )
        .unwrap();
    drop(new);
    drop_database(&db, &kept);
    drop_database(&db, &name);
}

#[test]
fn a_database_that_was_empty_is_not_dropped_with_what_came_meanwhile() {
    let db = filled();
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    let over = target(&db, "_empty");
    let name = over.database_name().unwrap();
    db.connect().execute(&format!("CREATE DATABASE \"{name}\""));
    let mut is_written = false;
    let mut write = |progress: Progress| {
        if progress.phase == Phase::Check && !is_written {
            is_written = true;
            let mut client = Connection::open(&over, Access::ReadWrite).unwrap();
            let precious = "CREATE TABLE precious AS SELECT 7 AS n";
            client.conn().batch_execute(precious).unwrap();
        }
    };
    let options = RestoreOptions::new();
    let error = restore(&store, &manifest, &over, &options, &mut write).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let mut client = Connection::open(&over, Access::ReadOnly).unwrap();
    let there = "SELECT 1 / (n = 7)::int FROM precious";
    client.conn().batch_execute(there).unwrap();
    drop(client);
    // With the word of its owner it is kept aside.
    let options = options.with_replace(true);
    let restored = wait_until_free(|| restore(&store, &manifest, &over, &options, &mut |_| ()));
    let kept = restored.unwrap().kept.unwrap();
    let mut old = Connection::open(&over.with_database(&kept), Access::ReadOnly).unwrap();
    old.conn().batch_execute(there).unwrap();
    drop(old);
    drop_database(&db, &kept);
    drop_database(&db, &name);
}

#[test]
fn what_was_restored_waits_if_somebody_comes_in_the_last_moment() {
    let db = filled();
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    let over = target(&db, "_busy");
    let name = over.database_name().unwrap();
    db.connect().execute(&format!("CREATE DATABASE \"{name}\""));
    let precious = "CREATE TABLE precious AS SELECT 7 AS n";
    run(&over, precious);
    let mut client = None;
    let mut connect = |progress: Progress| {
        if progress.phase == Phase::Swap && client.is_none() {
            client = Some(Connection::open(&over, Access::ReadOnly).unwrap());
        }
    };
    let options = RestoreOptions::new().with_replace(true);
    let error = restore(&store, &manifest, &over, &options, &mut connect).unwrap_err();
    let Error::Refused { reason, hint } = &error else {
        panic!("{error}")
    };
    assert!(reason.contains("others are connected"), "{reason}");
    let (_, waits_as) = reason.rsplit_once(' ').unwrap();
    assert!(
        waits_as.starts_with(&format!("{name}_restored_")),
        "{reason}"
    );
    run(&over, "SELECT n FROM precious");
    let rows = "SELECT 1 / (count(*) = 300)::int FROM \"odd.schema\".\"my \"\"table\"";
    run(&over.with_database(waits_as), rows);
    // As the hint says, when the one who came is gone.
    drop(client);
    let (_, statements) = hint.split_once(": ").unwrap();
    for statement in statements.split_inclusive(';') {
        wait_for("everybody to be gone", || {
            let admin = Connection::open(&over.with_database("postgres"), Access::ReadWrite);
            admin.unwrap().conn().batch_execute(statement).ok()
        });
    }
    run(&over, rows);
    let (_, kept) = statements.split_once(" RENAME TO ").unwrap();
    let kept = kept.split(';').next().unwrap().trim_matches('"').to_owned();
    run(&over.with_database(&kept), "SELECT n FROM precious");
    drop_database(&db, &kept);
    drop_database(&db, &name);
}

/// On a new server the roles of the old one are missing.
#[test]
fn an_owner_that_is_missing_is_said_with_the_way_out() {
    let db = filled();
    let role = format!(
        "owns_{}",
        DatabaseUrl::parse(&db.url())
            .unwrap()
            .database_name()
            .unwrap()
    );
    let mut conn = db.connect();
    conn.execute(&format!(
        "CREATE ROLE \"{role}\"; ALTER TABLE parts OWNER TO \"{role}\""
    ));
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    conn.execute(&format!(
        "ALTER TABLE parts OWNER TO CURRENT_USER; DROP ROLE \"{role}\""
    ));
    let new = target(&db, "_roles");
    let options = RestoreOptions::new();
    let error = restore(&store, &manifest, &new, &options, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains(&role), "{error}");
    assert!(
        error.hint().unwrap_or_default().contains("--no-owner"),
        "{error:?}"
    );
    let postgres = PostgresOptions::new().with_owners(false);
    let options = options.with_postgres(postgres);
    restore(&store, &manifest, &new, &options, &mut |_| ()).unwrap();
    drop_database(&db, &new.database_name().unwrap());
}

#[test]
fn settings_of_the_old_database_do_not_hinder_the_restore() {
    let db = filled();
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    let over = target(&db, "_set");
    let name = over.database_name().unwrap();
    for statement in [
        format!("CREATE DATABASE \"{name}\" CONNECTION LIMIT 5"),
        format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on"),
        format!("ALTER DATABASE \"{name}\" SET search_path = nowhere"),
    ] {
        db.connect().execute(&statement);
    }
    let options = RestoreOptions::new().with_replace(true);
    restore(&store, &manifest, &over, &options, &mut |_| ()).unwrap();
    let mut new = Connection::open(&over, Access::ReadWrite).unwrap();
    new.conn()
        .batch_execute(
            "SELECT 1 / (current_setting('default_transaction_read_only') = 'on')::int;
             SELECT 1 / (current_setting('search_path') = 'nowhere')::int;
             SELECT 1 / (datconnlimit = 5)::int FROM pg_database WHERE datname = current_database()",
        )
        .unwrap();
    drop(new);
    drop_database(&db, &name);
}

/// Nobody can make a database as long as somebody is in that which new ones are made after.
#[test]
fn a_trial_stays_out_of_the_template() {
    let db = TestDb::postgres();
    db.connect().execute("CREATE TABLE dice (id int)");
    let (_folder, store) = place();
    let manifest = back_up(&db.url(), &store, Method::Logical).unwrap();
    // Who makes a scratch database bears its name.
    let is_free = Invariant::new("free", |conn| {
        let asked = conn.batch_execute(
            "SELECT 1 / (count(*) = 0)::int FROM pg_stat_activity
             WHERE datname = 'template1' AND application_name = current_database()",
        );
        Ok(asked.err().iter().map(ToString::to_string).collect())
    });
    let server = DatabaseUrl::parse(&db.url()).unwrap();
    for server in [server.with_database("postgres"), server] {
        let options = VerifyOptions::new()
            .with_server(server)
            .with_invariant(is_free.clone());
        drill(&store, &manifest, &options, &mut |_| ()).unwrap();
    }
}

/// A connection that was closed is gone from the server a moment later.
fn wait_until_free<T>(mut again: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let since = std::time::Instant::now();
    loop {
        match again() {
            Err(Error::Refused { reason, .. })
                if reason.contains("others are connected") && since.elapsed().as_secs() < 30 => {}
            done => return done,
        }
    }
}

pub(super) fn url_text(url: &DatabaseUrl) -> String {
    match url {
        DatabaseUrl::Postgres(text) => text.clone(),
        other => panic!("{other}"),
    }
}

/// A check that asks for what is not there costs neither the snapshot, which `pg_dump` has yet to take up, nor its own
/// words.
#[test]
fn a_check_that_fails_keeps_no_dump_from_its_snapshot() {
    let db = TestDb::postgres();
    db.connect().execute("CREATE TABLE theirs (id int)");
    let (_folder, store) = place();
    let source = Source {
        url: DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    let ask = |conn: &mut Conn<'_>| {
        let asked = conn.batch_execute("SELECT * FROM ours");
        asked.map_err(|e| db_core::Error::classify(Engine::Postgres, &e))
    };
    let tolerant = Invariant::where_possible("tolerant", move |conn| {
        let why = ask(conn).unwrap_err().told();
        Ok(Observation::Unchecked { why })
    });
    let holds = Invariant::new("holds", |conn| {
        conn.batch_execute("SELECT * FROM theirs")
            .map_err(|e| db_core::Error::classify(Engine::Postgres, &e))?;
        Ok(Vec::new())
    });
    let options = BackupOptions::new()
        .with_invariant(tolerant)
        .with_invariant(holds);
    let made = db_backup::create(&source, &store, &options, &mut |_| ()).unwrap();
    assert_eq!(made.proof.invariants, ["holds"]);
    assert!(made.proof.unchecked[0].why.contains("ours"), "{made:?}");
    let strict = Invariant::new("strict", move |conn| ask(conn).map(|()| Vec::new()));
    let options = BackupOptions::new().with_invariant(strict);
    let refused = db_backup::create(&source, &store, &options, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, Error::Database { .. }), "{refused}");
}

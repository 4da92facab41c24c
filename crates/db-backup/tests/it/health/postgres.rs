//! Faults of a server, on one of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use db_backup::health::{
    Cost, Examiner, HealthMonitor, HealthReport, Limit, Selection, State, Verdict, metrics,
};
use db_core::{Access, Connection, DatabaseUrl, ErrorKind};
use db_migrate::MigrateOptions;
use db_testkit::{Cluster, Stop, TestDb, cluster};

use super::{World, assert_well, find, flips, migrator, patient, patient_of, states};

fn connect(url: &str) -> Connection {
    Connection::open(&DatabaseUrl::parse(url).unwrap(), Access::ReadWrite).unwrap()
}

fn execute(connection: &mut Connection, sql: &str) {
    connection.conn().batch_execute(sql).unwrap();
}

fn migrated(server: &Cluster) -> Connection {
    let mut connection = connect(&server.url());
    let done = migrator().migrate(connection.conn(), &MigrateOptions::default());
    assert!(done.unwrap().is_success());
    connection
}

/// Looks until a check says what is expected: a standby needs its time.
#[track_caller]
fn until(examiner: &Examiner, is_so: impl Fn(&HealthReport) -> bool) -> HealthReport {
    let began = Instant::now();
    loop {
        let report = examiner.examine(&Selection::Cheap);
        if is_so(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{report:#?}");
    }
}

#[test]
fn an_index_that_is_invalid() {
    let db = TestDb::postgres();
    let (_, examiner) = patient_of(&db);
    let set = |valid: bool| {
        db.connect().execute(&format!(
            "UPDATE pg_index SET indisvalid = {valid} WHERE indexrelid = 'idx_bets_player_id'::regclass"
        ));
    };
    let found = flips(
        &examiner,
        ("invalid_indexes", State::Fail),
        || set(false),
        || set(true),
    );
    assert_eq!(found.names, ["idx_bets_player_id"]);
}

#[test]
fn a_transaction_that_stays_open() {
    let db = TestDb::postgres();
    let (world, _) = patient_of(&db);
    let mut limits = patient();
    limits.oldest_transaction = Limit::new(Duration::from_millis(50), Duration::from_hours(1));
    let examiner = world.examiner(world.target(&db.url()), limits);
    let mut other = connect(&db.url());
    execute(&mut other, "BEGIN; SELECT count(*) FROM bets");
    let report = until(&examiner, |r| find(r, "transactions").state != State::Ok);
    let found = find(&report, "transactions");
    assert!(found.names[0].contains("idle in transaction"), "{found:?}");
    execute(&mut other, "COMMIT");
    until(&examiner, |r| find(r, "transactions").state == State::Ok);
}

/// What could not be looked at is named, and is not ok.
#[test]
fn indexes_are_checked_where_amcheck_is_there() {
    let db = TestDb::postgres();
    let (_, examiner) = patient_of(&db);
    let named = Selection::Named(vec!["integrity".to_owned()]);
    let report = examiner.examine(&named);
    let found = find(&report, "integrity");
    assert_eq!(found.state, State::Unknown, "{found:?}");
    let (_, unseen) = found.observed.split_once("not checked: ").unwrap();
    assert!(
        unseen.contains("indexes and tables (the extension amcheck"),
        "{found:?}"
    );
    let hint = found.hint.as_deref().unwrap_or_default();
    assert!(hint.contains("CREATE EXTENSION amcheck"), "{found:?}");
    db.connect()
        .execute("CREATE EXTENSION amcheck; INSERT INTO players VALUES (1, 'a')");
    let report = examiner.examine(&named);
    let found = find(&report, "integrity");
    let checked =
        found.observed.contains("indexes and ") && found.observed.contains("tables checked");
    assert!(checked, "{found:?}");
    let keeps_checksums = db
        .connect()
        .conn()
        .batch_execute("SELECT 1 / (current_setting('data_checksums') = 'on')::int")
        .is_ok();
    let (state, unseen) = if keeps_checksums {
        (State::Ok, false)
    } else {
        (State::Unknown, true)
    };
    assert_eq!(found.state, state, "{found:?}");
    let says = found.observed.contains("not checked: what rows hold");
    assert_eq!(says, unseen, "{found:?}");
}

#[test]
fn tables_that_are_mostly_dead() {
    let db = TestDb::postgres();
    let (world, _) = patient_of(&db);
    let mut limits = patient();
    limits.dead_rows_least = 100;
    let examiner = world.examiner(world.target(&db.url()), limits);
    db.connect().execute(
        "ALTER TABLE players SET (autovacuum_enabled = off);
         INSERT INTO players SELECT g, 'x' FROM generate_series(1, 1000) g;
         DELETE FROM players WHERE id > 100",
    );
    let report = until(&examiner, |r| find(r, "bloat").state != State::Ok);
    let found = find(&report, "bloat");
    assert!(
        found.names[0].contains("players: 900 dead of 1000"),
        "{found:?}"
    );
    db.connect().execute("VACUUM players");
    until(&examiner, |r| find(r, "bloat").state == State::Ok);
}

#[test]
fn an_ordinary_role_is_told_what_it_may_not_see() {
    let db = TestDb::postgres();
    let (world, _) = patient_of(&db);
    let role = format!("plain_{}", std::process::id());
    db.connect().execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA public TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    let url = db.url();
    let (_, server) = url.split_once('@').unwrap();
    let url = format!("postgres://{role}:pw@{server}");
    let report = world
        .examiner(world.target(&url), patient())
        .examine(&Selection::All);
    let wal = find(&report, "wal");
    assert_eq!(wal.state, State::Unknown, "{wal:?}");
    assert!(wal.hint.as_ref().unwrap().contains("pg_monitor"), "{wal:?}");
    assert_ne!(report.state(), State::Fail, "{report:#?}");
    let mut admin = db.connect();
    admin.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_server_that_is_down() {
    let server = cluster(&[]);
    drop(migrated(&server));
    let world = World::new();
    let examiner = world.examiner(world.target(&server.url()), patient());
    let whole = examiner.examine(&Selection::All);
    let before = states(&whole);
    assert_well(&whole);
    server.stop(Stop::Immediate).unwrap();
    let report = examiner.examine(&Selection::All);
    assert_eq!(
        report.refused.as_ref().map(db_core::Error::kind),
        Some(ErrorKind::Unavailable)
    );
    for result in &report.results {
        let expected = match result.name.as_ref() {
            "connectivity" => State::Fail,
            "backup" | "restore_drill" => State::Ok,
            _ => State::Unknown,
        };
        assert_eq!(result.state, expected, "{result:?}");
    }
    server.start_again().unwrap();
    assert_eq!(states(&examiner.examine(&Selection::All)), before);
}

#[test]
fn a_standby_that_does_not_replay_and_a_slot_that_nobody_reads() {
    let primary = cluster(&[]);
    let mut writer = migrated(&primary);
    let standby = primary.standby().unwrap();
    let world = World::new();
    let mut limits = patient();
    limits.replica_lag = Limit::new(Duration::from_millis(1), Duration::from_hours(1));
    limits.slot_retained = Limit::new(1 << 20, 1 << 30);
    let replica = DatabaseUrl::parse(&standby.url()).unwrap();
    let known = world.target(&primary.url()).with_replicas(vec![replica]);
    let examiner = world.examiner(known, limits.clone());
    let fresh = until(&examiner, |r| find(r, "replication").state == State::Ok);
    assert_well(&fresh);

    // A pause is seen, and what it costs as soon as something is written.
    execute(&mut connect(&standby.url()), "SELECT pg_wal_replay_pause()");
    execute(&mut writer, "INSERT INTO players VALUES (1, 'a')");
    let report = until(&examiner, |r| {
        let lag = find(r, "replication").measured(metrics::REPLICA_LAG_BYTES);
        find(r, "replication").state == State::Warn && lag > Some(0.0)
    });
    let found = find(&report, "replication");
    assert!(found.observed.contains("paused"), "{found:?}");
    let others = report.results.iter().filter(|r| r.name != "replication");
    others.for_each(|r| assert!(r.state <= State::Unknown, "{r:?}"));
    // Who does not know the standby's address sees by the primary how far it is behind.
    let mut by_bytes = limits.clone();
    by_bytes.replica_lag_bytes = Limit::new(1, 1 << 40);
    let blind = world.examiner(world.target(&primary.url()), by_bytes);
    until(&blind, |r| find(r, "replication").state == State::Warn);
    execute(
        &mut connect(&standby.url()),
        "SELECT pg_wal_replay_resume()",
    );
    until(&examiner, |r| find(r, "replication").state == State::Ok);

    // The standby looked at itself takes no writes, and is well otherwise.
    let itself = world.examiner(world.target(&standby.url()), limits.clone());
    let report = until(&itself, |r| find(r, "replication").state == State::Ok);
    assert_eq!(find(&report, "writable").state, State::Warn);

    // A slot keeps the log from its creation on.
    execute(
        &mut writer,
        "SELECT pg_create_physical_replication_slot('idle', true)",
    );
    execute(
        &mut writer,
        "CREATE TABLE filler AS SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g; DROP TABLE filler",
    );
    let report = until(&examiner, |r| find(r, "slots").state == State::Warn);
    assert!(
        find(&report, "slots").names[0].starts_with("idle"),
        "{report:#?}"
    );
    execute(&mut writer, "SELECT pg_drop_replication_slot('idle')");
    until(&examiner, |r| find(r, "slots").state == State::Ok);

    // One that is gone is not merely late.
    standby.stop(Stop::Fast).unwrap();
    let report = examiner.examine(&Selection::Cheap);
    assert_eq!(find(&report, "replication").state, State::Fail);
}

#[test]
fn an_archive_command_that_fails() {
    let server = cluster(&[("archive_mode", "on"), ("archive_command", "false")]);
    let mut writer = migrated(&server);
    let world = World::new();
    let examiner = world.examiner(world.target(&server.url()), patient());
    execute(
        &mut writer,
        "INSERT INTO players VALUES (1, 'a'); SELECT pg_switch_wal()",
    );
    let report = until(&examiner, |r| find(r, "wal_archive").state == State::Fail);
    assert_eq!(report.state(), State::Fail);
    execute(&mut writer, "ALTER SYSTEM SET archive_command = 'true'");
    execute(&mut writer, "SELECT pg_reload_conf()");
    until(&examiner, |r| find(r, "wal_archive").state == State::Ok);
}

#[test]
fn a_standby_that_hangs_holds_up_nobody() {
    let primary = cluster(&[]);
    drop(migrated(&primary));
    let standby = primary.standby().unwrap();
    let world = World::new();
    let replica = DatabaseUrl::parse(&standby.url()).unwrap();
    let known = world.target(&primary.url()).with_replicas(vec![replica]);
    let examiner = world.examiner(known, patient());
    until(&examiner, |r| find(r, "replication").state == State::Ok);
    let frozen = standby.freeze().unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        let report = examiner.examine(&Selection::Cheap);
        let found = find(&report, "replication");
        assert_eq!(found.state, State::Fail, "{found:?}");
        assert_eq!(find(&report, "connectivity").state, State::Ok);
    }
    // One wait of the look's, or of connecting.
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "{:?}",
        began.elapsed()
    );
    // Nor does it hold up the end of a monitor in the midst of a look.
    let replica = DatabaseUrl::parse(&standby.url()).unwrap();
    let known = world.target(&primary.url()).with_replicas(vec![replica]);
    let monitor = HealthMonitor::of(world.examiner(known, patient()));
    let monitor = monitor.start().unwrap();
    let began = Instant::now();
    drop(monitor);
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    drop(frozen);
    until(&examiner, |r| find(r, "replication").state == State::Ok);
}

#[test]
fn an_archive_that_nobody_fills() {
    let server = cluster(&[("archive_mode", "on"), ("archive_command", "")]);
    let mut writer = migrated(&server);
    let world = World::new();
    let examiner = world.examiner(world.target(&server.url()), patient());
    let report = examiner.examine(&Selection::Cheap);
    let found = find(&report, "wal_archive");
    assert_eq!(found.state, State::Fail, "{found:?}");
    assert!(found.observed.contains("no archive_command"), "{found:?}");
    // One that hangs does not fail.
    execute(
        &mut writer,
        "ALTER SYSTEM SET archive_command = 'sleep 100000'",
    );
    execute(&mut writer, "SELECT pg_reload_conf()");
    execute(
        &mut writer,
        "INSERT INTO players VALUES (1, 'a'); SELECT pg_switch_wal()",
    );
    let report = until(&examiner, |r| {
        find(r, "wal_archive").observed.contains("waits for")
    });
    assert_eq!(find(&report, "wal_archive").state, State::Ok);
}

#[test]
fn log_that_is_kept_on_purpose_is_no_trouble() {
    let server = cluster(&[("min_wal_size", "32MB"), ("max_wal_size", "32MB")]);
    let mut writer = migrated(&server);
    let world = World::new();
    let examiner = world.examiner(world.target(&server.url()), patient());
    execute(&mut writer, "ALTER SYSTEM SET wal_keep_size = '1GB'");
    execute(&mut writer, "SELECT pg_reload_conf()");
    let report = until(&examiner, |r| find(r, "wal").state == State::Ok);
    assert!(find(&report, "wal").limit.as_ref().unwrap().contains("GiB"));
    execute(&mut writer, "ALTER SYSTEM SET wal_keep_size = 0");
    execute(
        &mut writer,
        "ALTER SYSTEM SET max_slot_wal_keep_size = '3GB'",
    );
    execute(&mut writer, "SELECT pg_reload_conf()");
    // A bound without a slot keeps nothing.
    until(&examiner, |r| {
        !find(r, "wal").limit.as_ref().unwrap().contains("GiB")
    });
    execute(
        &mut writer,
        "SELECT pg_create_physical_replication_slot('bounded', true)",
    );
    until(&examiner, |r| {
        find(r, "wal").limit.as_ref().unwrap().contains("GiB")
    });
}

#[test]
fn a_backup_is_not_a_transaction_that_was_forgotten() {
    let db = TestDb::postgres();
    let (world, _) = patient_of(&db);
    let mut limits = patient();
    limits.oldest_transaction = Limit::new(Duration::from_millis(1), Duration::from_millis(2));
    let examiner = world.examiner(world.target(&db.url()), limits);
    // A dump that waits for a table.
    let mut blocker = connect(&db.url());
    let folder = tempfile::tempdir().unwrap();
    let store = db_backup::LocalStore::new(folder.path().join("backups"));
    std::thread::scope(|scope| {
        execute(
            &mut blocker,
            "BEGIN; LOCK TABLE bets IN ACCESS EXCLUSIVE MODE",
        );
        let backup = scope.spawn(|| {
            let source = db_backup::Source {
                url: DatabaseUrl::parse(&db.url()).unwrap(),
                key: None,
            };
            db_backup::create(
                &source,
                &store,
                &db_backup::BackupOptions::default(),
                &mut |_| (),
            )
        });
        let only = Selection::Named(vec!["transactions".to_owned()]);
        let began = Instant::now();
        let found = loop {
            let report = examiner.examine(&only);
            let found = find(&report, "transactions").clone();
            if found.observed.contains("a backup runs") && !found.observed.contains("for 0") {
                break found;
            }
            assert!(began.elapsed() < Duration::from_mins(1), "{found:?}");
        };
        // Only who holds up the backup is named.
        assert!(
            found.names.iter().all(|n| !n.contains("backup")),
            "{found:?}"
        );
        assert_eq!(found.names.len(), 1, "{found:?}");
        execute(&mut blocker, "COMMIT");
        backup.join().unwrap().unwrap();
    });
}

#[test]
fn damage_that_a_check_meets_is_damage() {
    let db = TestDb::postgres();
    let (_, examiner) = patient_of(&db);
    let mut conn = connect(&db.url());
    execute(
        &mut conn,
        "CREATE EXTENSION amcheck;
         CREATE TABLE hit (id int PRIMARY KEY);
         INSERT INTO hit SELECT g FROM generate_series(1, 5000) g;
         UPDATE pg_class SET relfilenode = (SELECT relfilenode FROM pg_class WHERE relname = 'hit')
         WHERE relname = 'hit_pkey'",
    );
    drop(conn);
    let report = examiner.examine(&Selection::Named(vec!["integrity".to_owned()]));
    let found = find(&report, "integrity");
    assert_eq!(found.state, State::Fail, "{found:?}");
    assert!(found.names[0].starts_with("hit_pkey"), "{found:?}");
}

/// By its code: nobody knows all of the words.
#[test]
fn damage_is_known_in_words_that_nobody_knows() {
    for (code, state) in [
        ("XX001", State::Fail),
        ("XX002", State::Fail),
        ("P0001", State::Unknown),
    ] {
        let db = TestDb::postgres();
        let (_, examiner) = patient_of(&db);
        db.connect().execute(&format!(
            "CREATE EXTENSION amcheck;
             CREATE OR REPLACE FUNCTION bt_index_check(index regclass) RETURNS void
             LANGUAGE plpgsql AS $$ BEGIN
                 IF index::text = 'idx_bets_player_id' THEN
                     RAISE EXCEPTION 'diese Seite ist hin' USING ERRCODE = '{code}';
                 END IF;
             END $$"
        ));
        let report = examiner.examine(&Selection::Named(vec!["integrity".to_owned()]));
        let found = find(&report, "integrity");
        assert_eq!(found.state, state, "{code}: {found:?}");
        let named = found.names.iter().any(|name| name.contains("diese Seite"));
        assert_eq!(named, state == State::Fail, "{found:?}");
    }
}

/// Without what reads the data, that nothing was met says nothing.
#[test]
fn damage_stays_where_nothing_reads_the_data() {
    let db = TestDb::postgres();
    let (world, _) = patient_of(&db);
    let hit = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&hit);
    let examiner = world
        .examiner(world.target(&db.url()), patient())
        .with_check("own", Cost::Cheap, move |_, _| {
            if asked.load(Ordering::SeqCst) {
                return Err(db_core::Error::new(ErrorKind::Corrupt, "a page is damaged").into());
            }
            Ok(Verdict::ok("well"))
        });
    let look = || examiner.examine(&Selection::All);
    assert_eq!(find(&look(), "damage").state, State::Fail);
    hit.store(false, Ordering::SeqCst);
    let report = look();
    assert_eq!(
        find(&report, "integrity").state,
        State::Unknown,
        "{report:#?}"
    );
    assert_eq!(find(&report, "damage").state, State::Fail);
    db.connect().execute("CREATE EXTENSION amcheck");
    let report = look();
    let was_read = find(&report, "integrity").state == State::Ok;
    let damage = find(&report, "damage").state;
    assert_eq!(damage == State::Ok, was_read, "{report:#?}");
}

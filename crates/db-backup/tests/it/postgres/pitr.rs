//! Base backups, and restores that hit the exact last transaction.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use db_backup::postgres::wal::{self, Pushed};
use db_backup::postgres::{
    PostgresOptions, Recovered, RecoveryTarget, WalFile, WalKind, restore_base,
};
use db_backup::{
    Codec, Error, Identities, Kind, LocalStore, Manifest, Method, RestoreOptions, VerifyOptions,
    drill, list, verify,
};
use db_core::{Access, Connection, DatabaseUrl};
use db_testserver::Cluster;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

use super::{as_account, back_up, place};

/// So many targets are tried, unless `BITCRAPS_TEST_TARGETS` says more.
const TARGETS: usize = 4;

/// Transactions after the base backup.
const TRANSACTIONS: i64 = 40;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

pub(super) fn ask(conn: &mut PgConnection, text: &str, number: &str) -> (String, i64) {
    let row: Row = sql_query(format!(
        "SELECT ({text})::text AS text, ({number})::bigint AS number"
    ))
    .get_result(conn)
    .unwrap();
    (row.text, row.number)
}

/// What was true when one transaction was committed and the next one had not begun.
struct Moment {
    committed: DateTime<Utc>,
    lsn: String,
    point: String,
}

struct History {
    cluster: Cluster,
    _folder: tempfile::TempDir,
    base: PathBuf,
    store: LocalStore,
    manifest: Manifest,
    moments: Vec<Moment>,
}

/// A server, a base backup of it, and transactions after it, all of whose log is archived.
fn history() -> History {
    let cluster = db_testkit::cluster(&[
        ("wal_keep_size", "1GB"),
        ("track_commit_timestamp", "on"),
        ("max_prepared_transactions", "3"),
    ]);
    let (folder, store) = place();
    let url = DatabaseUrl::parse(&cluster.url()).unwrap();
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let db_core::Conn::Postgres(conn) = connection.conn() else {
        panic!("not PostgreSQL");
    };
    run(conn, "CREATE TABLE history (id bigint PRIMARY KEY)");
    let manifest = back_up(&cluster.url(), &store, Method::Base).unwrap();
    let mut moments: Vec<Moment> = Vec::new();
    for id in 1..=TRANSACTIONS {
        run(conn, &format!("INSERT INTO history VALUES ({id})"));
        let (lsn, micros) = ask(
            conn,
            "pg_current_wal_lsn()",
            &format!(
                "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000
                 FROM history WHERE id = {id}"
            ),
        );
        let point = format!("after_{id}");
        run(conn, &format!("SELECT pg_create_restore_point('{point}')"));
        let committed = DateTime::from_timestamp_micros(micros).unwrap();
        assert!(moments.last().is_none_or(|last| last.committed < committed));
        moments.push(Moment {
            committed,
            lsn,
            point,
        });
    }
    run(conn, "INSERT INTO history VALUES (1000000)");
    run(conn, "SELECT pg_switch_wal()");
    run(conn, "CHECKPOINT");
    let (data, _) = ask(conn, "current_setting('data_directory')", "0");
    let (current, _) = ask(conn, "pg_walfile_name(pg_current_wal_lsn())", "0");
    archive(Path::new(&data), &current, &store);
    History {
        cluster,
        base: folder.path().join("restored"),
        _folder: folder,
        store,
        manifest,
        moments,
    }
}

pub(super) fn run(conn: &mut PgConnection, sql: &str) {
    diesel::connection::SimpleConnection::batch_execute(conn, sql).unwrap();
}

/// Pushes all finished segments, as the server's archiver would.
pub(super) fn archive(data: &Path, current: &str, store: &LocalStore) {
    let mut pushed = 0;
    for entry in data.join("pg_wal").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let Ok(file) = WalFile::parse(&path.file_name().unwrap().to_string_lossy()) else {
            continue;
        };
        if file.kind() == WalKind::Segment && file.as_str() < current {
            let first = wal::push(store, &Codec::default(), &path).unwrap();
            assert!(matches!(first, Pushed::Stored { .. }), "{first:?}");
            let again = wal::push(store, &Codec::default(), &path).unwrap();
            assert_eq!(again, Pushed::AlreadyThere);
            pushed += 1;
        }
    }
    assert!(pushed > 0);
}

impl History {
    fn restore(&self, name: &str, target: &RecoveryTarget) -> Result<Recovered, Error> {
        let options = RestoreOptions::new().with_postgres(as_account());
        let folder = self.base.join(name);
        std::fs::create_dir_all(&self.base).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&self.base, open).unwrap();
        restore_base(
            &self.store,
            &self.manifest,
            (&folder, target),
            &options,
            &mut |_| (),
        )
    }
}

fn rows(recovered: &Recovered) -> u64 {
    let found = recovered
        .tables
        .iter()
        .find(|table| table.name == "public.history");
    found.unwrap().rows
}

#[test]
fn each_target_hits_the_exact_last_transaction() {
    let history = history();
    assert_eq!(history.manifest.kind, Kind::PostgresBase);
    assert!(history.manifest.engine.start_wal.is_some());
    let targets = std::env::var("BITCRAPS_TEST_TARGETS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(TARGETS);
    for number in 0..targets {
        let id = fastrand::usize(1..=history.moments.len());
        let moment = &history.moments[id - 1];
        let target = match number % 3 {
            0 => RecoveryTarget::Time(moment.committed),
            1 => RecoveryTarget::Lsn(moment.lsn.parse().unwrap()),
            _ => RecoveryTarget::RestorePoint(moment.point.clone()),
        };
        let recovered = history
            .restore(&format!("target_{number}"), &target)
            .unwrap();
        assert_eq!(rows(&recovered), id as u64, "{target:?}");
        assert_eq!(recovered.last_commit, Some(moment.committed), "{target:?}");
        assert!(recovered.timeline > 1, "{target:?}");
        assert!(recovered.folder.join("PG_VERSION").exists());
        assert!(!recovered.folder.join("postmaster.pid").exists());
        assert!(!recovered.folder.join("recovery.signal").exists());
        let mode = recovered.folder.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::remove_dir_all(&recovered.folder).unwrap();
    }
}

#[test]
fn all_of_the_log_and_what_is_refused() {
    let history = history();
    let check = VerifyOptions::new().with_postgres(as_account());
    verify(&history.store, &history.manifest, &check, &mut |_| ()).unwrap();
    let (record, _) = drill(&history.store, &history.manifest, &check, &mut |_| ()).unwrap();
    assert_eq!(record.bytes, history.manifest.content.bytes);

    // What no disk has room for fills none.
    let mut huge = history.manifest.clone();
    huge.content.bytes = 1 << 60;
    let to = history.base.join("huge");
    let options = RestoreOptions::new().with_postgres(as_account());
    let place = (to.as_path(), &RecoveryTarget::End);
    for error in [
        verify(&history.store, &huge, &check, &mut |_| ()).unwrap_err(),
        drill(&history.store, &huge, &check, &mut |_| ()).unwrap_err(),
        restore_base(&history.store, &huge, place, &options, &mut |_| ()).unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::Io { error, .. } if error.kind() == ErrorKind::StorageFull),
            "{error}"
        );
    }
    assert!(!to.exists());

    let recovered = history.restore("end", &RecoveryTarget::End).unwrap();
    assert_eq!(rows(&recovered), TRANSACTIONS as u64 + 1);
    assert!(recovered.wal_files > 0);
    assert!(
        recovered.start_with.contains("pg_ctl -D"),
        "{}",
        recovered.start_with
    );
    // Not over it a second time.
    let error = history.restore("end", &RecoveryTarget::End).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    // Before the backup, and after the log.
    let early = RecoveryTarget::Time(history.manifest.started_at - chrono::TimeDelta::hours(1));
    let error = history.restore("early", &early).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let late = RecoveryTarget::Time(history.manifest.started_at + chrono::TimeDelta::days(1));
    let error = history.restore("late", &late).unwrap_err();
    assert!(
        error.to_string().contains("ends before the target"),
        "{error}"
    );
    assert!(!history.base.join("late").exists());
    assert_eq!(history.base.read_dir().unwrap().count(), 1);

    // A file of the log that is damaged is not its end.
    let damaged = wal::list(&history.store).unwrap().pop().unwrap();
    let path = history.store_path().join(&damaged.stored);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let into = history.base.join("fetched");
    let none = Identities::default();
    let error = wal::fetch(&history.store, &none, &damaged.file, &into).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let error = history
        .restore("damaged", &RecoveryTarget::End)
        .unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(!history.base.join("damaged").exists());
    let missing = WalFile::parse("000000010000000A000000FF").unwrap();
    assert!(!wal::fetch(&history.store, &none, &missing, &into).unwrap());
    drop(history.cluster);
}

#[test]
fn a_segment_under_a_name_that_is_taken_is_refused() {
    let history = history();
    let stored = wal::list(&history.store).unwrap();
    let segment = &stored[0].file;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(segment.as_str());
    assert!(wal::fetch(&history.store, &Identities::default(), segment, &path).unwrap());
    // The same name and header, other content.
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = wal::push(&history.store, &Codec::default(), &path).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    // No segment at all.
    std::fs::write(&path, b"x").unwrap();
    let error = wal::push(&history.store, &Codec::default(), &path).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

/// A look that could not be taken says nothing of the backup, and is not remembered as one that failed.
#[test]
fn a_program_that_dies_makes_no_bad_backup() {
    let cluster = db_testkit::cluster(&[]);
    let (_folder, store) = place();
    let manifest = back_up(&cluster.url(), &store, Method::Base).unwrap();
    let url = DatabaseUrl::parse(&cluster.url()).unwrap();
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let db_core::Conn::Postgres(conn) = connection.conn() else {
        panic!("not PostgreSQL");
    };
    let (bin, _) = ask(
        conn,
        "(SELECT setting FROM pg_config WHERE name = 'BINDIR')",
        "0",
    );
    let real = Path::new(&bin);
    let programs = tempfile::tempdir().unwrap();
    for program in ["pg_waldump", "pg_controldata"] {
        std::os::unix::fs::symlink(real.join(program), programs.path().join(program)).unwrap();
    }
    let looks = |end: &str| {
        let path = programs.path().join("pg_verifybackup");
        let real = real.join("pg_verifybackup");
        let script = format!(
            "#!/bin/sh\ntest \"$1\" = --version && exec {} --version\n{end}\n",
            real.display()
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = PostgresOptions::new().with_bin(programs.path().to_owned());
        let check = VerifyOptions::new().with_postgres(programs);
        let error = verify(&store, &manifest, &check, &mut |_| ()).unwrap_err();
        let failure = list(&store).unwrap().backups.remove(0).failure;
        (error, failure)
    };
    for end in [
        "kill -9 $$",
        "echo 'pg_verifybackup: error: could not open file: Too many open files' >&2; exit 1",
    ] {
        let (error, failure) = looks(end);
        assert!(matches!(error, Error::ToolFailed { .. }), "{error}");
        assert_eq!(failure, None);
    }
    let (error, failure) = looks("echo 'pg_verifybackup: error: checksum mismatch' >&2; exit 1");
    assert!(matches!(error, Error::Unsound { .. }), "{error}");
    assert!(failure.unwrap().why.contains("checksum mismatch"));
}

impl History {
    fn store_path(&self) -> PathBuf {
        PathBuf::from(db_backup::Store::location(&self.store))
    }
}

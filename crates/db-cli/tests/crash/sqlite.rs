//! `status` on the file of an application at work: it opens and closes the database as often as it
//! likes, and the application loses nothing.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use db_core::{Database, DatabaseConfig, Error, Synchronous};
use db_testkit::TestDb;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use crate::world::{folder, migrate, status};

/// Visits that are promised; `BITCRAPS_TEST_VISITS` without a limit of time.
const VISITS: u64 = 1_000;

/// How long they may take where nobody asks for all of them.
const TIME: Duration = Duration::from_secs(10);

const WRITERS: u64 = 4;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn number(database: &Database, sql: &str) -> i64 {
    let row: Result<Number, Error> =
        database.read(|conn| Ok(db_core::with_conn!(conn, |c| sql_query(sql).get_result(c))?));
    row.unwrap().n
}

/// The application's writes, as fast as they go, until it is over.
fn write(database: &Database, lane: u64, over: &AtomicBool, written: &AtomicU64) {
    for seq in 1.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let insert = format!("INSERT INTO bets VALUES ({lane}, {seq})");
        database
            .write(|conn| Ok::<_, Error>(conn.batch_execute(&insert)?))
            .unwrap();
        written.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn status_beside_an_application_at_full_rate_takes_nothing_from_it() {
    let asked = std::env::var("BITCRAPS_TEST_VISITS").ok();
    let visits = asked.as_ref().map_or(VISITS, |n| n.parse().unwrap());
    let (db, folder) = (TestDb::sqlite(), folder());
    assert!(
        migrate(&db, folder.path())
            .output()
            .unwrap()
            .status
            .success()
    );
    let config = DatabaseConfig::new(db.url()).synchronous(Synchronous::Full);
    let database = Database::open(&config).unwrap();
    let create = "CREATE TABLE bets (lane INTEGER, seq INTEGER, PRIMARY KEY (lane, seq)) STRICT";
    database
        .write(|conn| Ok::<_, Error>(conn.batch_execute(create)?))
        .unwrap();
    let log = PathBuf::from(format!("{}-wal", db.path().unwrap().display()));
    let inode = || log.metadata().unwrap().ino();
    let before = inode();

    let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let since = Instant::now();
    let mut visited = 0;
    std::thread::scope(|scope| {
        for lane in 0..WRITERS {
            let (database, over, written) = (&database, &over, &written);
            scope.spawn(move || write(database, lane, over, written));
        }
        while visited < visits && (asked.is_some() || since.elapsed() < TIME) {
            let told = status(&db, folder.path()).output().unwrap();
            let text = String::from_utf8_lossy(&told.stderr);
            assert!(told.status.success(), "visit {visited}: {text}");
            assert_eq!(inode(), before, "visit {visited} has replaced the log");
            visited += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    let took = since.elapsed();
    database.close(Duration::from_secs(10)).unwrap();

    let after = Database::open(&config).unwrap();
    let written = written.into_inner();
    let rows = number(&after, "SELECT count(*) AS n FROM bets");
    assert_eq!(u64::try_from(rows).unwrap(), written, "rows are lost");
    let sound = "SELECT count(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    assert_eq!(number(&after, sound), 1);
    #[expect(clippy::print_stderr, reason = "the figure is what one runs it for")]
    {
        eprintln!(
            "figure: status {visited} times in {took:.1?} beside {written} durable writes: \
             no row lost, the log is the same file"
        );
    }
}

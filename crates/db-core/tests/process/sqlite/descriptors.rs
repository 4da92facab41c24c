//! A process that has no file descriptor left: an error that does not speak of permissions, and
//! everything as before when there are some.

use std::time::Duration;

use db_core::{Database, ErrorKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{File, alone, durable, execute, integrity, number, report, say};

/// Descriptors beyond those in use, up to more than a database takes.
const FREE: std::ops::Range<u64> = 0..16;

fn in_use() -> u64 {
    // One of them is the listing's own.
    u64::try_from(std::fs::read_dir("/proc/self/fd").unwrap().count()).unwrap() - 1
}

#[test]
fn a_database_without_descriptors_says_so_and_loses_nothing() {
    alone(
        "sqlite::descriptors::a_database_without_descriptors_says_so_and_loses_nothing",
        |_| {
            let file = File::new();
            let config = durable(file.path()).connection_timeout(Duration::from_secs(5));
            let create = |conn: &mut db_core::Conn<'_>| execute(conn, "CREATE TABLE t (n INTEGER)");
            let database = Database::open(&config).unwrap();
            database.write(create).unwrap();
            database.close(Duration::from_secs(10)).unwrap();
            drop(database);
            let usual = getrlimit(Resource::Nofile);
            let (mut refused, mut written) = (0, 0);
            for free in FREE {
                let current = Some(in_use() + free);
                let maximum = usual.maximum;
                setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
                let done = Database::open(&config).and_then(|database| {
                    let insert = format!("INSERT INTO t VALUES ({free})");
                    let done = database.write(|conn| execute(conn, &insert));
                    written += i64::from(done.is_ok());
                    done?;
                    database.read(|conn| number(conn, "SELECT count(*) AS n FROM t"))
                });
                setrlimit(Resource::Nofile, usual).unwrap();
                if let Err(error) = done {
                    let kinds = [ErrorKind::CannotOpen, ErrorKind::Io];
                    assert!(
                        kinds.contains(&error.kind()),
                        "{free}: {:?}: {error}",
                        error.kind()
                    );
                    refused += 1;
                }
            }
            assert!(refused > 0, "the limit has no effect");
            assert!(written > 0, "the limit was always too low");
            let database = Database::open(&config).unwrap();
            let rows = database.read(|conn| number(conn, "SELECT count(*) AS n FROM t"));
            assert_eq!(rows.unwrap(), written);
            database.read(integrity).unwrap();
            report(format_args!(
                "{refused} of {} limits were too low: CannotOpen or Io, {written} writes, all there",
                FREE.count()
            ));
            say("done");
        },
    );
}

//! `kill -9` at points of backups, of a restore over a database, and of one to a point in time.
//!
//! Each round starts this very test binary again, which is killed at one of its steps or after a
//! random time. `BITCRAPS_TEST_KILLS` sets how often.

use std::path::Path;

use db_backup::postgres::{RecoveryTarget, restore_base};
use db_backup::{
    LocalStore, Method, RestoreOptions, Selector, VerifyOptions, create, find, list, restore,
    verify,
};
use db_core::{Access, Conn, Connection, DatabaseUrl};
use db_testkit::kill::{Work, Worker};
use db_testkit::{size, wait_until};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::dump::{run, url_text};
use super::faults::command_lines;
use super::gaps::world;
use super::{as_account, back_up, options, place, source};

/// The worker of the tests here, told by a role, the folder of the backups, and the URL or the target; by
/// itself it does nothing.
#[test]
fn worker() {
    let Some(mut at) = Work::of_this_process() else {
        return;
    };
    let task = at.task.clone();
    let lines: Vec<&str> = task.lines().collect();
    let store = LocalStore::new(lines[1]);
    match lines[0] {
        "restore" => {
            let manifest = find(&store, Selector::Latest).unwrap();
            let options = RestoreOptions::new().with_postgres(as_account());
            let place = (Path::new(lines[2]), &RecoveryTarget::End);
            restore_base(&store, &manifest, place, &options, &mut |_| at.step()).unwrap();
        }
        "load" => {
            let manifest = find(&store, Selector::Latest).unwrap();
            let options = RestoreOptions::new().with_replace(true);
            let target = DatabaseUrl::parse(lines[2]).unwrap();
            restore(&store, &manifest, &target, &options, &mut |_| at.step()).unwrap();
        }
        method => {
            let method = if method == "base" {
                Method::Base
            } else {
                Method::Logical
            };
            let source = source(lines[2]);
            create(&source, &store, &options(method), &mut |_| at.step()).unwrap();
        }
    }
    at.done();
}

/// A worker with these lines.
pub(super) fn told(task: String) -> Worker {
    Worker::new("postgres::kills::worker", task)
}

/// Waits until no program of a dead process works on this place any more.
fn wait_until_gone(place: &str) {
    wait_until("the dead one's programs to end", || {
        !command_lines().iter().any(|line| line.contains(place))
    });
}

/// Hidden names in a folder: nothing but its lock, when all is well.
fn hidden(folder: &Path) -> Vec<String> {
    let names = folder.read_dir().unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.') && name != ".lock")
        .collect()
}

/// Most were killed in time: the others are no proof of anything.
#[expect(clippy::print_stdout, reason = "the figure of a long run")]
fn enough(kills: u64, rounds: u64) {
    println!("{kills} of {rounds} were killed in time");
    assert!(kills * 2 >= rounds, "{kills} of {rounds}");
}

fn backup_is_killed(role: &str) {
    let cluster = db_testkit::cluster(&[]);
    let (folder, store) = place();
    let backups = folder.path().join("backups");
    let url = cluster.url();
    let url_of_dump = url.clone();
    let fill = DatabaseUrl::parse(&url_of_dump).unwrap();
    let mut connection = Connection::open(&fill, Access::ReadWrite).unwrap();
    let rows = "CREATE TABLE dice AS SELECT n, md5(n::text) FROM generate_series(1, 50000) n";
    connection.conn().batch_execute(rows).unwrap();
    drop(connection);
    let worker = told(format!("{role}\n{}\n{url}", backups.display()));
    let mut usual = worker.whole();
    let mut random = fastrand::Rng::with_seed(31);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    let mut made = 1;
    for round in 0..rounds {
        let killed = worker.kill(&mut usual, &mut |below| random.u64(..below));
        kills += u64::from(killed);
        let listing = list(&store).unwrap();
        for entry in &listing.backups {
            assert!(entry.is_complete(), "round {round}: {entry:?}");
        }
        let found = listing.backups.len();
        assert!(found == made || found == made + 1, "round {round}: {found}");
        made = found;
        let newest = find(&store, Selector::Latest).unwrap();
        verify(&store, &newest, &VerifyOptions::new(), &mut |_| ()).unwrap();
    }
    enough(kills, rounds);
    worker.whole();
    assert_eq!(hidden(&backups), [""; 0]);
    // Nothing of the dead ones holds the server's log.
    let mut connection = Connection::open(&fill, Access::ReadOnly).unwrap();
    let slots = "SELECT 1 / (count(*) = 0)::int FROM pg_replication_slots";
    wait_until("the slots to go", || {
        connection.conn().batch_execute(slots).is_ok()
    });
}

#[test]
fn a_killed_dump_is_none_or_complete() {
    backup_is_killed("dump");
}

#[test]
fn a_killed_base_backup_is_none_or_complete() {
    backup_is_killed("base");
}

const OLD: i64 = 3;
const NEW: i64 = 5;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Text)]
    name: String,
}

fn found(url: &DatabaseUrl, sql: &str) -> Vec<Found> {
    let mut connection = Connection::open(url, Access::ReadOnly).unwrap();
    let Conn::Postgres(conn) = connection.conn() else {
        panic!("no server")
    };
    sql_query(sql).load(conn).unwrap()
}

/// Which version a database is, all of it.
fn version(url: &DatabaseUrl) -> i64 {
    let versions = "SELECT n, ''::text AS name FROM versions";
    let rows = "SELECT count(*) AS n, ''::text AS name FROM dice";
    assert_eq!(found(url, rows)[0].n, 20_000);
    found(url, versions)[0].n
}

#[test]
fn a_killed_restore_of_a_dump_leaves_the_old_or_the_new() {
    let cluster = db_testkit::cluster(&[]);
    let (folder, store) = place();
    let admin = DatabaseUrl::parse(&cluster.url()).unwrap();
    let live = admin.with_database("live");
    let write = |version: i64| {
        let others =
            "SELECT 1::bigint AS n, datname::text AS name FROM pg_database WHERE datname ~ '^live'";
        for old in found(&admin, others) {
            run(
                &admin,
                &format!("DROP DATABASE \"{}\" WITH (FORCE)", old.name),
            );
        }
        run(&admin, "CREATE DATABASE live");
        run(
            &live,
            &format!(
                "CREATE TABLE versions AS SELECT {version}::bigint AS n;
                 CREATE TABLE dice AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n"
            ),
        );
    };
    write(NEW);
    back_up(&url_text(&live), &store, Method::Logical).unwrap();
    let backups = folder.path().join("backups");
    let worker = told(format!("load\n{}\n{}", backups.display(), url_text(&live)));
    write(OLD);
    let mut usual = worker.whole();
    let mut random = fastrand::Rng::with_seed(33);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    for round in 0..rounds {
        write(OLD);
        let killed = worker.kill(&mut usual, &mut |below| random.u64(..below));
        kills += u64::from(killed);
        let now = version(&live);
        let kept = "SELECT 1::bigint AS n, datname::text AS name FROM pg_database WHERE datname ~ '^live_before'";
        let kept = found(&admin, kept);
        assert!([OLD, NEW].contains(&now), "round {round}: {now}");
        assert_eq!(kept.len(), usize::from(now == NEW), "round {round}");
        for old in kept {
            assert_eq!(
                version(&admin.with_database(&old.name)),
                OLD,
                "round {round}"
            );
        }
    }
    enough(kills, rounds);
    // The next one takes away what the dead ones left, as soon as their sessions are gone.
    let scratch = "SELECT count(*) AS n, ''::text AS name FROM pg_database WHERE datname ~ '^bitcraps_scratch'";
    wait_until("a restore that leaves no scratch database", || {
        write(OLD);
        worker.whole();
        found(&admin, scratch)[0].n == 0
    });
    assert_eq!(version(&live), NEW);
}

#[test]
fn a_killed_restore_leaves_the_whole_folder_or_none() {
    let world = world();
    let backups = world.folder.path().join("backups");
    let parent = world.folder.path().join("servers");
    std::fs::create_dir(&parent).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&parent, open).unwrap();
    let target = parent.join("data");
    let task = format!("restore\n{}\n{}", backups.display(), target.display());
    let worker = told(task);
    let mut usual = worker.whole();
    let mut random = fastrand::Rng::with_seed(32);
    let (mut kills, rounds) = (0, size("KILLS", 6));
    for round in 0..rounds {
        if target.exists() {
            std::fs::remove_dir_all(&target).unwrap();
        }
        let killed = worker.kill(&mut usual, &mut |below| random.u64(..below));
        kills += u64::from(killed);
        wait_until_gone(parent.to_str().unwrap());
        // The next one needs what a whole one has; and it takes away what dead ones left.
        if target.exists() {
            for (file, there) in [
                ("PG_VERSION", true),
                ("backup_label.old", true),
                ("postmaster.pid", false),
                ("recovery.signal", false),
            ] {
                assert_eq!(target.join(file).exists(), there, "round {round}: {file}");
            }
        }
        assert!(
            hidden(&parent).len() <= 1,
            "round {round}: {:?}",
            hidden(&parent)
        );
        let listing = list(&world.store).unwrap();
        assert!(listing.backups.iter().all(db_backup::Entry::is_complete));
    }
    enough(kills, rounds);
    if target.exists() {
        std::fs::remove_dir_all(&target).unwrap();
    }
    worker.whole();
    assert_eq!(hidden(&parent), [""; 0]);
    assert!(target.join("PG_VERSION").exists());
}

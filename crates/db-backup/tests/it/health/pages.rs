//! Pages of tables that are damaged on the disk of a server.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use db_backup::health::{CheckResult, Examiner, Selection, State};
use db_core::{Access, Connection, DatabaseUrl};
use db_migrate::MigrateOptions;
use db_testkit::{Cluster, Stop, checksummed_cluster, cluster};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

use super::{World, find, migrator, patient};

/// A page, its header, and what follows that: where each row is on the page.
const PAGE: u64 = 8192;
const FIRST_LINE: u64 = 24;

#[derive(QueryableByName)]
struct Path {
    #[diesel(sql_type = Text)]
    path: String,
}

/// A server with a table of some pages, all of them on its disk.
struct Pages {
    server: Cluster,
    examiner: Examiner,
    file: PathBuf,
}

impl Pages {
    fn on(server: Cluster) -> Self {
        let mut connection = connect(&server);
        let done = migrator().migrate(connection.conn(), &MigrateOptions::default());
        assert!(done.unwrap().is_success());
        connection
            .conn()
            .batch_execute(
                "CREATE EXTENSION amcheck;
                 INSERT INTO players SELECT g, repeat('x', 100) FROM generate_series(1, 1000) g;
                 CHECKPOINT",
            )
            .unwrap();
        let db_core::Conn::Postgres(conn) = connection.conn() else {
            unreachable!()
        };
        let query =
            "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('players')
                     AS path";
        let path: Path = sql_query(query).get_result(conn).unwrap();
        let world = World::new();
        Self {
            examiner: world.examiner(world.target(&server.url()), patient()),
            file: path.path.into(),
            server,
        }
    }

    /// Puts bytes into the file while the server is down, and returns those that were there.
    fn put(&self, bytes: &[u8], at: u64) -> Vec<u8> {
        self.server.stop(Stop::Fast).unwrap();
        let file = File::options()
            .read(true)
            .write(true)
            .open(&self.file)
            .unwrap();
        let mut old = vec![0; bytes.len()];
        file.read_exact_at(&mut old, at).unwrap();
        file.write_all_at(bytes, at).unwrap();
        drop(file);
        self.server.start_again().unwrap();
        old
    }

    fn integrity(&self) -> CheckResult {
        let named = Selection::Named(vec!["integrity".to_owned()]);
        find(&self.examiner.examine(&named), "integrity").clone()
    }

    #[track_caller]
    fn is_damaged(&self, what: &str) {
        let found = self.integrity();
        assert_eq!(found.state, State::Fail, "{found:?}");
        let is_named = |name: &String| name.starts_with("players: ") && name.contains(what);
        assert!(found.names.iter().any(is_named), "{found:?}");
    }
}

fn connect(server: &Cluster) -> Connection {
    let url = DatabaseUrl::parse(&server.url()).unwrap();
    Connection::open(&url, Access::ReadWrite).unwrap()
}

/// In the middle of a row, where only a checksum sees it, and only who reads the page.
#[test]
fn a_flipped_byte_of_a_row_is_damage_where_there_are_checksums_postgres() {
    let pages = Pages::on(checksummed_cluster(&[("autovacuum", "off")]));
    let sound = pages.integrity();
    assert_eq!(sound.state, State::Ok, "{sound:?}");
    let at = 2 * PAGE - 50;
    let old = pages.put(b"y", at);
    assert_eq!(old, b"x");
    pages.is_damaged("invalid page in block 1");
    // Once it was met the statistics say so, too.
    pages.put(&old, at);
    connect(&pages.server)
        .conn()
        .batch_execute("SELECT pg_stat_reset()")
        .unwrap();
    let sound = pages.integrity();
    assert_eq!(sound.state, State::Ok, "{sound:?}");
}

/// Without checksums it is known how a page is built.
#[test]
fn a_page_that_is_built_wrongly_is_damage_without_checksums_postgres() {
    let pages = Pages::on(cluster(&[("autovacuum", "off")]));
    let before = pages.integrity();
    assert_eq!(before.state, State::Unknown, "{before:?}");
    // The first row of the second page begins 8 bytes (0x1ff8) before its end, and has 100.
    let line: u32 = 0x1ff8 | (1 << 15) | (100 << 17);
    let at = PAGE + FIRST_LINE;
    let old = pages.put(&line.to_ne_bytes(), at);
    pages.is_damaged("block 1, item 1");
    pages.put(&old, at);
    assert_eq!(pages.integrity().state, State::Unknown);
}

/// Whoever is not let in is named, and the others are read.
#[test]
fn a_table_that_is_locked_is_not_checked_postgres() {
    let pages = Pages::on(checksummed_cluster(&[("autovacuum", "off")]));
    let mut other = connect(&pages.server);
    let lock = "BEGIN; LOCK TABLE players IN ACCESS EXCLUSIVE MODE";
    other.conn().batch_execute(lock).unwrap();
    let found = pages.integrity();
    assert_eq!(found.state, State::Unknown, "{found:?}");
    assert!(found.observed.contains("players (its lock"), "{found:?}");
    assert!(found.observed.contains("tables checked"), "{found:?}");
    other.conn().batch_execute("COMMIT").unwrap();
    assert_eq!(pages.integrity().state, State::Ok);
}

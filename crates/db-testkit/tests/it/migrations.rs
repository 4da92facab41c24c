//! The migrations of BitCraps: each goes both ways, and every tool builds the same from them.

use db_core::Engine;
use db_migrate::{MigrationSet, Source};
use db_schema::migrations::{DIESEL_POSTGRES, DIESEL_SQLITE, POSTGRES, SQLITE};
use db_testkit::{TestConn, TestDb, both_engines};
use diesel_migrations::MigrationHarness as _;

use crate::support::{assert_same, catalog, down, filled, number, rows, up};

both_engines! {
    fn every_step_back_leaves_what_was_there_before(db: TestDb) {
        let mut conn = db.connect();
        let head = SQLITE.len();
        let mut states = vec![catalog(&mut conn)];
        for at in 1..=head {
            up(&mut conn, Some(at));
            let after = catalog(&mut conn);
            assert!(!after.compare(&states[at - 1], db_migrate::catalog::Mode::Strict).is_empty());
            down(&mut conn, at - 1);
            assert_same(&states[at - 1], &catalog(&mut conn), &format!("V{at} up and down"));
            up(&mut conn, Some(at));
            assert_same(&after, &catalog(&mut conn), &format!("V{at} up, down and up"));
            states.push(after);
            // The ways back below have rows in their way.
            conn.execute(&rows(db.engine(), at));
        }
        for at in (0..head).rev() {
            down(&mut conn, at);
            assert_same(&states[at], &catalog(&mut conn), &format!("from the head down to V{at}"));
        }
        // Nothing was left that the catalog does not see: it all goes in again.
        up(&mut conn, None);
        assert_same(&states[head], &catalog(&mut conn), "up again");
    }

    fn every_table_has_a_row_in_these_tests(db: TestDb) {
        let mut conn = filled(&db);
        for table in catalog(&mut conn).objects() {
            if table.kind == db_migrate::catalog::Kind::Table {
                let sql = format!("SELECT count(*) AS n FROM {}", table.name);
                assert!(number(&mut conn, &sql) > 0, "{}", table.name);
            }
        }
    }

    fn diesels_harness_builds_the_same(db: TestDb) {
        let (mut theirs, other) = (db.connect(), TestDb::new(db.engine()));
        let mut ours = other.connect();
        let empty = catalog(&mut ours);
        up(&mut ours, None);
        match &mut theirs {
            TestConn::Sqlite(c) => drop(c.run_pending_migrations(DIESEL_SQLITE).unwrap()),
            TestConn::Postgres(c) => drop(c.run_pending_migrations(DIESEL_POSTGRES).unwrap()),
        }
        assert_same(&catalog(&mut ours), &catalog(&mut theirs), "ours and Diesel's");
        // And what Diesel applied, we can take back, and the other way round.
        down(&mut theirs, 0);
        assert_same(&empty, &catalog(&mut theirs), "ours took back what Diesel did");
        match &mut ours {
            TestConn::Sqlite(c) => drop(c.revert_all_migrations(DIESEL_SQLITE).unwrap()),
            TestConn::Postgres(c) => drop(c.revert_all_migrations(DIESEL_POSTGRES).unwrap()),
        }
        assert_same(&empty, &catalog(&mut ours), "Diesel took back what we did");
    }
}

#[test]
fn both_engines_have_the_same_history() {
    let names = |all: db_migrate::EmbeddedFolder| -> Vec<&str> {
        all.iter().map(|(name, _)| *name).collect()
    };
    assert_eq!(names(SQLITE), names(POSTGRES));
}

#[test]
fn what_is_compiled_in_is_what_the_folder_holds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    for engine in Engine::ALL {
        let read = |source: Source| MigrationSet::load([source], engine).unwrap();
        let (files, texts) = (
            read(Source::folder(folder)),
            read(Source::embedded(SQLITE, POSTGRES)),
        );
        let seen = |set: &MigrationSet| -> Vec<_> {
            set.all()
                .iter()
                .map(|m| {
                    let sql = |text: Option<&str>| text.map(ToOwned::to_owned);
                    (
                        m.folder_name().to_owned(),
                        sql(m.up_sql()),
                        sql(m.down_sql().unwrap()),
                    )
                })
                .collect()
        };
        assert_eq!(seen(&files), seen(&texts));
    }
}

#[test]
fn every_migration_has_a_way_back_that_does_something() {
    for (name, files) in SQLITE.iter().chain(POSTGRES) {
        let down = files.iter().find(|(file, _)| *file == "down.sql");
        let (_, sql) = down.unwrap_or_else(|| panic!("{name} has no down.sql"));
        let does = sql
            .lines()
            .map(str::trim)
            .any(|line| !line.is_empty() && !line.starts_with("--"));
        assert!(does, "{name}/down.sql does nothing");
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn a_file_of_ours_says_so_and_no_longer_when_all_is_reverted() {
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        let sql = "SELECT application_id AS n FROM pragma_application_id";
        up(&mut conn, Some(1));
        // "BCDB" in ASCII.
        assert_eq!(number(&mut conn, sql), 0x4243_4442);
        down(&mut conn, 0);
        assert_eq!(number(&mut conn, sql), 0);
    }

    #[test]
    fn the_file_is_sound_after_all_of_it() {
        let db = TestDb::sqlite();
        let mut conn = filled(&db);
        down(&mut conn, 5);
        up(&mut conn, None);
        let ok = crate::support::text(
            &mut conn,
            "SELECT integrity_check AS t FROM pragma_integrity_check",
        );
        assert_eq!(ok.as_deref(), Some("ok"));
        let broken = "SELECT count(*) AS n FROM pragma_foreign_key_check";
        assert_eq!(number(&mut conn, broken), 0);
    }
}

//! Eight processes that start to migrate at the same moment: all succeed, and each migration is
//! applied once.

use db_testkit::{TestDb, both_engines};

use crate::world::{MIGRATIONS, consistent, folder, migrate};

const PROCESSES: usize = 8;

/// Starts them all and returns what those that failed said.
fn rush(db: &TestDb, folder: &std::path::Path) -> Vec<String> {
    let children: Vec<_> = (0..PROCESSES)
        .map(|_| migrate(db, folder).spawn().unwrap())
        .collect();
    children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .filter(|output| !output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
        .collect()
}

fn applications(db: &TestDb, folder: &std::path::Path) -> Vec<String> {
    let mut conn = db.connect();
    let migrator = db_migrate::Migrator::new(db_migrate::Source::folder(folder).named("bitcraps"));
    let log = migrator.log(conn.conn()).unwrap();
    log.into_iter()
        .filter(|event| event.kind == "applied")
        .filter_map(|event| event.version)
        .collect()
}

both_engines! {
    fn all_succeed_on_an_empty_database(db: TestDb) {
        let folder = folder();
        let failures = rush(&db, folder.path());
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(consistent(&db, folder.path()), MIGRATIONS);
        assert_eq!(applications(&db, folder.path()).len(), MIGRATIONS);
    }

    fn all_succeed_on_a_half_migrated_database(db: TestDb) {
        let folder = folder();
        let half = migrate(&db, folder.path())
            .args(["--to", &(MIGRATIONS / 2).to_string()])
            .output()
            .unwrap();
        assert!(half.status.success(), "{}", String::from_utf8_lossy(&half.stderr));
        let failures = rush(&db, folder.path());
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(consistent(&db, folder.path()), MIGRATIONS);
        let mut applied = applications(&db, folder.path());
        applied.dedup();
        assert_eq!(applied.len(), MIGRATIONS);
    }
}

//! One run at a time: many start together, each migration is applied once, and nobody fails.

use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use db_migrate::{Error, Event};
use db_testkit::{TestDb, both_engines};

use crate::support::{Folder, diesel_versions, log_kinds};

/// As many as an application has instances.
const RIVALS: usize = 8;

both_engines! {
    fn rivals_apply_each_migration_once(db: TestDb) {
        let folder = Folder::dice();
        for half_way in [false, true] {
            if half_way {
                folder.migrator().rollback(db.connect().conn()).unwrap();
            }
            let start = Barrier::new(RIVALS);
            let steps: usize = std::thread::scope(|scope| {
                let runs: Vec<_> = (0..RIVALS)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut conn = db.connect();
                            start.wait();
                            folder.run(&mut conn).steps.len()
                        })
                    })
                    .collect();
                runs.into_iter().map(|run| run.join().unwrap()).sum()
            });
            assert_eq!(steps, if half_way { 1 } else { 3 });
        }
        let mut conn = db.connect();
        assert_eq!(diesel_versions(&mut conn).len(), 3);
        let kinds = log_kinds(&folder.migrator(), &mut conn);
        assert_eq!(kinds.iter().filter(|k| *k == "applied").count(), 4);
    }

    fn a_wait_that_is_too_long_names_the_holder(db: TestDb) {
        let folder = Folder::dice();
        let (inside, is_inside) = std::sync::mpsc::channel();
        let (finish, may_finish) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Moved in, so that it is gone when this thread is.
                let (inside, may_finish) = (inside, Mutex::new(may_finish));
                folder
                    .migrator()
                    .on_event(move |event| {
                        if matches!(event, Event::Started { number: 1, .. }) {
                            inside.send(()).unwrap();
                            may_finish.lock().unwrap().recv().unwrap();
                        }
                    })
                    .run(db.connect().conn())
                    .unwrap();
            });
            is_inside.recv().unwrap();
            let error = folder
                .migrator()
                .wait(Duration::from_millis(30))
                .run(db.connect().conn())
                .unwrap_err();
            finish.send(()).unwrap();
            let Error::Locked { holder, .. } = error else { panic!("{error}") };
            let known = match db.engine() {
                db_core::Engine::Sqlite => format!("pid {}", std::process::id()),
                db_core::Engine::Postgres => "backend ".to_owned(),
            };
            assert!(holder.contains(&known), "{holder}");
        });
        assert_eq!(diesel_versions(&mut db.connect()).len(), 3);
    }

    fn an_interrupt_stops_between_statements(db: TestDb) {
        let folder = Folder::dice();
        let url = db_core::DatabaseUrl::parse(&db.url()).unwrap();
        let mut conn = db_core::Connection::open(&url, db_core::Access::Create).unwrap();
        let interrupt = conn.interrupt();
        let stop = conn.interrupt();
        let error = folder
            .migrator()
            .interrupt(interrupt.clone())
            .on_event(move |event| {
                if matches!(event, Event::Started { number: 2, .. }) {
                    stop.interrupt().unwrap();
                }
            })
            .run(conn.conn())
            .unwrap_err();
        let Error::Interrupted { report: Some(report) } = error else { panic!("{error}") };
        assert_eq!((report.steps.len(), report.not_run.len()), (1, 2));
        interrupt.clear();
        assert_eq!(crate::support::tables(&mut db.connect()), ["users"]);
        assert_eq!(folder.run(&mut db.connect()).steps.len(), 2);
    }
}

#[cfg(unix)]
mod sqlite {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use db_testkit::TestDb;

    use crate::support::Folder;

    /// Whoever may write the database may migrate it.
    #[test]
    fn the_lock_is_for_those_who_may_write_the_database() {
        let db = TestDb::sqlite();
        let folder = Folder::dice();
        folder.migrator().run(db.connect().conn()).unwrap();
        let path = db.path().unwrap();
        let lock = format!("{}-migrate.lock", path.display());
        for (mode, expected) in [(0o660, 0o660), (0o644, 0o600)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            folder.migrator().rollback(db.connect().conn()).unwrap();
            folder.migrator().run(db.connect().conn()).unwrap();
            let found = fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, expected, "{mode:o}: {found:o}");
        }
    }
}

/// The lock of the run is free, and that of the file is not.
#[test]
fn a_run_tells_that_another_program_writes_to_the_file() {
    let db = TestDb::sqlite();
    let folder = Folder::dice();
    folder.run(&mut db.connect());
    folder.add(
        "20240104000000_more",
        "CREATE TABLE more (id BIGINT);",
        "DROP TABLE more;",
    );
    let mut writer = db.connect();
    writer.execute("BEGIN IMMEDIATE");
    let seen = Arc::new(Mutex::new((writer, Vec::new())));
    let told = Arc::clone(&seen);
    let url = db_core::DatabaseUrl::parse(&db.url()).unwrap();
    let mut conn = db_core::Connection::open(&url, db_core::Access::ReadWrite).unwrap();
    let report = folder
        .migrator()
        .on_event(move |event| {
            if let Event::WaitingForLock { holder, .. } = event {
                let mut told = told.lock().unwrap();
                told.0.execute("ROLLBACK");
                told.1.push(holder.clone());
            }
        })
        .run(conn.conn())
        .unwrap();
    assert_eq!(report.steps.len(), 1);
    assert_eq!(
        seen.lock().unwrap().1,
        ["another program that writes to the database"]
    );
}

//! Maintenance on both engines, beside writers and readers.

mod postgres;
mod sqlite;

use std::time::Duration;

use db_backup::maintenance::{Event, Options, Report, Task, plan, run};
use db_core::{Access, Connection, DatabaseUrl};
use db_testkit::{TestDb, both_engines};

fn open(db: &TestDb) -> Connection {
    Connection::open(&DatabaseUrl::parse(&db.url()).unwrap(), Access::ReadWrite).unwrap()
}

fn options(tasks: &[Task]) -> Options {
    Options {
        tasks: tasks.to_vec(),
        wait: Duration::from_secs(5),
    }
}

fn done(db: &TestDb, tasks: &[Task]) -> Report {
    run(&mut open(db), &options(tasks), &mut |_| {}).unwrap()
}

both_engines! {
    fn everything_is_done_in_order_and_told(db: TestDb) {
        db.migrate();
        let mut connection = open(&db);
        let options = options(&Task::ALL);
        let planned = plan(&mut connection, &options).unwrap();
        assert!(planned.tasks.iter().all(|task| !task.blocks.is_empty()));
        let mut steps = Vec::new();
        let mut finished = Vec::new();
        let report = run(&mut connection, &options, &mut |event| match event {
            Event::Step { task, number, of, object } => {
                assert!(number <= of, "{task:?} {object}: {number} of {of}");
                steps.push(task);
            }
            Event::Finished { task, .. } => finished.push(task),
            _ => {}
        })
        .unwrap();
        assert_eq!(finished, Task::ALL);
        let planned: Vec<Task> = planned.tasks.iter().map(|task| task.task).collect();
        assert_eq!(planned, Task::ALL);
        assert!(steps.is_sorted_by_key(|step| Task::ALL.iter().position(|t| t == step)));
        assert_eq!(report.tasks.len(), Task::ALL.len());
        assert!(!report.has_damage() && !report.is_busy(), "{report:#?}");
        assert!(report.not_run.is_empty());
        let reindexed = &report.tasks[1];
        assert!(reindexed.task == Task::Reindex && reindexed.steps > 20, "{reindexed:?}");
    }

    fn what_was_deleted_is_given_back(db: TestDb) {
        db.connect().execute(
            "CREATE TABLE big (id INTEGER PRIMARY KEY, line TEXT NOT NULL);
             INSERT INTO big (id, line)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             SELECT i, '0123456789012345678901234567890123456789012345678901234567890' FROM n;",
        );
        db.connect().execute("DELETE FROM big WHERE id > 100");
        let report = done(&db, &[Task::Vacuum, Task::Checkpoint]);
        assert!(
            report.bytes_after < report.bytes_before * 9 / 10,
            "{report:#?}"
        );
    }

    fn an_interrupt_ends_it(db: TestDb) {
        db.migrate();
        let mut connection = open(&db);
        let interrupt = connection.interrupt();
        let mut seen = 0;
        let stopped = run(&mut connection, &options(&[Task::Reindex]), &mut |event| {
            if matches!(event, Event::Step { number: 3, .. }) {
                // Asks the connection itself; a server is not asked by the thread that uses it.
                drop(interrupt.interrupt());
            }
            seen += 1;
        });
        assert!(matches!(stopped, Err(db_backup::Error::Interrupted)), "{stopped:?}");
        assert!(seen < 10, "{seen} steps after it");
        interrupt.clear();
        assert!(!done(&db, &[Task::Check]).has_damage());
    }

    fn damage_is_found_and_nothing_is_written_after_it(db: TestDb) {
        db.connect().execute(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER PRIMARY KEY,
                                 parent_id INTEGER REFERENCES parent (id));
             INSERT INTO parent VALUES (1);
             INSERT INTO child VALUES (1, 1), (2, NULL);",
        );
        assert!(!done(&db, &[Task::Check]).has_damage());
        db.connect().execute(match db.engine() {
            db_core::Engine::Sqlite => "PRAGMA foreign_keys = OFF; DELETE FROM parent",
            // As a server with a damaged trigger would.
            db_core::Engine::Postgres => "SET session_replication_role = replica; DELETE FROM parent",
        });
        let report = done(&db, &[Task::Check, Task::Vacuum]);
        assert!(report.has_damage());
        assert_eq!(report.tasks[0].findings.len(), 1, "{report:#?}");
        assert_eq!(report.not_run, [Task::Vacuum]);
    }
}

//! The writer's thread takes no processor's time while a caller writes.

use std::time::{Duration, Instant};

use db_core::{Database, Error};

use crate::support::{File, Worker, config, execute, role, say};

/// How long one write lasts. A checkpoint falls due in it.
const WRITE: Duration = Duration::from_secs(2);

/// Processor time of the writer's thread of this process, in ticks of 10 ms.
fn ticks() -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let folder = task.unwrap().path();
        let name = std::fs::read_to_string(folder.join("comm")).unwrap();
        if name.trim() == "db-writer" {
            let stat = std::fs::read_to_string(folder.join("stat")).unwrap();
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            sum += fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        }
    }
    sum
}

#[test]
fn the_writers_thread_sleeps_beside_a_write_in_which_a_checkpoint_falls_due() {
    const TEST: &str =
        "sqlite::idle::the_writers_thread_sleeps_beside_a_write_in_which_a_checkpoint_falls_due";
    if let Some(role) = role() {
        // A process of its own, which has no other writer's thread.
        let config = config(&role.path).checkpoint_interval(Duration::from_millis(50));
        let database = Database::open(&config).unwrap();
        database
            .write(|conn| execute(conn, "CREATE TABLE t (n INTEGER)"))
            .unwrap();
        let before = ticks();
        database
            .write(|conn| {
                execute(conn, "INSERT INTO t VALUES (1)")?;
                let end = Instant::now() + WRITE;
                while Instant::now() < end {
                    std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
                }
                Ok::<_, Error>(())
            })
            .unwrap();
        return say(ticks() - before);
    }
    let file = File::new();
    let worker = Worker::start(TEST, file.path(), &[]);
    let ticks: u64 = worker.line().unwrap().parse().unwrap();
    // Of 200; where it polled it used what a busy machine left it, 45 at least.
    assert!(ticks < 20, "{ticks} ticks");
}

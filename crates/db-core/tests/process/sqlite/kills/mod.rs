//! `kill -9` of a writing process, again and again: what it was told to be committed is there,
//! nothing is there by halves, and the next process goes on.
//!
//! The worker writes in *lanes*, one per thread or task. Each write is number `seq` of its lane, in
//! two tables, and is acknowledged on a pipe after `write` has returned. So after a kill each lane
//! must hold exactly 1, 2, … up to the acknowledged number, or one more that was under way.

mod check;
mod work;

use std::collections::BTreeMap;

use crate::support::{File, Worker, report, role, say, size};
use check::check;
use work::Workload;

/// Kills in all, a fourth of them per workload.
const KILLS: u64 = 200;

/// Kills before the next one begins with a new file, so that making one is killed as well.
const KILLS_PER_FILE: u64 = 10;

/// The acknowledged number of each lane.
type Lanes = BTreeMap<u64, u64>;

/// Kills a worker again and again, after a number of answers that follows no pattern but is the
/// same in every run.
fn kill_again_and_again(test: &str, workload: Workload) {
    if let Some(role) = role() {
        say("open");
        return work::work(workload, &role.path);
    }
    let kills = size("KILLS", KILLS).div_ceil(4);
    let seed = size("SEED", 42);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut file = File::new();
    let mut known = Lanes::new();
    let (mut answered, mut unheard) = (0, 0);
    for kill in 0..kills {
        if kill % KILLS_PER_FILE == 0 {
            file = File::new();
            known.clear();
        }
        let worker = Worker::start(test, file.path(), &[]);
        // 0 is a kill while the file is opened, or made.
        let answers = random.u64(0..workload.answers_per_kill());
        worker.await_said("open");
        for _ in 0..answers {
            let line = worker.line().expect("the worker ended by itself");
            acknowledge(&mut known, &line);
        }
        answered += answers;
        for line in worker.kill() {
            acknowledge(&mut known, &line);
            unheard += 1;
        }
        check(workload, file.path(), &mut known)
            .unwrap_or_else(|e| panic!("kill {kill}, seed {seed}: {e}"));
    }
    report(format_args!(
        "{workload:?}: {kills} kills, {} answers ({unheard} of them read after the kill), \
         none lost, none by halves",
        answered + unheard
    ));
}

fn acknowledge(known: &mut Lanes, line: &str) {
    let (lane, seq) = line.split_once(' ').unwrap();
    let answered = known.entry(lane.parse().unwrap()).or_default();
    *answered = (*answered).max(seq.parse().unwrap());
}

#[test]
fn single_durable_inserts() {
    kill_again_and_again("sqlite::kills::single_durable_inserts", Workload::Single);
}

#[test]
fn writers_that_share_a_commit() {
    kill_again_and_again(
        "sqlite::kills::writers_that_share_a_commit",
        Workload::Grouped,
    );
}

#[test]
fn transfers_while_checkpoints_run() {
    kill_again_and_again(
        "sqlite::kills::transfers_while_checkpoints_run",
        Workload::Transfers,
    );
}

#[test]
fn the_queue_of_the_async_door() {
    kill_again_and_again(
        "sqlite::kills::the_queue_of_the_async_door",
        Workload::Async,
    );
}

//! Backups beside writers that never stop: each holds a prefix of what was acknowledged.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use db_backup::Manifest;
use db_testkit::wait_until;

/// They have the numbers from 1 on.
const WRITERS: usize = 3;

/// A backup, and how many transfers of each writer were acknowledged before it began and when it was made.
struct Made {
    manifest: Manifest,
    before: Vec<i64>,
    after: Vec<i64>,
}

/// The backups, and how many transfers of each writer were acknowledged in the end.
pub(crate) struct Soaked {
    made: Vec<Made>,
    acknowledged: Vec<i64>,
}

/// Makes so many backups. `writer` is asked for each writer, by its number, in a thread of its own; what it gives makes
/// one transfer after the other, of which it is told the number. `afterwards` may look at a backup.
pub(crate) fn soak<W: FnMut(i64)>(
    rounds: u64,
    writer: impl Fn(i64) -> W + Sync,
    mut back_up: impl FnMut() -> Manifest,
    mut afterwards: impl FnMut(u64, &Manifest),
) -> Soaked {
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<AtomicI64> = (0..WRITERS).map(|_| AtomicI64::new(0)).collect();
    let acks = || -> Vec<i64> {
        let loaded = acknowledged.iter().map(|ack| ack.load(Ordering::SeqCst));
        loaded.collect()
    };
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        for (number, acknowledged) in (1..).zip(&acknowledged) {
            let (writer, stop) = (&writer, &stop);
            scope.spawn(move || {
                // One that fails ends the others.
                let _stopper = Stop(stop);
                let mut transfer = writer(number);
                for seq in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    transfer(seq);
                    acknowledged.store(seq, Ordering::SeqCst);
                }
            });
        }
        // Whatever fails below, the writers end.
        let stopper = Stop(&stop);
        wait_until("the first transfer of each writer", || {
            !acks().contains(&0) || stop.load(Ordering::Relaxed)
        });
        for round in 0..rounds {
            let before = acks();
            let manifest = back_up();
            let after = acks();
            afterwards(round, &manifest);
            made.push(Made {
                manifest,
                before,
                after,
            });
        }
        drop(stopper);
    });
    let acknowledged = acks();
    Soaked { made, acknowledged }
}

impl Soaked {
    /// Holds what `restored` gives of each backup against the whole history, whose lines are told apart by writer and
    /// number. Returns how many transfers were acknowledged.
    pub(crate) fn check<L: PartialEq + Debug>(
        &self,
        whole: &[L],
        of: impl Fn(&L) -> (i64, i64),
        mut restored: impl FnMut(&Manifest) -> Vec<L>,
    ) -> i64 {
        let mut longest = 0;
        for one in &self.made {
            let lines = restored(&one.manifest);
            let name = &one.manifest.name;
            assert_eq!(lines, whole[..lines.len()], "{name} is no prefix");
            assert!(lines.len() >= longest, "a later backup is shorter");
            longest = lines.len();
            for (number, (before, after)) in (1..).zip(one.before.iter().zip(&one.after)) {
                let own = lines.iter().map(&of).filter(|line| line.0 == number);
                let last = own.map(|line| line.1).max().unwrap_or(0);
                // What was acknowledged before is in it; of what was not by its end, one may be.
                assert!(last >= *before, "an acknowledged transfer is missing");
                assert!(last <= *after + 1, "a transfer of the future is in it");
            }
        }
        let acked: i64 = self.acknowledged.iter().sum();
        assert!(acked > 0);
        let kept = whole.iter().filter(|line| of(line).0 > 0).count();
        assert_eq!(i64::try_from(kept).unwrap(), acked);
        acked
    }
}

/// Ends the writers when it is dropped.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

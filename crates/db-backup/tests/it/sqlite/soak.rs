//! Backups beside writers that never stop: each one restores, conserves money, and is a prefix of the
//! acknowledged history.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use db_testkit::{holds_shared_lock, size, wait_until};

use super::bank::*;
use crate::soak::{Stop, soak};

/// So many backups are made of a bank: its writers never rest, and what they do in hours fills disks.
const OF_ONE_BANK: u64 = 10;

/// `BITCRAPS_TEST_BACKUPS` makes more of them; 1,000 are the promise.
#[expect(clippy::print_stdout, reason = "the figure of a long run")]
#[test]
fn backups_beside_saturating_transfers_are_prefixes_of_the_history() {
    let rounds = size("BACKUPS", 8);
    let (mut done, mut transfers) = (0, 0);
    while done < rounds {
        let now = OF_ONE_BANK.min(rounds - done);
        transfers += of_one_bank(now);
        done += now;
        println!("{done} backups beside {transfers} transfers");
    }
}

/// So many backups of one bank; returns how many transfers were acknowledged meanwhile.
fn of_one_bank(rounds: u64) -> i64 {
    let bank = Bank::new();
    fill(&bank, 500);
    let database = bank.open();
    let writer = |number: i64| {
        let database = &database;
        let mut random = fastrand::Rng::with_seed(number.unsigned_abs() + 6);
        move |seq| transfer(database, &mut random, number, seq)
    };
    let verify = db_backup::VerifyOptions::new()
        .with_identities(identities())
        .with_invariant(conserved());
    let mut codecs = codecs().into_iter().cycle();
    let back_up = || bank.create(&options(codecs.next().unwrap())).unwrap();
    let soaked = soak(rounds, writer, back_up, |round, manifest| {
        if round % 2 == 0 {
            db_backup::drill(&bank.store, manifest, &verify, &mut |_| {}).unwrap();
        }
    });
    close(&database);
    let of = |entry: &Entry| (entry.writer, entry.seq);
    soaked.check(&history(bank.path()), of, |manifest| {
        let to = bank.root.path().join(format!("{}.db", manifest.name));
        bank.restore(manifest, &to).unwrap();
        let entries = history(&to);
        std::fs::remove_file(to).unwrap();
        entries
    })
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_keeps_its_locks() {
    let bank = Bank::new();
    let database = bank.open();
    let mut random = fastrand::Rng::with_seed(3);
    transfer(&database, &mut random, 0, 1);
    assert!(holds_shared_lock(bank.path()));
    for (codec, seq) in codecs().into_iter().zip(2..) {
        let manifest = bank.create(&options(codec)).unwrap();
        let verify = db_backup::VerifyOptions::new().with_identities(identities());
        db_backup::verify(&bank.store, &manifest, &verify, &mut |_| {}).unwrap();
        db_backup::drill(&bank.store, &manifest, &verify, &mut |_| {}).unwrap();
        db_backup::list(&bank.store).unwrap();
        transfer(&database, &mut random, 0, seq);
        assert!(
            holds_shared_lock(bank.path()),
            "the locks of the process are gone"
        );
    }
    close(&database);
}

/// A log that a backup let grow is cut when it is done.
#[test]
fn a_long_log_is_cut_afterwards() {
    let bank = Bank::new();
    // Another program, which does no checkpoints.
    let mut connection = open(bank.path());
    connection
        .conn()
        .batch_execute(
            "PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE ballast (x);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
             INSERT INTO ballast SELECT randomblob(2000) FROM n;",
        )
        .unwrap();
    let log = bank.path().with_file_name("bank.db-wal");
    let length = || std::fs::metadata(&log).map_or(0, |meta| meta.len());
    assert!(length() > 16 << 20, "{}", length());
    bank.made(plain(Some(1)));
    assert!(length() < 1 << 20, "{}", length());
    drop(connection);
}

/// Beside 200 writes a second: it ends, it says how far it is, and the log grows by what is written and
/// no more.
#[expect(clippy::print_stdout, reason = "the figure of a long run")]
#[test]
fn a_backup_beside_writes_ends_and_its_progress_never_falls() {
    let mebibytes = size("MEBIBYTES", 64);
    let bank = Bank::new();
    let mut connection = open(bank.path());
    let mut execute = |sql: &str| connection.conn().batch_execute(sql).unwrap();
    execute(&format!(
        "PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE beats (n); INSERT INTO beats VALUES (0);
         CREATE TABLE ballast (x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {mebibytes})
         INSERT INTO ballast SELECT randomblob(1048576) FROM n;
         PRAGMA wal_checkpoint(TRUNCATE)"
    ));
    let log = bank.path().with_file_name("bank.db-wal");
    let length = || std::fs::metadata(&log).map_or(0, |meta| meta.len());
    let write = "UPDATE beats SET n = n + 1";
    let own = 20;
    (0..own).for_each(|_| execute(write));
    let each = length() / own;
    assert!(each > 0);

    let (stop, written) = (AtomicBool::new(false), AtomicI64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = open(bank.path());
            let mut conn = connection.conn();
            conn.batch_execute("PRAGMA wal_autocheckpoint = 0").unwrap();
            while !stop.load(Ordering::Relaxed) {
                conn.batch_execute(write).unwrap();
                written.fetch_add(1, Ordering::SeqCst);
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            }
        });
        let stopper = Stop(&stop);
        wait_until("the first write", || written.load(Ordering::SeqCst) > 0);
        let (before, wrote, began) = (
            length(),
            written.load(Ordering::SeqCst),
            std::time::Instant::now(),
        );
        let (mut longest, mut last) = (0, std::collections::HashMap::new());
        let mut on_progress = |progress: db_backup::Progress| {
            longest = length().max(longest);
            let done = last.insert(progress.phase, progress.done).unwrap_or(0);
            assert!(progress.done >= done, "{progress:?} after {done}");
            assert!(progress.done <= progress.total, "{progress:?}");
        };
        let options = options(plain(None));
        db_backup::create(&bank.source(), &bank.store, &options, &mut on_progress).unwrap();
        let took = began.elapsed();
        // One may be in the log that is not counted yet.
        let wrote = written.load(Ordering::SeqCst) - wrote + 1;
        drop(stopper);
        let grown = longest.saturating_sub(before);
        let most = 2 * each * u64::try_from(wrote).unwrap();
        println!(
            "{mebibytes} MiB in {took:?} beside {wrote} writes, the log grew by {grown} bytes"
        );
        assert!(wrote > 1 && grown <= most, "{grown} of {most} bytes");
        assert!(last.contains_key(&db_backup::Phase::Copy), "{last:?}");
    });
}

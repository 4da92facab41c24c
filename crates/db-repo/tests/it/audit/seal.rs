//! Sealing, the file of anchors, and writers beside it.

use std::sync::atomic::{AtomicBool, Ordering};

use db_core::{DatabaseFailure, ErrorKind, FixedClock, RetryPolicy, SystemClock};
use db_repo::{Anchor, AnchorFile, AuditRepository, Error, Fault, SEAL_LINES, UserRepository};
use db_testkit::{TestDb, both_engines, size};

use super::{changes, seal_all, unguarded, verified, verify_on};
use crate::support::{at, new_user, open, read, users, write};

/// So few lines that the number of seals is above one.
const FEW: i64 = 8;

/// So many lines that seals are made faster than writers make lines.
const MORE: i64 = 500;

both_engines! {
    fn a_trail_is_sealed_in_runs_and_verified(db: TestDb) {
        let database = open(&db);
        let nothing = verified(&database);
        assert_eq!((nothing.fault, nothing.head, nothing.unsealed), (None, None, 0));
        assert_eq!(seal_all(&database, FEW).head, None);
        changes(&database, 20);
        let sealed = seal_all(&database, FEW);
        assert_eq!((sealed.seals, sealed.lines), (3, 20));
        changes_after(&database);
        let found = verified(&database);
        assert!(found.is_sound(), "{found:?}");
        assert_eq!((found.seals, found.lines, found.unsealed), (3, 20, 1));
        assert_eq!(found.head, sealed.head);
        // Again: what came since, and then nothing.
        let again = seal_all(&database, FEW);
        assert_eq!((again.seals, again.lines), (1, 1));
        let nothing = seal_all(&database, FEW);
        assert_eq!((nothing.seals, nothing.lines, nothing.head), (0, 0, again.head));
        assert_eq!(verified(&database).unsealed, 0);
    }

    fn seals_cannot_be_changed_through_the_database(db: TestDb) {
        let database = open(&db);
        changes(&database, 3);
        seal_all(&database, FEW);
        let mut conn = db.connect();
        for sql in ["UPDATE audit_seals SET row_count = 2", "DELETE FROM audit_seals"] {
            conn.conn().batch_execute(sql).unwrap_err();
        }
    }

    fn the_head_is_written_down_once_and_held_against_the_trail(db: TestDb) {
        let database = open(&db);
        let folder = tempfile::tempdir().unwrap();
        let file = AnchorFile::new(folder.path().join("anchors"));
        let clock = FixedClock(*at(9));
        let seal = || AuditRepository::seal_all(&database, FEW, &clock, Some(&file));
        assert_eq!(seal().unwrap().head, None);
        changes(&database, 20);
        let first = seal().unwrap().head.unwrap();
        seal().unwrap();
        changes_after(&database);
        let second = seal().unwrap().head.unwrap();
        assert_eq!(file.read().unwrap().anchors, [first, second]);
        assert_eq!((first.seal, second.seal), (3, 4));
        let found = read(&database, |conn| AuditRepository::verify(conn, &[first, second]));
        assert_eq!((found.fault, found.anchors), (None, 2));
        // Cut off, the trail is not sealed on.
        let mut conn = unguarded(db.connect());
        conn.execute("DELETE FROM audit_seals WHERE id = 4; DELETE FROM audit_logs WHERE id > 20");
        let refused = seal().unwrap_err();
        assert!(matches!(refused, Error::TrailBroken(Fault::SealMissing { seal: 4 })), "{refused:?}");
        changes_after_that(&database);
        seal_all(&database, FEW);
        let refused = seal().unwrap_err();
        assert!(matches!(refused, Error::TrailBroken(Fault::AnchorDiffers { seal: 4 })), "{refused:?}");
        assert_eq!(file.read().unwrap().anchors, [first, second]);
        // Without the anchor nothing is wrong with it.
        assert!(verified(&database).is_sound());
        let found = read(&database, |conn| AuditRepository::verify(conn, &[second]));
        assert_eq!(found.fault, Some(Fault::AnchorDiffers { seal: 4 }));
    }

    fn a_file_without_anchors_is_refused_for_a_sealed_trail(db: TestDb) {
        let database = open(&db);
        changes(&database, 20);
        let first = seal_all(&database, FEW).head.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = AnchorFile::new(folder.path().join("anchors"));
        let clock = FixedClock(*at(9));
        let seal = |file: &AnchorFile| AuditRepository::seal_all(&database, FEW, &clock, Some(file));
        let refused = seal(&file).unwrap_err();
        assert!(matches!(&refused, Error::NoAnchors { path } if path == file.path()), "{refused:?}");
        assert!(!file.path().exists());
        seal(&file.clone().to_begin()).unwrap();
        assert_eq!(file.read().unwrap().anchors, [first]);
        // The greatest is the last, in whatever order they stand, and all have to hold.
        changes_after(&database);
        let second = seal(&file).unwrap().head.unwrap();
        std::fs::write(file.path(), format!("{second}\n{first}\n")).unwrap();
        seal(&file).unwrap();
        assert_eq!(file.read().unwrap().anchors, [second, first]);
        let other = Anchor { seal: 2, ..first };
        std::fs::write(file.path(), format!("{other}\n{second}\n")).unwrap();
        let refused = seal(&file).unwrap_err();
        assert!(matches!(refused, Error::TrailBroken(Fault::AnchorDiffers { seal: 2 })), "{refused:?}");
    }

    fn two_programs_cannot_make_one_seal(db: TestDb) {
        let database = open(&db);
        changes(&database, 3);
        let (first, second) = std::thread::scope(|scope| {
            let seal = || {
                database.write_with_retry(&RetryPolicy::new(), |conn| {
                    AuditRepository::seal(conn, 3, 2, at(0))
                })
            };
            let other = scope.spawn(seal);
            (seal().unwrap(), other.join().unwrap().unwrap())
        });
        let mut ids = [first.unwrap().id, second.unwrap().id];
        ids.sort_unstable();
        assert_eq!(ids, [1, 2]);
        assert_eq!(verified(&database).lines, 3);
    }

    fn seals_beside_writers_miss_no_line(db: TestDb) {
        let database = open(&db);
        let rounds = size("SEAL_ROUNDS", 30);
        let over = AtomicBool::new(false);
        users(&database, &["w0", "w1", "w2", "w3"]);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (database, over) = (&database, &over);
                scope.spawn(move || {
                    let name = format!("w{writer}");
                    let mut n = 0_i32;
                    while !over.load(Ordering::Relaxed) {
                        n += 1;
                        // Some take longer between the number of a line and its COMMIT.
                        let done = database.write(|conn| {
                            for step in 0..=(n % 4) {
                                let reputation = f64::from(n * 4 + step);
                                UserRepository::update_reputation(conn, &name, reputation, at(n.into()))?;
                            }
                            if n % 5 == 0 {
                                return Err(Error::UsernameTaken("rolled back".into()));
                            }
                            Ok(())
                        });
                        assert_eq!(done.is_err(), n % 5 == 0, "{done:?}");
                    }
                });
            }
            let (mut round, mut seals) = (0, 0);
            // Until the writers have come to it, too.
            while round < rounds || seals < 5 {
                round += 1;
                let sealed = AuditRepository::seal_all(&database, MORE, &SystemClock, None);
                match sealed {
                    Ok(sealed) => seals += sealed.seals,
                    // A writer may take longer than a seal waits.
                    Err(error) => assert_eq!(
                        error.database_error().map(db_core::Error::kind),
                        Some(ErrorKind::LockTimeout)
                    ),
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        seal_all(&database, SEAL_LINES);
        let found = verified(&database);
        assert!(found.is_sound(), "{found:?}");
        let lines = read(&database, |conn| Ok(super::effects::count(conn, "audit_logs")?));
        assert_eq!((found.lines, found.unsealed), (lines, 0));
        assert!(found.seals > 4, "{found:?}");
    }
}

fn changes_after(database: &db_core::Database) {
    write(database, |conn| {
        UserRepository::create(conn, &new_user("after", 0))
    });
}

fn changes_after_that(database: &db_core::Database) {
    write(database, |conn| {
        UserRepository::create(conn, &new_user("after that", 0))
    });
}

/// A seal that was made anew is whole in itself.
#[test]
fn a_seal_made_anew_breaks_the_chain_without_any_anchor() {
    let db = TestDb::sqlite();
    let database = open(&db);
    changes(&database, 20);
    let head: Anchor = seal_all(&database, FEW).head.unwrap();
    let mut conn = unguarded(db.connect());
    conn.execute("BEGIN; CREATE TEMP TABLE last AS SELECT * FROM audit_seals WHERE id = 3;
        DELETE FROM audit_seals WHERE id > 1; UPDATE audit_logs SET user_id = 'nobody' WHERE id = 12");
    AuditRepository::seal(&mut conn.conn(), 16, FEW, at(0)).unwrap();
    conn.execute("INSERT INTO audit_seals SELECT * FROM last");
    let found = verify_on(&mut conn, &[]).unwrap();
    assert_eq!(found.fault, Some(Fault::ChainBroken { seal: 3 }));
    assert_eq!(verify_on(&mut conn, &[head]).unwrap().fault, found.fault);
    conn.execute("ROLLBACK");
    assert!(verify_on(&mut conn, &[head]).unwrap().is_sound());
}

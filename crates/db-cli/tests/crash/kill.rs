//! `kill -9` in the middle of a run, again and again: the database is always exactly before or
//! after a migration, and the next run goes on.

use std::io::{BufRead, BufReader};

use db_testkit::{TestDb, both_engines};

use crate::world::{MIGRATIONS, consistent, folder, migrate, rollback};

/// Kills per engine. Together with the other engine's they are well above a hundred.
const KILLS: usize = 75;

/// Lines of progress after which the next run is killed: a sequence without a pattern that every
/// run of the test repeats.
fn moments() -> impl Iterator<Item = usize> {
    (1_u64..).map(|n| {
        let mixed = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 33;
        usize::try_from(mixed % 60).unwrap() + 1
    })
}

both_engines! {
    fn a_killed_run_leaves_a_database_before_or_after_a_migration(first: TestDb) {
        let folder = folder();
        let engine = first.engine();
        let mut db = first;
        let (mut kills, mut finished) = (0, 0);
        for lines in moments() {
            let mut child = migrate(&db, folder.path()).spawn().unwrap();
            let progress = BufReader::new(child.stderr.take().unwrap());
            let seen = progress.lines().map_while(Result::ok).take(lines).count();
            // SIGKILL, while the child is on its way to the next line.
            child.kill().unwrap();
            let status = child.wait().unwrap();
            kills += usize::from(!status.success());
            let applied = consistent(&db, folder.path());
            if status.success() || applied == MIGRATIONS {
                assert!(seen <= lines);
                let whole = migrate(&db, folder.path()).output().unwrap();
                assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
                assert_eq!(consistent(&db, folder.path()), MIGRATIONS);
                finished += 1;
                db = TestDb::new(engine);
            }
            if kills >= KILLS {
                break;
            }
        }
        assert!(kills >= KILLS && finished > 0, "{kills} kills, {finished} finished");
    }

    /// The scripts back are no `IF EXISTS`: a statement that is run twice, or left out, fails.
    fn a_killed_rollback_goes_on_where_it_stopped(db: TestDb) {
        let folder = folder();
        let (mut kills, mut finished) = (0, 0);
        for lines in moments() {
            if consistent(&db, folder.path()) == 0 {
                let whole = migrate(&db, folder.path()).output().unwrap();
                assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
            }
            let mut child = rollback(&db, folder.path()).spawn().unwrap();
            let progress = BufReader::new(child.stderr.take().unwrap());
            let seen: Vec<String> = progress.lines().map_while(Result::ok).take(lines).collect();
            child.kill().unwrap();
            let status = child.wait().unwrap();
            // Killed, or done; nothing in between.
            assert!(status.code().is_none_or(|code| code == 0), "{status}: {seen:?}");
            kills += usize::from(!status.success());
            finished += usize::from(consistent(&db, folder.path()) == 0);
            if kills >= KILLS {
                break;
            }
        }
        let rest = rollback(&db, folder.path()).output().unwrap();
        assert!(rest.status.success(), "{}", String::from_utf8_lossy(&rest.stderr));
        assert_eq!(consistent(&db, folder.path()), 0);
        assert!(kills >= KILLS && finished > 0, "{kills} kills, {finished} finished");
    }
}

//! A closure that ends the shared transaction takes nobody into a false success.

use super::*;

/// Ways to end a transaction, each from inside a closure that then claims that all is well.
const ENDINGS: [&str; 8] = [
    "INSERT OR ROLLBACK INTO entry VALUES (1, 1)",
    "INSERT INTO guarded VALUES (1)",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK; INSERT INTO entry VALUES (50, 1)",
    "COMMIT; BEGIN IMMEDIATE; INSERT INTO entry VALUES (51, 1)",
    "ROLLBACK; BEGIN IMMEDIATE; INSERT INTO entry VALUES (52, 1)",
    "ROLLBACK; BEGIN; INSERT INTO entry VALUES (53, 1); COMMIT; BEGIN IMMEDIATE",
];

fn end(conn: &mut SqliteConnection, ending: &str, prepared: bool) {
    // What the statement says is not this closure's concern: it swallows the error.
    let said = if prepared {
        statement(conn, ending)
    } else {
        execute(conn, ending)
    };
    drop(said);
    // In autocommit these would be committed at once, each alone.
    drop(insert(conn, 60));
    drop(execute(conn, "INSERT INTO entry VALUES (61, 1)"));
}

fn ways() -> impl Iterator<Item = (&'static str, bool)> {
    let prepared = |ending: &&str| !ending.contains(';');
    ENDINGS.into_iter().map(|ending| (ending, false)).chain(
        ENDINGS
            .into_iter()
            .filter(prepared)
            .map(|ending| (ending, true)),
    )
}

#[test]
fn alone_it_is_told_that_nothing_happened() {
    for (ending, prepared) in ways() {
        let bed = Bed::new();
        bed.writer.run(None, |conn| insert(conn, 1)).unwrap();
        let told = bed.writer.run(None, |conn| {
            insert(conn, 2)?;
            end(conn, ending, prepared);
            Ok::<_, Error>(())
        });
        let error = told.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{ending}");
        assert_eq!(bed.entries(), 1, "{ending}");
        bed.writer.run(None, |conn| insert(conn, 3)).unwrap();
        assert_eq!(bed.entries(), 2, "{ending}");
    }
}

#[test]
fn in_a_group_nobody_is_told_that_it_succeeded() {
    for (ending, prepared) in ways() {
        let bed = Bed::new();
        bed.writer.run(None, |conn| insert(conn, 1)).unwrap();
        std::thread::scope(|scope| {
            let hold = bed.hold(scope);
            let before = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 2)));
            bed.await_pending(1);
            let culprit = scope.spawn(|| {
                bed.writer.run(None, |conn| {
                    insert(conn, 3)?;
                    end(conn, ending, prepared);
                    Ok::<_, Error>(())
                })
            });
            bed.await_pending(2);
            let after = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 4)));
            bed.await_pending(3);
            hold.let_go();
            for shared in [before, culprit] {
                let error = shared.join().unwrap().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{ending}");
                assert!(error.is_retryable());
            }
            // Not begun when it happened, so it has a transaction of its own.
            after.join().unwrap().unwrap();
        });
        assert_eq!(bed.number("SELECT sum(id) AS n FROM entry"), 5, "{ending}");
    }
}

#[test]
fn a_culprit_that_returns_its_error_hears_that_one() {
    let bed = Bed::new();
    bed.writer.run(None, |conn| insert(conn, 1)).unwrap();
    std::thread::scope(|scope| {
        let hold = bed.hold(scope);
        let before = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 2)));
        bed.await_pending(1);
        let culprit = scope.spawn(|| {
            let sql = "INSERT OR ROLLBACK INTO entry VALUES (1, 1)";
            bed.writer.run(None, |conn| statement(conn, sql))
        });
        bed.await_pending(2);
        hold.let_go();
        let error = before.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEnded);
        let error = culprit.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Constraint);
    });
    assert_eq!(bed.entries(), 1);
}

#[test]
fn a_savepoint_that_a_closure_takes_away_fails_the_group() {
    for sql in [
        "RELEASE bitcraps_member",
        "ROLLBACK TO bitcraps_member; RELEASE bitcraps_member",
    ] {
        let bed = Bed::new();
        std::thread::scope(|scope| {
            let hold = bed.hold(scope);
            let before = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 2)));
            bed.await_pending(1);
            let culprit = scope.spawn(|| bed.writer.run(None, |conn| execute(conn, sql)));
            bed.await_pending(2);
            hold.let_go();
            assert!(before.join().unwrap().is_err(), "{sql}");
            assert!(culprit.join().unwrap().is_err(), "{sql}");
        });
        assert_eq!(bed.entries(), 0);
        bed.writer.run(None, |conn| insert(conn, 3)).unwrap();
    }
}

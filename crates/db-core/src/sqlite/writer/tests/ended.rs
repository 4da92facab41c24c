//! A closure that ends the shared transaction takes nobody into a false success.

use super::*;

/// Ways to end a transaction, each from inside a closure that then claims that all is well.
const ENDINGS: [&str; 2] = [
    "INSERT OR ROLLBACK INTO entry VALUES (1, 1)",
    "INSERT INTO guarded VALUES (1)",
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
    ENDINGS
        .into_iter()
        .flat_map(|ending| [(ending, false), (ending, true)])
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

/// What would end the transaction, or the member's part of it, by the statement's own name.
const REFUSED: [&str; 9] = [
    "COMMIT",
    "END",
    "ROLLBACK",
    "BEGIN",
    "COMMIT; BEGIN IMMEDIATE",
    "ROLLBACK; BEGIN; INSERT INTO entry VALUES (53, 1); COMMIT; BEGIN IMMEDIATE",
    "RELEASE bitcraps_member",
    "ROLLBACK TO bitcraps_member; RELEASE bitcraps_member",
    "SAVEPOINT bitcraps_member",
];

#[test]
fn transaction_control_is_refused_and_harms_nobody() {
    for sql in REFUSED {
        let bed = Bed::new();
        let culprit = |id| {
            bed.writer.run(None, |conn| {
                insert(conn, id)?;
                for error in [execute(conn, sql), statement(conn, sql)] {
                    let kind = error.unwrap_err().kind();
                    assert_eq!(kind, ErrorKind::PermissionDenied, "{sql}");
                }
                Ok::<_, Error>(())
            })
        };
        // It made light of the refusal, and its transaction is whole.
        culprit(1).unwrap();
        std::thread::scope(|scope| {
            let hold = bed.hold(scope);
            let before = scope.spawn(|| bed.writer.run(None, |conn| insert(conn, 2)));
            bed.await_pending(1);
            let culprit = scope.spawn(|| culprit(3));
            bed.await_pending(2);
            let error = scope.spawn(|| bed.writer.run(None, |conn| execute(conn, sql)));
            bed.await_pending(3);
            hold.let_go();
            before.join().unwrap().unwrap();
            culprit.join().unwrap().unwrap();
            let kind = error.join().unwrap().unwrap_err().kind();
            assert_eq!(kind, ErrorKind::PermissionDenied, "{sql}");
        });
        assert_eq!(bed.groups.sizes(3), [3], "{sql}");
        assert_eq!(bed.entries(), 3, "{sql}");
    }
}

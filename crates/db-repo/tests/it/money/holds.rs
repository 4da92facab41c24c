//! Money that is held back on purpose.

use db_repo::Error;
use db_repo::money::{self, Balances, Lock, Unlock};
use db_schema::rows::TransactionType;
use db_testkit::{TestDb, both_engines};

use super::books::books;
use super::table::{place, refused, table};
use crate::support::{at, write};

fn lock(reference: &str, user: &str, amount: i64) -> Lock {
    Lock {
        reference: reference.into(),
        user_id: user.into(),
        amount,
    }
}

fn unlock(reference: &str, user: &str, amount: i64) -> Unlock {
    Unlock {
        reference: reference.into(),
        user_id: user.into(),
        amount,
    }
}

both_engines! {
    fn a_hold_is_set_free_as_a_whole_and_once(db: TestDb) {
        let database = table(&db);
        let answer = write(&database, |conn| money::lock(conn, &lock("h1", "ada", 300), at(1)));
        assert_eq!(answer, Balances { available: 700, locked: 300, staked: 0 });
        let free = unlock("h1", "ada", 300);
        let answer = write(&database, |conn| money::unlock(conn, &free, at(2)));
        assert_eq!(answer, Balances { available: 1_000, locked: 0, staked: 0 });
        let again = write(&database, |conn| money::unlock(conn, &free, at(3)));
        assert_eq!(again, answer);
        assert_eq!(
            books(&database).lines_of("ada", 1),
            [
                (TransactionType::Lock, -300, 300, 0, "h1"),
                (TransactionType::Unlock, 300, -300, 0, "h1"),
            ]
        );
    }

    fn nothing_else_is_set_free(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 400);
        write(&database, |conn| money::lock(conn, &lock("h1", "ada", 300), at(1)));
        for wrong in [unlock("h1", "ada", 299), unlock("h1", "bob", 300)] {
            let error = refused(&database, |conn, now| money::unlock(conn, &wrong, now));
            assert!(matches!(error, Error::ReferenceConflict { kind: "lock", .. }), "{error:?}");
        }
        let unknown = unlock("bet 1", "ada", 400);
        let error = refused(&database, |conn, now| money::unlock(conn, &unknown, now));
        assert_eq!(error.to_string(), "there is no hold bet 1");
        let too_much = lock("h2", "ada", 301);
        let error = refused(&database, |conn, now| money::lock(conn, &too_much, now));
        assert_eq!(error.to_string(), "user ada has 300, which is less than 301");
    }
}

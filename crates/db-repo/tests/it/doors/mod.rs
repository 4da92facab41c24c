//! What cannot be is refused at the door: before the database is asked, with the field by name, alike on
//! both engines. `complete` counts that everything that takes a text, a row or a number that need not be
//! whole stands here.

mod keys;
mod money;
mod places;
mod players;
mod usage;
mod wrong;

use db_core::Conn;
use db_repo::{Error, UserRepository};
use db_testkit::{TestDb, both_engines};

use crate::support::open;

type Call = Box<dyn Fn(&mut Conn<'_>) -> Result<(), Error> + Send + Sync>;

/// A call with something that cannot be.
pub(crate) struct Door {
    method: &'static str,
    field: &'static str,
    call: Call,
}

impl Door {
    fn new(
        method: &'static str,
        field: &'static str,
        call: impl Fn(&mut Conn<'_>) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            method,
            field,
            call: Box::new(call),
        }
    }
}

/// All in one write: on PostgreSQL a statement that is refused ends the transaction, so that the last
/// one would fail had any of these come to the database.
#[track_caller]
fn all_are_shut(db: &TestDb, doors: &[Door]) {
    let database = open(db);
    let mut open = Vec::new();
    let after = database.write(|conn| {
        for Door {
            method,
            field,
            call,
        } in doors
        {
            match call(conn) {
                Err(Error::Invalid { field: named, .. }) if named == *field => {}
                other => open.push(format!("{method}, {field}: {other:?}")),
            }
        }
        UserRepository::count(conn)
    });
    assert!(open.is_empty(), "{}", open.join("\n"));
    assert_eq!(after.unwrap(), 0);
}

both_engines! {
    fn no_text_that_postgresql_has_not_is_looked_for(db: TestDb) {
        all_are_shut(&db, &keys::doors());
    }

    fn no_row_that_cannot_be_is_written(db: TestDb) {
        let doors = [players::doors(), places::doors(), usage::doors()];
        all_are_shut(&db, &doors.into_iter().flatten().collect::<Vec<_>>());
    }

    fn no_money_moves_by_a_request_that_cannot_be(db: TestDb) {
        all_are_shut(&db, &money::doors());
    }
}

//! What each constraint of the schema means to a caller: an error of its own, the same on both engines, or
//! why nothing here can break it. The names come from the catalog, so that a new one has to say it, too.

mod checks;
mod foreign_keys;
mod rows;
mod uniques;

use std::collections::BTreeSet;

use db_core::{Conn, Database};
use db_repo::{Error, UserRepository};
use db_schema::constraints::{CHECK, FOREIGN_KEY, UNIQUE};
use db_testkit::{TestDb, both_engines};

use crate::support::refusal;

type Call = fn(&mut Conn<'_>) -> Result<(), Error>;

/// What a constraint means to a caller.
enum Meant {
    /// Whoever breaks it gets this error.
    Refused(&'static str, Call),
    /// Nothing here can break it, for this reason.
    Never(&'static str),
}

const OF_A_NEW_GAME: &str = "written with its game, whose key is found to be taken first";
const TRIGGER: &str = "triggers write it";

/// Each is what it means, and each of the catalog is there.
#[track_caller]
fn hold(
    database: &Database,
    catalog: &[(&str, &[&str], &'static str)],
    told: &[(&'static str, Meant)],
) {
    let known: BTreeSet<_> = told.iter().map(|(name, _)| *name).collect();
    let there: BTreeSet<_> = catalog.iter().map(|row| row.2).collect();
    assert_eq!(known.len(), told.len(), "one is told twice");
    let untold: Vec<_> = there.difference(&known).collect();
    assert!(untold.is_empty(), "what does it mean to break {untold:?}?");
    let gone: Vec<_> = known.difference(&there).collect();
    assert!(gone.is_empty(), "there is no {gone:?}");
    for (name, meant) in told {
        match meant {
            Meant::Refused(said, call) => {
                let refused = refusal(database, *call);
                assert!(
                    !matches!(refused, Error::Database(_)),
                    "{name}: {refused:?}"
                );
                assert_eq!(refused.to_string(), *said, "{name}");
            }
            Meant::Never(why) => assert!(!why.is_empty()),
        }
    }
}

both_engines! {
    fn what_is_there_already_is_refused_by_name(db: TestDb) {
        hold(&rows::filled(&db), UNIQUE, &uniques::meant());
    }

    fn what_refers_to_nothing_is_refused_by_name(db: TestDb) {
        let database = rows::filled(&db);
        hold(&database, FOREIGN_KEY, &foreign_keys::meant());
        // And the other way round.
        let used = refusal(&database, |conn| UserRepository::delete(conn, "ada"));
        assert_eq!(used.to_string(), "user ada is still referred to");
    }

    fn what_no_row_may_hold_is_refused_by_field(db: TestDb) {
        hold(&rows::filled(&db), CHECK, &checks::meant());
    }
}

//! A look whose parts belong together, although nothing is locked and a run may be under way.
//!
//! History, live schema and stored schema are read one after the other. A migration that is
//! committed in between would make them disagree, which looks like a change by hand.

use db_core::Conn;

use super::{Look, Migrator};
use crate::error::Error;
use crate::ledger::Stamp;

/// How often a look is repeated while a run changes what is looked at; a run of many short steps
/// leaves gaps, and ends.
const TRIES: usize = 20;

impl Migrator {
    /// Looks, and looks again while history or stamp have changed in between. A result that
    /// `is_harmless` raises no alarm, and needs no second look.
    pub(super) fn steadily<T>(
        &self,
        conn: &mut Conn<'_>,
        read: impl Fn(&Look, &mut Conn<'_>) -> Result<T, Error>,
        is_harmless: impl Fn(&T) -> bool,
    ) -> Result<(Look, T), Error> {
        let mut look = self.look(conn)?;
        let mut before = stamp_of(&look, conn)?;
        let mut tries = 1;
        loop {
            // An object that is dropped while it is read is an error, but only for this time.
            let outcome = read(&look, conn);
            if tries == TRIES || outcome.as_ref().is_ok_and(&is_harmless) {
                return outcome.map(|found| (look, found));
            }
            let again = self.look(conn)?;
            let after = stamp_of(&again, conn)?;
            if again.history == look.history && after == before {
                return outcome.map(|found| (look, found));
            }
            (look, before) = (again, after);
            tries += 1;
        }
    }
}

fn stamp_of(look: &Look, conn: &mut Conn<'_>) -> Result<Option<Stamp>, Error> {
    if look.history.has_ledger {
        look.ledger.stored_stamp(conn)
    } else {
        Ok(None)
    }
}

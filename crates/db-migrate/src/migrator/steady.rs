//! A look whose parts belong together, although nothing is locked and a run may be under way.
//!
//! History, live schema and stored schema are read one after the other. A migration that is
//! committed in between would make them disagree, which looks like a change by hand.

use db_core::Conn;

use super::{Look, Migrator};
use crate::error::Error;
use crate::ledger::{History, Ledger, Stamp};

/// How often a look is repeated while a run changes what is looked at; a run of many short steps
/// leaves gaps, and ends.
const TRIES: usize = 20;

/// What the database says, whatever the files are.
pub(super) struct Seen {
    pub(super) ledger: Ledger,
    pub(super) history: History,
    pub(super) stamp: Option<Stamp>,
}

impl Migrator {
    /// Looks, and looks again while history or stamp have changed in between. A result that
    /// `is_harmless` raises no alarm, and needs no second look.
    pub(super) fn steadily<T>(
        &self,
        conn: &mut Conn<'_>,
        read: impl Fn(&Seen, &mut Conn<'_>) -> Result<T, Error>,
        is_harmless: impl Fn(&T) -> bool,
    ) -> Result<(Look, T), Error> {
        let found = Seen::steadily(conn, read, is_harmless);
        // The files may still be read by another thread meanwhile; a fault in them is said first.
        let set = self.load(conn.engine())?;
        let (
            Seen {
                ledger, history, ..
            },
            found,
        ) = found?;
        let look = Look {
            ledger,
            set,
            history,
        };
        Ok((look, found))
    }
}

impl Seen {
    fn now(conn: &mut Conn<'_>) -> Result<Self, Error> {
        let (ledger, history) = Ledger::look(conn)?;
        let stamp = if history.has_ledger {
            ledger.stored_stamp(conn)?
        } else {
            None
        };
        Ok(Self {
            ledger,
            history,
            stamp,
        })
    }

    fn steadily<T>(
        conn: &mut Conn<'_>,
        read: impl Fn(&Self, &mut Conn<'_>) -> Result<T, Error>,
        is_harmless: impl Fn(&T) -> bool,
    ) -> Result<(Self, T), Error> {
        let mut seen = Self::now(conn)?;
        let mut tries = 1;
        loop {
            // An object that is dropped while it is read is an error, but only for this time.
            let outcome = read(&seen, conn);
            if tries == TRIES || outcome.as_ref().is_ok_and(&is_harmless) {
                return outcome.map(|found| (seen, found));
            }
            let again = Self::now(conn)?;
            if again.history == seen.history && again.stamp == seen.stamp {
                return outcome.map(|found| (seen, found));
            }
            seen = again;
            tries += 1;
        }
    }
}

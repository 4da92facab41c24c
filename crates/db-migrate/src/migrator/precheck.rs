//! Whether every script could be begun, asked before something is given up for it.

use db_core::Engine;

use super::Migrator;
use crate::error::Error;
use crate::plan::PlannedStep;

impl Migrator {
    /// Prepares what applies each migration of the whole set, applied or not, and runs nothing:
    /// for a caller who is about to undo everything in order to build it anew.
    ///
    /// # Errors
    /// [`Error::Source`] if the migrations cannot be read, [`Error::Script`] for the first script
    /// that would be refused.
    pub fn check_scripts(&self, engine: Engine) -> Result<(), Error> {
        for migration in self.migrations(engine)?.all() {
            PlannedStep::up(migration)?.prepare(engine)?;
        }
        Ok(())
    }
}

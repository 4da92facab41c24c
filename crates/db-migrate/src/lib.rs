//! Migrations that can be trusted, on SQLite and PostgreSQL.

mod actor;
mod assess;
pub mod catalog;
mod drift;
mod error;
mod event;
mod heal;
mod ledger;
mod lock;
mod migration;
mod migrator;
mod plan;
mod rehearse;
mod report;
mod run;
mod soundness;
mod source;
pub mod sql;
mod target;
mod version;

pub use assess::{Edit, Problem};
pub use drift::{Drift, Unknown};
pub use error::{Error, Failure, Outcome};
pub use event::{Event, EventKind, LoggedEvent};
pub use ledger::{Applied, Status};
pub use migration::{Direction, Migration, RustError, RustStep};
pub use migrator::{
    Entry, MigrateOptions, Migrator, Rebuild, Repair, RepairReport, State, StatusReport, Validation,
};
pub use report::{Report, StatementLocks, Step};
pub use source::{EmbeddedFiles, EmbeddedFolder, MigrationSet, RustMigration, Source, SourceError};
pub use target::{Target, TargetError};
pub use version::Version;

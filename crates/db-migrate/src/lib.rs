//! Migrations that can be trusted, on SQLite and PostgreSQL.
//!
//! A [`Migrator`] over one or more [`Source`]s applies what is pending, each migration in its own
//! transaction with its ledger row; it reverts, rehearses, validates and repairs, and works beside
//! diesel_cli on the same folders and the same database. `docs/migrations.md` is the guide.
//!
//! ```
//! use db_migrate::{Migrator, RustMigration, Source, Target};
//! use diesel::{Connection, SqliteConnection};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dice = RustMigration::new("20250901120000_dice", "1", |conn| {
//!     Ok(conn.batch_execute("CREATE TABLE dice (face INTEGER NOT NULL)")?)
//! })
//! .with_down(|conn| Ok(conn.batch_execute("DROP TABLE dice")?));
//! let migrator = Migrator::new(Source::rust(vec![dice]));
//!
//! let mut conn = SqliteConnection::establish(":memory:")?;
//! assert!(migrator.ensure_current(&mut conn).is_err());
//! assert!(migrator.run(&mut conn)?.is_success());
//! migrator.ensure_current(&mut conn)?;
//! assert_eq!(migrator.status(&mut conn)?.current_version.as_deref(), Some("20250901120000"));
//! assert!(migrator.validate(&mut conn, None)?.is_clean());
//! migrator.rollback_to(&mut conn, &Target::Ordinal(0))?;
//! # Ok(())
//! # }
//! ```
//!
//! | to change | look in |
//! |---|---|
//! | what a folder may hold | `source` |
//! | how scripts are split, and what an edit is | [`sql`] |
//! | what is remembered of a run | `ledger` |
//! | what does not fit between files and history | `assess` |
//! | how a step is run | `run` |
//! | what drift is | [`catalog`], `drift` |
//! | the calls themselves | `migrator` |

mod actor;
mod assess;
pub mod catalog;
mod drift;
mod error;
mod event;
mod half_copy;
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
pub use half_copy::HalfCopy;
pub use ledger::{Applied, Status};
pub use migration::{Direction, Migration, RustError, RustStep};
pub use migrator::{
    Entry, MigrateOptions, Migrator, Rebuild, Repair, RepairReport, State, StatusReport, Validation,
};
pub use report::{DroppedTable, Report, StatementLocks, Step};
pub use run::Blocker;
pub use source::{EmbeddedFiles, EmbeddedFolder, MigrationSet, RustMigration, Source, SourceError};
pub use target::{Target, TargetError};
pub use version::Version;

//! Whether a database is well: many small checks, each with what it saw and what it may be.
//!
//! - [`Examiner`] looks once: for a command line, or a program that asks by itself.
//! - [`HealthMonitor`] looks again and again on a thread of its own, keeps the last results for a
//!   request path, calls back when a state changes or an [`AlertRule`] holds, and sets gauges.
//!
//! Cheap checks read catalogs, counters and `stat`. Expensive ones read data, and on SQLite they
//! read a copy: an integrity check of the live file would hold a snapshot for minutes, and the
//! write-ahead log would grow meanwhile. Neither kind runs on a request path.
//!
//! ```
//! use db_backup::health::{Examiner, Selection, State, Target};
//! use db_core::DatabaseConfig;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let config = DatabaseConfig::new(format!("sqlite://{}/game.db", folder.path().display()));
//! let database = db_core::Database::open(&config)?;
//! let examiner = Examiner::new(Target::from_config(&config)?.with_database(database));
//! let report = examiner.examine(&Selection::Cheap);
//! assert_eq!(report.find("connectivity").map(|result| result.state), Some(State::Ok));
//! # Ok(())
//! # }
//! ```
//!
//! | to change | look in |
//! |---|---|
//! | what a check sees | `checks`, one module each |
//! | when it warns and fails | [`HealthLimits`] |
//! | which metrics there are | [`metrics`] |
//! | what is an alert | [`AlertRule`] |

mod ages;
mod alert;
mod apart;
mod checks;
mod examiner;
mod limits;
mod look;
pub mod metrics;
mod monitor;
mod outcome;
mod own;
mod query;
mod report;
mod target;

pub use ages::BackupAges;
pub use alert::{Alert, AlertChange, AlertRule, Condition};
pub use examiner::{Examiner, Selection};
pub use limits::{HealthLimits, InvalidLimit, Limit};
pub use monitor::{HealthMonitor, MonitorBuilder};
pub use outcome::{CheckResult, Cost, Measure, State, Verdict};
pub use report::{CANNOT_BE_OPENED, HealthDocument, HealthReport};
pub use target::{Space, Target};

/// An error of a custom check, or of what tells the ages of backups.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

//! The façade: everything that can be done with migrations, as typed calls.

mod apply;
mod dry_run;
mod inspect;
mod precheck;
mod preview;
mod repair;
mod revert;
mod settings;
mod steady;
mod validate;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use db_core::{Clock, Conn, EncryptionKey, Interrupt, SystemClock};

use crate::catalog::Scope;
use crate::error::Error;
use crate::event::Event;
use crate::ledger::{History, Ledger, Tables};
use crate::run::Context;
use crate::source::{MigrationSet, Source, SourceError};

pub use apply::MigrateOptions;
pub use inspect::{Entry, State, StatusReport};
pub use repair::{Repair, RepairReport};
pub use validate::{Rebuild, Validation};

/// How long to wait for another run by default.
const DEFAULT_WAIT: Duration = Duration::from_mins(1);

/// Runs, reverts and checks migrations.
///
/// ```
/// use db_migrate::{Migrator, RustMigration, Source};
/// use diesel::{Connection, SqliteConnection};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let source = Source::rust(vec![RustMigration::new("20250901120000_dice", "1", |conn| {
///     Ok(conn.batch_execute("CREATE TABLE dice (face INTEGER NOT NULL)")?)
/// })]);
/// let mut conn = SqliteConnection::establish(":memory:")?;
/// let report = Migrator::new(source).run(&mut conn)?;
/// assert!(report.is_success());
/// assert_eq!(report.steps.len(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Migrator {
    sources: std::sync::Mutex<Loaded>,
    wait: Duration,
    actor: String,
    clock: Arc<dyn Clock>,
    interrupt: Option<Interrupt>,
    key: Option<EncryptionKey>,
    on_event: Arc<dyn Fn(&Event) + Send + Sync>,
    scope: Option<Scope>,
}

/// Sources are read once, when it is known which engine they are for.
enum Loaded {
    /// Not read yet.
    Sources(Vec<Source>),
    /// Another thread is reading them.
    Reading(JoinHandle<Result<MigrationSet, SourceError>>),
    /// Read, or found to be unreadable.
    Done(Result<Arc<MigrationSet>, SourceError>),
}

/// What a look at a database gives.
struct Look {
    ledger: Ledger,
    set: Arc<MigrationSet>,
    history: History,
}

impl Migrator {
    /// A migrator over one set of migrations.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            sources: std::sync::Mutex::new(Loaded::Sources(vec![source])),
            wait: DEFAULT_WAIT,
            actor: crate::actor::default_name(),
            clock: Arc::new(SystemClock),
            interrupt: None,
            key: None,
            on_event: Arc::new(|_| {}),
            scope: None,
        }
    }

    /// Looks without locking or changing anything.
    fn look(&self, conn: &mut Conn<'_>) -> Result<Look, Error> {
        let located = Ledger::locate(conn);
        self.look_at(conn, located)
    }

    /// Looks at a ledger that was looked for already.
    fn look_at(
        &self,
        conn: &mut Conn<'_>,
        located: Result<(Ledger, Tables), Error>,
    ) -> Result<Look, Error> {
        // The files may still be read by another thread meanwhile; a fault in them is said first.
        let found = located.and_then(|(ledger, tables)| {
            let history = ledger.read(conn, tables)?;
            Ok((ledger, history))
        });
        let set = self.load(conn.engine())?;
        let (ledger, history) = found?;
        Ok(Look {
            ledger,
            set,
            history,
        })
    }

    /// Whether the last run left everything applied and nothing has changed since: one value tells
    /// it. If not, a look has to say what there is to do, perhaps nothing.
    fn is_settled(
        &self,
        conn: &mut Conn<'_>,
        located: &Result<(Ledger, Tables), Error>,
    ) -> Result<bool, Error> {
        let Ok((ledger, tables)) = located else {
            return Ok(false);
        };
        let found = ledger.settled(conn, *tables);
        let set = self.load(conn.engine())?;
        Ok(found?.is_some_and(|settled| settled.is_of(&set)))
    }

    /// By default everything but the schemas that have a ledger of their own.
    fn scope_of(&self, ledger: &Ledger, conn: &mut Conn<'_>) -> Result<Scope, Error> {
        match &self.scope {
            Some(scope) => Ok(scope.clone()),
            None => Ok(Scope::default()
                .with_home(ledger.schema())
                .without_schemas(ledger.foreign_schemas(conn)?)),
        }
    }

    /// The handle that stops a run, for further connections of it.
    fn stop(&self) -> Interrupt {
        self.interrupt.clone().unwrap_or_default()
    }

    fn context<'m>(&'m self, ledger: &'m Ledger, scope: &'m Scope) -> Context<'m> {
        Context {
            ledger,
            clock: &*self.clock,
            actor: &self.actor,
            interrupt: self.interrupt.as_ref(),
            emit: &*self.on_event,
            patience: self.wait,
            scope,
        }
    }
}

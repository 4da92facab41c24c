//! Import: all of it or nothing.

mod defaults;
mod export;
mod faults;
mod forms;
pub(crate) mod generated;
mod hostile;
mod names;
mod odd;
mod policies;
mod scripts;
mod trip;
mod waiting;

use std::cell::RefCell;
use std::path::PathBuf;

use db_core::bulk::{CellRef, PostgresBulk, SqliteBulk};
use db_core::{Access, DatabaseUrl, Engine, Interrupt};
use db_testkit::TestDb;
use db_transfer::Error;
use db_transfer::format::Input;
use db_transfer::import::{Fault, Import, Report};
use tempfile::TempDir;

/// A database with a schema, and a folder for files.
struct Place {
    /// What looks into a database of PostgreSQL, so that each look needs no connection of its own: a
    /// server makes some hundreds a second, and a client has no more than some ten thousand ports.
    looker: RefCell<Option<PostgresBulk>>,
    db: TestDb,
    dir: TempDir,
}

impl Place {
    fn new(db: TestDb, schema: &str) -> Self {
        let place = Self {
            looker: RefCell::default(),
            db,
            dir: TempDir::new().unwrap(),
        };
        place.execute(schema);
        place
    }

    fn execute(&self, sql: &str) {
        match self.engine() {
            Engine::Sqlite => self.db.connect().conn().batch_execute(sql).unwrap(),
            Engine::Postgres => self.look(|bulk| bulk.execute(sql).unwrap()),
        }
    }

    /// Asks PostgreSQL something.
    fn look<T>(&self, ask: impl FnOnce(&mut PostgresBulk) -> T) -> T {
        let mut looker = self.looker.borrow_mut();
        ask(looker.get_or_insert_with(|| {
            PostgresBulk::open(&self.url(), Access::ReadWrite, &Interrupt::default()).unwrap()
        }))
    }

    fn url(&self) -> DatabaseUrl {
        DatabaseUrl::parse(&self.db.url()).unwrap()
    }

    fn engine(&self) -> Engine {
        self.url().engine()
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// An import of a file with this name and text.
    fn import(&self, name: &str, text: impl AsRef<[u8]>) -> Import {
        Import::new(Input::File(self.file(name, text)))
    }

    fn run(&self, import: &Import) -> Result<Report, Error> {
        import.run(&self.url(), &Interrupt::default(), &mut |_| {})
    }

    /// Imports what has to be sound.
    fn load(&self, name: &str, text: impl AsRef<[u8]>) -> Report {
        self.run(&self.import(name, text)).unwrap()
    }

    /// The faults of what must not be imported.
    fn faults(&self, import: &Import) -> Vec<Fault> {
        match self.run(import) {
            Err(Error::BadInput { faults }) => faults,
            other => panic!("{other:?}"),
        }
    }

    /// The rows of a query, each value as text.
    fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let url = self.url();
        if url.engine() == Engine::Postgres {
            let rows = self.look(|bulk| bulk.rows(sql).unwrap());
            let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
            return rows
                .into_iter()
                .map(|row| row.into_iter().map(text).collect())
                .collect();
        }
        let bulk = SqliteBulk::open(&url, Access::ReadOnly, None, &Interrupt::default()).unwrap();
        let mut query = bulk.prepare(sql).unwrap();
        let mut rows = Vec::new();
        while query.step().unwrap() {
            let row = (0..query.column_count()).map(|i| match query.cell(i).unwrap() {
                CellRef::Null => "NULL".to_owned(),
                CellRef::Integer(value) => value.to_string(),
                CellRef::Real(value) => format!("{value:?}"),
                CellRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                CellRef::Blob(bytes) => format!("{bytes:02x?}"),
            });
            rows.push(row.collect());
        }
        rows
    }

    fn count(&self, table: &str) -> String {
        self.rows(&format!("SELECT count(*) FROM {table}"))[0][0].clone()
    }
}

fn told(faults: &[Fault]) -> Vec<String> {
    faults
        .iter()
        .map(|fault| {
            let text = fault.to_string();
            text.rsplit_once('/')
                .map_or(text.clone(), |(_, rest)| rest.to_owned())
        })
        .collect()
}

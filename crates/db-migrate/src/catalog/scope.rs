//! Which part of a database a catalog covers.

/// The table in which Diesel's own tools keep what was applied.
const DIESEL_LEDGER: &str = "__diesel_schema_migrations";
/// What the names of all our own ledger tables start with.
const OWN_LEDGER_PREFIX: &str = "__db_migrate";
/// Where PostgreSQL puts objects unless told otherwise.
const DEFAULT_HOME: &str = "public";

/// Which schemas are read, and which tables are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    schemas: Option<Vec<String>>,
    foreign: Vec<String>,
    home: String,
    left_out: Vec<String>,
}

impl Default for Scope {
    /// Everything but what belongs to the engine and to the ledgers; `public` is home.
    fn default() -> Self {
        Self {
            schemas: None,
            foreign: Vec::new(),
            home: DEFAULT_HOME.to_owned(),
            left_out: Vec::new(),
        }
    }
}

impl Scope {
    /// One PostgreSQL schema alone, which is also home. SQLite has no schemas and ignores it.
    #[must_use]
    pub fn schema(name: impl Into<String>) -> Self {
        let home = name.into();
        Self {
            schemas: Some(vec![home.clone()]),
            foreign: Vec::new(),
            home,
            left_out: Vec::new(),
        }
    }

    /// The same scope with another home: the first schema of the search path.
    ///
    /// What is at home is named without its schema, so that two databases compare equal when
    /// they differ in nothing but the name of their home.
    #[must_use]
    pub fn with_home(mut self, name: impl Into<String>) -> Self {
        self.home = name.into();
        self
    }

    /// The same scope, reading these PostgreSQL schemas only.
    #[must_use]
    pub fn with_schemas(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.schemas = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The same scope without these PostgreSQL schemas, because they are someone else's.
    #[must_use]
    pub fn without_schemas(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.foreign.extend(names.into_iter().map(Into::into));
        self
    }

    /// The same scope without one more table, whatever schema it is in.
    #[must_use]
    pub fn without_table(mut self, name: impl Into<String>) -> Self {
        self.left_out.push(name.into());
        self
    }

    pub(super) fn home(&self) -> &str {
        &self.home
    }

    /// Whether a schema is read. `pg_` is PostgreSQL's own prefix; nobody else may use it.
    pub(super) fn has_schema(&self, name: &str) -> bool {
        match &self.schemas {
            Some(names) => names.iter().any(|n| n == name),
            None => {
                !name.starts_with("pg_")
                    && name != "information_schema"
                    && !self.foreign.iter().any(|n| n == name)
            }
        }
    }

    /// Whether a table, or a sequence of its own, is left out with all that belongs to it.
    pub(super) fn leaves_out(&self, table: &str) -> bool {
        table == DIESEL_LEDGER
            || belongs_to_ledger(table)
            || self.left_out.iter().any(|name| name == table)
    }
}

/// Whether something is named as our own ledger's tables and functions are.
pub(super) fn belongs_to_ledger(name: &str) -> bool {
    name.starts_with(OWN_LEDGER_PREFIX)
}

//! The two engines, and how they call themselves.

use std::fmt;

/// A database engine that this workspace speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// Embedded, one file, the default.
    Sqlite,
    /// The engine to grow into.
    Postgres,
}

impl Engine {
    /// Both engines, in the order in which documents list them.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// The name used in folder names, JSON and test names: `sqlite` or `postgres`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The version of the library that is linked to speak with it: SQLite itself, and libpq, the client
    /// of PostgreSQL; as in `3.53.2` and `17.5`.
    #[must_use]
    pub fn library_version(self) -> String {
        match self {
            Self::Sqlite => crate::sqlite::library_version(),
            Self::Postgres => crate::postgres::library_version(),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

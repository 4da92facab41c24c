//! A borrowed connection to either engine, and the macro that writes a query body once.
//!
//! It is a plain enum and not Diesel's `MultiConnection`, which costs 29–50 % of point-read
//! throughput and refuses upserts, batch inserts and `RETURNING` (docs/adr/0001). It borrows,
//! because Diesel's transaction closures hand back the inner connection.

use diesel::connection::SimpleConnection;
use diesel::result::Error as DieselError;
use diesel::{Connection as _, PgConnection, QueryResult, SqliteConnection};

use crate::{Engine, Error, condemned};

/// A borrowed connection to one of the two engines.
pub enum Conn<'c> {
    /// A SQLite connection.
    Sqlite(&'c mut SqliteConnection),
    /// A PostgreSQL connection.
    Postgres(&'c mut PgConnection),
}

impl Conn<'_> {
    /// Which engine is behind this connection.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The same connection, borrowed for a shorter time.
    pub const fn reborrow(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(c) => Conn::Sqlite(c),
            Self::Postgres(c) => Conn::Postgres(c),
        }
    }

    /// Runs a part of a transaction under a savepoint: if it fails, that part is undone and the rest may
    /// go on, on PostgreSQL too.
    ///
    /// # Errors
    /// The closure's own; what the engine says of the savepoint.
    pub fn savepoint<T, E>(&mut self, f: impl FnOnce(&mut Conn<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<Error>,
    {
        condemned::undone(|| {
            let done = match self {
                Self::Sqlite(c) => c.transaction(|c| f(&mut Conn::Sqlite(c)).map_err(Refused::Own)),
                Self::Postgres(c) => {
                    c.transaction(|c| f(&mut Conn::Postgres(c)).map_err(Refused::Own))
                }
            };
            done.map_err(|refused| match refused {
                Refused::Own(error) => error,
                Refused::Engine(error) => Error::from(error).into(),
            })
        })
    }

    /// Runs SQL text that takes no parameters and returns nothing.
    ///
    /// # Errors
    /// Whatever the engine says, as Diesel reports it.
    pub fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        match self {
            Self::Sqlite(c) => c.batch_execute(sql),
            Self::Postgres(c) => c.batch_execute(sql),
        }
    }
}

/// Why a savepoint was not released.
enum Refused<E> {
    Own(E),
    Engine(DieselError),
}

impl<E> From<DieselError> for Refused<E> {
    fn from(error: DieselError) -> Self {
        Self::Engine(error)
    }
}

impl<'c> From<&'c mut SqliteConnection> for Conn<'c> {
    fn from(conn: &'c mut SqliteConnection) -> Self {
        Self::Sqlite(conn)
    }
}

impl<'c> From<&'c mut PgConnection> for Conn<'c> {
    fn from(conn: &'c mut PgConnection) -> Self {
        Self::Postgres(conn)
    }
}

impl<'c> From<&'c mut Conn<'_>> for Conn<'c> {
    fn from(conn: &'c mut Conn<'_>) -> Self {
        conn.reborrow()
    }
}

/// Expands one query body once per engine: `with_conn!(conn, |c| users.load::<User>(c))`.
///
/// `conn` is a `Conn` or a `&mut Conn`; `c` is the concrete `&mut SqliteConnection` or
/// `&mut PgConnection`.
#[macro_export]
macro_rules! with_conn {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn.reborrow() {
            $crate::Conn::Sqlite($c) => $body,
            $crate::Conn::Postgres($c) => $body,
        }
    };
}

//! Who acts: what the audit trail says of a change.

use db_core::Conn;
use db_schema::types::UtcTime;

use crate::dialect::acting;
use crate::{Error, Result, check};

/// Longest text about an actor, in characters.
const LONGEST: usize = 512;

/// Who makes a change, from where, and with what. All may be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actor {
    pub(crate) user: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) agent: Option<String>,
}

impl Actor {
    /// Nobody known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A user, or a part of the program.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = named(user.into());
        self
    }

    /// The address that the request came from.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = named(address.into());
        self
    }

    /// The program that the request came from.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = named(agent.into());
        self
    }

    /// Runs a closure whose changes are this actor's, made at this moment. Let it span the whole
    /// closure of a write:
    ///
    /// ```
    /// # use db_core::{Database, DatabaseConfig};
    /// # use db_repo::{Actor, Error, UserRepository};
    /// # fn rename(database: &Database, now: db_schema::types::UtcTime) -> Result<(), Error> {
    /// let actor = Actor::new().user("admin").address("203.0.113.7");
    /// database.write(|conn| actor.acts(conn, now, |conn| UserRepository::delete(conn, "u1")))
    /// # }
    /// ```
    ///
    /// After it nobody acts on SQLite, and this actor until the transaction ends on PostgreSQL; an actor
    /// within an actor ends the outer one. After an error the transaction has to be rolled back, as
    /// `write` does.
    ///
    /// # Errors
    /// The closure's own; `Invalid` for an actor of too many words; `Database`.
    pub fn acts<T, E>(
        &self,
        conn: &mut Conn<'_>,
        now: UtcTime,
        f: impl FnOnce(&mut Conn<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E>
    where
        E: From<Error>,
    {
        self.begin(conn, now)?;
        let done = f(conn);
        if let Conn::Sqlite(c) = conn {
            // After an error, too: a closure that goes on must not go on under this name.
            let ended = acting::end_sqlite(c).map_err(Error::from);
            match (&done, ended) {
                (_, Ok(())) => {}
                (Ok(_), Err(error)) => return Err(error.into()),
                (Err(_), Err(_)) => db_core::condemn(),
            }
        }
        done
    }

    fn begin(&self, conn: &mut Conn<'_>, now: UtcTime) -> Result<()> {
        for (field, value) in [
            ("user_id", &self.user),
            ("ip_address", &self.address),
            ("user_agent", &self.agent),
        ] {
            if let Some(value) = value {
                check::text(field, value, 0..=LONGEST)?;
            }
        }
        match conn {
            Conn::Sqlite(c) => acting::begin_sqlite(c, self, now),
            Conn::Postgres(c) => acting::begin_postgres(c, self, now),
        }?;
        Ok(())
    }
}

/// An empty text names nobody.
fn named(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

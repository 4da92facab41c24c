//! PostgreSQL: connecting with a deadline and a name, in English.

use diesel::connection::SimpleConnection;
use diesel::sql_types::{Bool, Integer, Text};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};

use crate::error::Error;
use crate::{DatabaseUrl, Engine, Interrupt};

/// libpq waits for ever by default; a dead host should not take longer than this.
const CONNECT_TIMEOUT_S: u32 = 10;

/// The name under which `pg_stat_activity` shows this program.
const APPLICATION_NAME: &str = "bitcraps-db";

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Text)]
    lc_messages: String,
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(QueryableByName)]
struct Cancelled {
    #[diesel(sql_type = Bool)]
    #[expect(dead_code, reason = "false means that the backend had ended already")]
    cancelled: bool,
}

/// Connects, and makes sure that errors can be classified by their text.
pub(crate) fn open(url: &DatabaseUrl) -> Result<(PgConnection, Interrupt), Error> {
    let mut conn = connect(url)?;
    let session = diesel::sql_query(
        "SELECT current_setting('lc_messages') AS lc_messages, pg_backend_pid() AS pid",
    )
    .get_result::<Session>(&mut conn)
    .map_err(|e| Error::classify(Engine::Postgres, &e))?;
    if !is_english(&session.lc_messages) && conn.batch_execute("SET lc_messages = 'C'").is_err() {
        tracing::warn!(
            lc_messages = session.lc_messages,
            "the server answers in a language whose errors cannot be classified; \
             ALTER ROLE … SET lc_messages = 'C' as a superuser cures it"
        );
    }
    let interrupt = Interrupt::for_backend(url.clone(), session.pid);
    Ok((conn, interrupt))
}

/// Asks the server to end what the backend `pid` is doing.
pub(crate) fn cancel(url: &DatabaseUrl, pid: i32) -> Result<(), Error> {
    let mut conn = connect(url)?;
    diesel::sql_query("SELECT pg_cancel_backend($1) AS cancelled")
        .bind::<Integer, _>(pid)
        .get_result::<Cancelled>(&mut conn)
        .map(|_| ())
        .map_err(|e| Error::classify(Engine::Postgres, &e))
}

fn connect(url: &DatabaseUrl) -> Result<PgConnection, Error> {
    let DatabaseUrl::Postgres(text) = url else {
        unreachable!("the caller matched on the engine");
    };
    #[expect(clippy::disallowed_methods, reason = "the one door to PostgreSQL")]
    PgConnection::establish(&with_defaults(text)).map_err(|e| Error::classify_connect(&e, url))
}

/// The URL of a connection outside a pool; a pool's has these parameters already.
fn with_defaults(url: &str) -> String {
    let defaults = [
        ("connect_timeout", CONNECT_TIMEOUT_S.to_string()),
        ("application_name", APPLICATION_NAME.to_owned()),
    ];
    crate::url::with_parameters(url, &defaults)
}

fn is_english(lc_messages: &str) -> bool {
    // An empty value means the server's environment decided; the default build answers in English.
    lc_messages.is_empty()
        || lc_messages.starts_with('C')
        || lc_messages == "POSIX"
        || lc_messages.starts_with("en")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_do_not_replace_what_the_url_says() {
        assert_eq!(
            with_defaults("postgres://h/d"),
            "postgres://h/d?connect_timeout=10&application_name=bitcraps-db"
        );
        assert_eq!(
            with_defaults("postgres://h/d?connect_timeout=2"),
            "postgres://h/d?connect_timeout=2&application_name=bitcraps-db"
        );
    }
}

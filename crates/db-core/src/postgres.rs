//! PostgreSQL: connecting with a deadline and a name, in English.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Nullable, Text};
use diesel::{Connection, OptionalExtension, PgConnection, QueryableByName, RunQueryDsl};

use crate::error::Error;
use crate::{DatabaseUrl, Engine, Interrupt};

/// libpq waits for ever by default; a dead host should not take longer than this.
const CONNECT_TIMEOUT_S: u32 = 10;

/// How often, and after which pause, a backend is asked to stop: for two seconds.
const CANCEL_TRIES: u32 = 100;
const CANCEL_PAUSE: Duration = Duration::from_millis(20);

/// The name under which `pg_stat_activity` shows this program.
const APPLICATION_NAME: &str = "bitcraps-db";

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Text)]
    lc_messages: String,
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// A statement that a backend is running.
#[derive(QueryableByName)]
struct Running {
    #[diesel(sql_type = Text)]
    began: String,
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

/// Asks the server to end what the backend `pid` is doing, until that has ended or `is_noticed`.
///
/// The server forgets a request that meets no statement, and whoever owns the connection may be about
/// to send one, so a single request can be lost. Only the first statement it meets is asked to end:
/// what comes after that belongs to the owner's way out.
pub(crate) fn cancel(
    url: &DatabaseUrl,
    pid: i32,
    is_noticed: impl Fn() -> bool,
) -> Result<(), Error> {
    let mut conn = connect(url)?;
    let mut asked: Option<String> = None;
    for _ in 0..CANCEL_TRIES {
        if is_noticed() {
            break;
        }
        let running = diesel::sql_query(
            "SELECT CAST(query_start AS text) AS began, pg_catalog.pg_cancel_backend(pid)
             FROM pg_catalog.pg_stat_activity
             WHERE pid = $1 AND state = 'active' AND COALESCE(CAST(query_start AS text) = $2, true)",
        )
        .bind::<Integer, _>(pid)
        .bind::<Nullable<Text>, _>(&asked)
        .get_result::<Running>(&mut conn)
        .optional()
        .map_err(|e| Error::classify(Engine::Postgres, &e))?;
        match running {
            Some(running) => asked = Some(running.began),
            None if asked.is_some() => break,
            None => {}
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the backend sends no word when a statement of it begins or ends"
        )]
        std::thread::sleep(CANCEL_PAUSE);
    }
    Ok(())
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

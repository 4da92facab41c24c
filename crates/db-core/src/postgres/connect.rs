//! PostgreSQL: connecting with a deadline and a name, in English.

use std::fmt::Write as _;
use std::time::Duration;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::sql_types::{Array, Bool, Integer, Nullable, Text};
use diesel::{Connection, OptionalExtension, PgConnection, QueryableByName, RunQueryDsl};

use super::session::{Session, Traits};
use crate::config::PostgresOptions;
use crate::error::Error;
use crate::{Access, DatabaseUrl, Engine, Interrupt};

/// libpq waits for ever by default; a dead host should not take longer than this.
const CONNECT_TIMEOUT_S: u32 = 10;

/// How often, and after which pause, a backend is asked to stop: for two seconds.
const CANCEL_TRIES: u32 = 100;
const CANCEL_PAUSE: Duration = Duration::from_millis(20);

/// The name under which `pg_stat_activity` shows this program.
const APPLICATION_NAME: &str = "bitcraps-db";

/// Only a superuser may, and then it need not be in the way of anybody else.
pub(super) const SPEAK_ENGLISH: &str = "SET lc_messages = 'C'";

/// Diesel reads text as UTF-8, whatever the URL says.
pub(super) const SPEAK_UTF8: &str = "SET client_encoding = 'UTF8'";

#[derive(QueryableByName)]
struct Greeting {
    #[diesel(sql_type = Text)]
    lc_messages: String,
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Bool)]
    waits_for_disk: bool,
}

/// A statement that a backend is running.
#[derive(QueryableByName)]
struct Running {
    #[diesel(sql_type = Text)]
    began: String,
}

/// Connects, and makes sure that errors can be classified by their text.
pub(crate) fn open(url: &DatabaseUrl, access: Access) -> Result<(PgConnection, Interrupt), Error> {
    let mut conn = connect(url)?;
    let (greeting, _) = greet(&mut conn, access)?;
    let interrupt = Interrupt::for_backend(url.clone(), greeting.pid);
    Ok((conn, interrupt))
}

/// Asks who answers, and makes the session what it is to be: one that reads only begins no other
/// transactions, and it speaks English; tells whether that took a SET.
fn greet(conn: &mut PgConnection, access: Access) -> Result<(Greeting, bool), Error> {
    let read_only = match access {
        Access::ReadOnly => {
            ", pg_catalog.set_config('default_transaction_read_only', 'on', false) AS access"
        }
        _ => "",
    };
    let greeting = diesel::sql_query(format!(
        "SELECT current_setting('lc_messages') AS lc_messages, pg_backend_pid() AS pid,
                current_setting('synchronous_commit') <> 'off' AS waits_for_disk{read_only}"
    ))
    .get_result::<Greeting>(conn)
    .map_err(|e| Error::classify(Engine::Postgres, &e))?;
    if is_english(&greeting.lc_messages) {
        return Ok((greeting, false));
    }
    if conn.batch_execute(SPEAK_ENGLISH).is_ok() {
        return Ok((greeting, true));
    }
    tracing::warn!(
        lc_messages = greeting.lc_messages,
        "the server answers in a language whose errors cannot be classified; \
         ALTER ROLE … SET lc_messages = 'C' as a superuser cures it"
    );
    Ok((greeting, false))
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

/// Asks the server, once, to end what these backends do: a statement is cancelled, and an open
/// transaction in which none runs is ended with its session.
pub(super) fn cancel_all(url: &DatabaseUrl, pids: &[i32]) -> Result<(), Error> {
    let mut conn = connect(url)?;
    diesel::sql_query(
        "SELECT CASE WHEN state = 'active' THEN pg_catalog.pg_cancel_backend(pid)
                     ELSE pg_catalog.pg_terminate_backend(pid) END
         FROM pg_catalog.pg_stat_activity WHERE pid = ANY ($1)",
    )
    .bind::<Array<Integer>, _>(pids)
    .execute(&mut conn)
    .map(drop)
    .map_err(|e| Error::classify(Engine::Postgres, &e))
}

fn connect(url: &DatabaseUrl) -> Result<PgConnection, Error> {
    establish(url, &with_defaults(url))
}

/// The URL with a deadline and our name, where it says nothing else.
pub(super) fn with_defaults(url: &DatabaseUrl) -> String {
    let defaults = [
        ("connect_timeout", CONNECT_TIMEOUT_S.to_string()),
        ("application_name", APPLICATION_NAME.to_owned()),
    ];
    crate::url::with_parameters(text_of(url), &defaults)
}

fn text_of(url: &DatabaseUrl) -> &str {
    let DatabaseUrl::Postgres(text) = url else {
        unreachable!("the caller matched on the engine");
    };
    text
}

fn establish(url: &DatabaseUrl, full: &str) -> Result<PgConnection, Error> {
    #[expect(clippy::disallowed_methods, reason = "the one door to PostgreSQL")]
    PgConnection::establish(full).map_err(|e| Error::classify_connect(&e, url))
}

/// What the pool knows of a connection before it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    /// False behind a transaction pooler.
    pub(super) keeps_state: bool,
    pub(super) is_standby: bool,
}

/// Makes a session for the pool.
pub(super) fn open_session(
    url: &DatabaseUrl,
    options: &PostgresOptions,
    role: Role,
    epoch: u64,
) -> Result<Session, Error> {
    let full = pooled(text_of(url), options, role.keeps_state);
    let mut conn = establish(url, &full)?;
    let (greeting, made_english) = greet(&mut conn, Access::ReadWrite)?;
    let mut again = Vec::new();
    if made_english {
        again.push(SPEAK_ENGLISH);
    }
    if crate::url::parameter(text_of(url), "client_encoding").is_some() {
        again.push(SPEAK_UTF8);
    }
    if !role.keeps_state {
        conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    }
    let traits = Traits {
        pid: greeting.pid,
        epoch,
        role,
        waits_for_disk: greeting.waits_for_disk,
        again,
    };
    Ok(Session::new(conn, &traits))
}

/// Milliseconds, as PostgreSQL's settings take them: rounded up, so that only 0 is 0, no limit.
pub(super) fn millis(time: Duration) -> u64 {
    let most = u64::from(i32::MAX.cast_unsigned());
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).map_or(most, |time| time.min(most))
}

/// The limits that the server keeps, as (setting, milliseconds); 0 is no limit.
pub(super) fn limits(options: &PostgresOptions) -> [(&'static str, u64); 3] {
    [
        ("statement_timeout", options.statement_timeout),
        ("lock_timeout", options.lock_timeout),
        (
            "idle_in_transaction_session_timeout",
            options.idle_in_transaction_timeout,
        ),
    ]
    .map(|(name, limit)| (name, millis(limit)))
}

/// The URL with everything that a pooled session starts with.
///
/// Settings of the start-up packet are where RESET ALL leads back to. Of two that name one setting
/// the later wins: the URL's limits replace ours, our time zone, which Diesel sets anyway, the
/// URL's. Transactions that write say READ WRITE themselves.
fn pooled(url: &str, options: &PostgresOptions, keeps_state: bool) -> String {
    let mut parameters = vec![("client_encoding", "UTF8".to_owned())];
    if !keeps_state {
        return crate::url::with_parameters(url, &parameters);
    }
    let mut settings = String::new();
    for (name, limit) in limits(options) {
        // Writing to a String cannot fail.
        let _infallible = write!(settings, "-c {name}={limit} ");
    }
    if let Some(own) = crate::url::parameter(url, "options") {
        settings.push_str(&own);
        settings.push(' ');
    }
    settings.push_str("-c TimeZone=UTC -c default_transaction_read_only=on");
    parameters.push(("options", settings));
    crate::url::with_parameters(&crate::url::without_parameter(url, "options"), &parameters)
}

pub(super) fn is_english(lc_messages: &str) -> bool {
    // An empty value means the server's environment decided; the default build answers in English.
    lc_messages.is_empty()
        || lc_messages.starts_with('C')
        || lc_messages == "POSIX"
        || lc_messages.starts_with("en")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DatabaseConfig, Options};

    #[test]
    fn a_pooled_session_starts_with_its_limits() {
        let url = "postgres://h/d?sslmode=verify-full&options=-c%20work_mem%3D1MB&sslrootcert=/a";
        let config = DatabaseConfig::new(url).lock_timeout(Duration::from_millis(1500));
        let Ok(Options::Postgres(options)) = config.options() else {
            panic!("{config:?}");
        };
        let full = pooled(url, &options, true);
        assert_eq!(
            full,
            "postgres://h/d?sslmode=verify-full&sslrootcert=/a&client_encoding=UTF8\
             &options=-c%20statement_timeout%3D30000%20-c%20lock_timeout%3D1500%20\
             -c%20idle_in_transaction_session_timeout%3D60000%20-c%20work_mem%3D1MB%20\
             -c%20TimeZone%3DUTC%20-c%20default_transaction_read_only%3Don"
        );
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_micros(1_001)), 2);
        assert_eq!(millis(Duration::MAX), 2_147_483_647);
        let pooled = pooled(url, &options, false);
        assert!(pooled.contains("options=-c%20work_mem%3D1MB&"), "{pooled}");
        assert!(!pooled.contains("lock_timeout"), "{pooled}");
    }
}

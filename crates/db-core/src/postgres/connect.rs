//! PostgreSQL: connecting with a deadline and a name, in English.

use std::time::Duration;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::sql_types::{Bool, Integer, Text};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};

use super::options::PostgresOptions;
use super::session::{Session, Traits};
use crate::error::Error;
use crate::{DatabaseUrl, Engine, Interrupt};

/// libpq waits for ever by default; a dead host should not take longer than this.
const CONNECT_TIMEOUT_S: u32 = 10;

/// The name under which `pg_stat_activity` shows this program.
pub(super) const APPLICATION_NAME: &str = "bitcraps-db";

/// Only a superuser may, and then it need not be in the way of anybody else.
const SPEAK_ENGLISH: &str = "SET lc_messages = 'C'";

/// Diesel reads text as UTF-8, whatever the URL says.
const SPEAK_UTF8: &str = "SET client_encoding = 'UTF8'";

/// A dead peer is noticed after 30 + 3 × 10 seconds when nothing is sent.
const KEEPALIVES: [(&str, &str); 4] = [
    ("keepalives", "1"),
    ("keepalives_idle", "30"),
    ("keepalives_interval", "10"),
    ("keepalives_count", "3"),
];

#[derive(QueryableByName)]
struct Greeting {
    #[diesel(sql_type = Text)]
    lc_messages: String,
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Bool)]
    waits_for_disk: bool,
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
    let (greeting, _) = greet(&mut conn)?;
    let interrupt = Interrupt::for_backend(url.clone(), greeting.pid);
    Ok((conn, interrupt))
}

/// Asks who answers, and makes the session speak English; tells whether that took a SET.
fn greet(conn: &mut PgConnection) -> Result<(Greeting, bool), Error> {
    let greeting = diesel::sql_query(
        "SELECT current_setting('lc_messages') AS lc_messages, pg_backend_pid() AS pid,
                current_setting('synchronous_commit') <> 'off' AS waits_for_disk",
    )
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
    let defaults = [
        ("connect_timeout", CONNECT_TIMEOUT_S.to_string()),
        ("application_name", APPLICATION_NAME.to_owned()),
    ];
    establish(url, &with_defaults(text_of(url), &defaults))
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
    let full = with_parameters(text_of(url), options, role.keeps_state);
    let mut conn = establish(url, &full)?;
    let (greeting, made_english) = greet(&mut conn)?;
    let mut again = Vec::new();
    if made_english {
        again.push(SPEAK_ENGLISH);
    }
    if has_parameter(text_of(url), "client_encoding") {
        again.push(SPEAK_UTF8);
    }
    if !role.keeps_state {
        conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    }
    let traits = Traits {
        pid: greeting.pid,
        epoch,
        keeps_state: role.keeps_state,
        is_standby: role.is_standby,
        waits_for_disk: greeting.waits_for_disk,
        again,
    };
    Ok(Session::new(conn, &traits))
}

/// Whether a transaction pooler stands between: two connections that live at the same time reach
/// one backend, or one connection reaches two.
pub(super) fn finds_pooler(url: &DatabaseUrl) -> Result<bool, Error> {
    let (mut one, mut two) = (connect(url)?, connect(url)?);
    let first = greet(&mut one)?.0.pid;
    two.batch_execute("BEGIN")
        .map_err(|e| Error::classify(Engine::Postgres, &e))?;
    let other = greet(&mut two)?.0.pid;
    let again = greet(&mut one)?.0.pid;
    Ok(first == other || first != again)
}

/// Milliseconds, as PostgreSQL's settings take them.
pub(super) fn millis(time: Duration) -> u64 {
    // 0 would mean "no limit".
    let most = u64::from(i32::MAX.cast_unsigned());
    u64::try_from(time.as_millis())
        .unwrap_or(most)
        .clamp(1, most)
}

/// The limits that the server keeps, as (setting, milliseconds).
pub(super) fn limits(options: &PostgresOptions) -> Vec<(&'static str, u64)> {
    [
        ("statement_timeout", options.statement_timeout),
        ("lock_timeout", options.lock_timeout),
        (
            "idle_in_transaction_session_timeout",
            options.idle_in_transaction_timeout,
        ),
    ]
    .into_iter()
    .filter_map(|(name, limit)| Some((name, millis(limit?))))
    .collect()
}

/// The URL with everything that a pooled session starts with.
fn with_parameters(url: &str, options: &PostgresOptions, keeps_state: bool) -> String {
    let seconds = options.connect_timeout.as_secs().max(2);
    let mut defaults = vec![
        ("connect_timeout", seconds.to_string()),
        ("application_name", encode(&options.application_name)),
        ("client_encoding", "UTF8".to_owned()),
    ];
    defaults.extend(KEEPALIVES.map(|(key, value)| (key, value.to_owned())));
    if let Some(limit) = options.tcp_user_timeout {
        defaults.push(("tcp_user_timeout", millis(limit).to_string()));
    }
    if !keeps_state {
        return with_defaults(url, &defaults);
    }
    // Settings of the start-up packet are where RESET ALL leads back to. Of two that name one
    // setting the later wins: the URL's limits replace ours, our time zone, which Diesel sets
    // anyway, the URL's. Transactions that write say READ WRITE themselves.
    let mut settings = String::new();
    for (name, limit) in limits(options) {
        settings.push_str(&encode(&format!("-c {name}={limit} ")));
    }
    if let Some(own) = parameter(url, "options") {
        settings.push_str(own);
        settings.push_str("%20");
    }
    settings.push_str(&encode(
        "-c TimeZone=UTC -c default_transaction_read_only=on",
    ));
    defaults.push(("options", settings));
    with_defaults(&without(url, "options"), &defaults)
}

/// Adds the parameters that the URL leaves open; the values are percent-encoded already.
fn with_defaults(url: &str, defaults: &[(&str, String)]) -> String {
    let mut full = url.to_owned();
    for (key, value) in defaults {
        if !has_parameter(url, key) {
            match full.chars().next_back() {
                Some('?' | '&') => {}
                _ => full.push(if full.contains('?') { '&' } else { '?' }),
            }
            full.push_str(key);
            full.push('=');
            full.push_str(value);
        }
    }
    full
}

fn has_parameter(url: &str, key: &str) -> bool {
    parameter(url, key).is_some()
}

/// The value of a parameter as it stands in the URL; of several the last, as libpq takes it.
fn parameter<'u>(url: &'u str, key: &str) -> Option<&'u str> {
    let (_, query) = url.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .rfind(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// The URL without a parameter.
fn without(url: &str, key: &str) -> String {
    let Some((start, query)) = url.split_once('?') else {
        return url.to_owned();
    };
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| pair.split_once('=').is_none_or(|(name, _)| name != key))
        .collect();
    format!("{start}?{}", kept.join("&"))
}

/// Percent-encodes what is no plain character.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
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

    fn options(url: &str) -> PostgresOptions {
        PostgresOptions::new(DatabaseUrl::parse(url).unwrap())
    }

    #[test]
    fn defaults_do_not_replace_what_the_url_says() {
        let defaults = [("connect_timeout", "10".to_owned())];
        for (url, expected) in [
            ("postgres://h/d", "postgres://h/d?connect_timeout=10"),
            ("postgres://h/d?", "postgres://h/d?connect_timeout=10"),
            (
                "postgres://h/d?a=b",
                "postgres://h/d?a=b&connect_timeout=10",
            ),
            (
                "postgres://h/d?connect_timeout=2",
                "postgres://h/d?connect_timeout=2",
            ),
        ] {
            assert_eq!(with_defaults(url, &defaults), expected);
        }
    }

    #[test]
    fn a_pooled_session_starts_with_its_limits() {
        let url = "postgres://h/d?sslmode=verify-full&options=-c%20work_mem%3D1MB&sslrootcert=/a";
        let mut options = options(url);
        options.application_name = "a b".to_owned();
        options.lock_timeout = Some(Duration::from_millis(1500));
        let full = with_parameters(url, &options, true);
        assert_eq!(
            full,
            "postgres://h/d?sslmode=verify-full&sslrootcert=/a&connect_timeout=3\
             &application_name=a%20b&client_encoding=UTF8&keepalives=1&keepalives_idle=30\
             &keepalives_interval=10&keepalives_count=3&tcp_user_timeout=15000\
             &options=-c%20lock_timeout%3D1500%20\
             -c%20idle_in_transaction_session_timeout%3D60000%20-c%20work_mem%3D1MB%20\
             -c%20TimeZone%3DUTC%20-c%20default_transaction_read_only%3Don"
        );
        let pooled = with_parameters(url, &options, false);
        assert!(pooled.contains("options=-c%20work_mem%3D1MB&"), "{pooled}");
        assert!(!pooled.contains("lock_timeout"), "{pooled}");
    }
}

//! Lines of the audit trail as the engine itself holds them, and up to where the trail is whole.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use db_core::{Conn, ErrorKind, statement, with_conn};
use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text, Timestamptz};

use crate::audit::{StoredLine, StoredSeal};
use crate::{Error, Result};

type Bytes = Option<Vec<u8>>;
type Words = Option<String>;

statement! {
    /// Lines of a range of ids. Bytes, because no check keeps a hand from writing what is no text.
    struct LinesOnSqlite {
        from: i64 as BigInt,
        last: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns (
        BigInt, Nullable<Binary>, Nullable<Binary>, Nullable<Binary>, Nullable<Binary>,
        Nullable<Binary>, Nullable<Binary>, Nullable<Binary>, Nullable<Binary>, BigInt,
        Nullable<Binary>,
    );
    "SELECT id, CAST(user_id AS BLOB), CAST(action AS BLOB), CAST(entity_type AS BLOB),
    CAST(entity_id AS BLOB), CAST(before_state AS BLOB), CAST(after_state AS BLOB),
    CAST(ip_address AS BLOB), CAST(user_agent AS BLOB), created_at, CAST(metadata AS BLOB)
    FROM audit_logs WHERE id >= " from " AND id <= " last " ORDER BY id LIMIT " rows " + 0"
}

statement! {
    /// Lines of a range of ids. What JSONB shows as text is one form of each document.
    struct LinesOnPostgres {
        from: i64 as BigInt,
        last: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns (
        BigInt, Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>,
        Nullable<Text>, Nullable<Text>, Nullable<Text>, Nullable<Text>, Timestamptz,
        Nullable<Text>,
    );
    "SELECT id, user_id, action, entity_type, entity_id, CAST(before_state AS text),
    CAST(after_state AS text), ip_address, user_agent, created_at, CAST(metadata AS text)
    FROM audit_logs WHERE id >= " from " AND id <= " last " ORDER BY id LIMIT " rows
}

statement! {
    /// The first seal from an id on.
    struct SealOnSqlite {
        id: i64 as BigInt,
    }
    returns (BigInt, BigInt, BigInt, BigInt, Binary, Binary, Binary, BigInt);
    "SELECT id, first_id, last_id, row_count, marks, previous_hash, hash, sealed_at
    FROM audit_seals WHERE id >= " id " ORDER BY id LIMIT 1"
}

statement! {
    /// The first seal from an id on.
    struct SealOnPostgres {
        id: i64 as BigInt,
    }
    returns (BigInt, BigInt, BigInt, BigInt, Binary, Binary, Binary, Timestamptz);
    "SELECT id, first_id, last_id, row_count, marks, previous_hash, hash, sealed_at
    FROM audit_seals WHERE id >= " id " ORDER BY id LIMIT 1"
}

/// 2000-01-01 in Unix microseconds: where PostgreSQL begins to count.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

statement! {
    struct LastLine {}
    returns Nullable<BigInt>;
    "SELECT max(id) FROM audit_logs"
}

statement! {
    /// The last number that was given to a line, whether that line was committed or not.
    struct LastNumber {}
    returns Nullable<BigInt>;
    "SELECT CASE WHEN is_called THEN last_value END FROM audit_logs_id_seq"
}

statement! {
    /// The other transactions that have written to the trail and run still, or are prepared. An
    /// INSERT takes this lock before it takes a number, and keeps it to the end. VACUUM takes another.
    struct Writers {}
    returns Text;
    "SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = to_regclass('audit_logs')
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()"
}

/// How long [`boundary`] waits for those that are writing to the trail.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pauses between two looks at them: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// What the names of prepared transactions begin with in `pg_locks`. A transaction that is prepared
/// loses the name that it had.
const PREPARED: &str = "-1/";

/// Lines with an id from `from` to `last`: at most `rows`, in order.
pub(crate) fn lines(
    conn: &mut Conn<'_>,
    from: i64,
    last: i64,
    rows: i64,
) -> QueryResult<Vec<StoredLine>> {
    match conn {
        Conn::Sqlite(c) => lines_on_sqlite(c, from, last, rows),
        Conn::Postgres(c) => lines_on_postgres(c, from, last, rows),
    }
}

#[expect(clippy::type_complexity, reason = "the columns of the table")]
fn lines_on_sqlite(
    c: &mut SqliteConnection,
    from: i64,
    last: i64,
    rows: i64,
) -> QueryResult<Vec<StoredLine>> {
    let found: Vec<(
        i64,
        Bytes,
        Bytes,
        Bytes,
        Bytes,
        Bytes,
        Bytes,
        Bytes,
        Bytes,
        i64,
        Bytes,
    )> = LinesOnSqlite { from, last, rows }.load(c)?;
    let line = |(id, a, b, c, d, e, f, g, h, at, i)| StoredLine {
        id,
        at,
        texts: [a, b, c, d, e, f, g, h, i],
    };
    Ok(found.into_iter().map(line).collect())
}

#[expect(clippy::type_complexity, reason = "the columns of the table")]
fn lines_on_postgres(
    c: &mut PgConnection,
    from: i64,
    last: i64,
    rows: i64,
) -> QueryResult<Vec<StoredLine>> {
    let found: Vec<(
        i64,
        Words,
        Words,
        Words,
        Words,
        Words,
        Words,
        Words,
        Words,
        PgTimestamp,
        Words,
    )> = LinesOnPostgres { from, last, rows }.load(c)?;
    let bytes = |text: Words| text.map(String::into_bytes);
    let line = |(id, a, b, c, d, e, f, g, h, PgTimestamp(at), i)| StoredLine {
        id,
        at: unix(at),
        texts: [a, b, c, d, e, f, g, h, i].map(bytes),
    };
    Ok(found.into_iter().map(line).collect())
}

/// As the server holds it, also what no date can be: two moments never become the same.
const fn unix(since_2000: i64) -> i64 {
    since_2000.wrapping_add(POSTGRES_EPOCH)
}

/// The first seal from an id on.
#[expect(clippy::type_complexity, reason = "the columns of the table")]
pub(crate) fn seal_from(conn: &mut Conn<'_>, id: i64) -> QueryResult<Option<StoredSeal>> {
    let found: Option<(i64, i64, i64, i64, Vec<u8>, Vec<u8>, Vec<u8>, i64)> = match conn {
        Conn::Sqlite(c) => SealOnSqlite { id }.get_result(*c).optional()?,
        Conn::Postgres(c) => SealOnPostgres { id }
            .get_result(*c)
            .optional()?
            .map(|(a, b, c, d, e, f, g, PgTimestamp(at))| (a, b, c, d, e, f, g, unix(at))),
    };
    let seal =
        |(id, first_id, last_id, row_count, marks, previous_hash, hash, sealed_at)| StoredSeal {
            id,
            first_id,
            last_id,
            row_count,
            marks,
            previous_hash,
            hash,
            sealed_at,
        };
    Ok(found.map(seal))
}

/// The newest line, if there is one.
pub(crate) fn newest_line(conn: &mut Conn<'_>) -> QueryResult<Option<i64>> {
    with_conn!(conn, |c| LastLine {}.get_result(c))
}

/// No line that came in the ordinary way has a higher number: the last that was given out.
pub(crate) fn last_number(conn: &mut Conn<'_>) -> QueryResult<Option<i64>> {
    match conn {
        // A line's number is given as it is written, by the one writer there is.
        Conn::Sqlite(_) => newest_line(conn),
        Conn::Postgres(c) => LastNumber {}.get_result(*c),
    }
}

/// The last number of a line, once all numbers up to it are committed or gone.
///
/// One writer at a time numbers lines on SQLite. On PostgreSQL a line with a lower number may be
/// committed later, by a transaction that runs still. Who was given a number up to the last had
/// locked the table before: it is among those that hold the lock after the number was read, or has
/// ended. Those are waited for, and nobody waits for this.
pub(crate) fn boundary(conn: &mut Conn<'_>) -> Result<Option<i64>> {
    let last = last_number(conn)?;
    if let Conn::Postgres(c) = conn {
        let noted: HashSet<String> = Writers {}.load(*c)?.into_iter().collect();
        if !noted.is_empty() {
            wait_for(c, &noted)?;
        }
    }
    Ok(last)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the end of another transaction cannot be waited for without its lock"
)]
fn wait_for(c: &mut PgConnection, noted: &HashSet<String>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let (mut pause, longest) = PAUSES;
    loop {
        std::thread::sleep(pause);
        let now: Vec<String> = Writers {}.load(c)?;
        let runs = |name: &String| noted.contains(name) || name.starts_with(PREPARED);
        if !now.iter().any(runs) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::Database(db_core::Error::new(
                ErrorKind::LockTimeout,
                "transactions that have written to the audit trail have not ended yet",
            )));
        }
        pause = (pause * 2).min(longest);
    }
}

//! What the tests share: an open, migrated database, moments, and players.

use chrono::DateTime;
use db_core::{Conn, Database};
use db_repo::{Error, Page, PageRequest, UserRepository};
use db_schema::rows::NewUser;
use db_schema::types::UtcTime;
use db_testkit::{TestConn, TestDb};
use diesel::RunQueryDsl as _;

/// A migrated database, opened as an application does.
#[track_caller]
pub(crate) fn open(db: &TestDb) -> Database {
    db.migrate();
    db.database()
}

/// So many seconds after a fixed moment.
#[track_caller]
pub(crate) fn at(seconds: i64) -> UtcTime {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0)
        .unwrap()
        .into()
}

/// A write that has to succeed.
#[track_caller]
pub(crate) fn write<T: Send>(
    database: &Database,
    f: impl FnOnce(&mut Conn<'_>) -> Result<T, Error> + Send,
) -> T {
    database.write(f).unwrap()
}

/// What a write was refused with.
#[track_caller]
pub(crate) fn refusal<T: Send + std::fmt::Debug>(
    database: &Database,
    f: impl FnOnce(&mut Conn<'_>) -> Result<T, Error> + Send,
) -> Error {
    database.write(f).unwrap_err()
}

/// A read that has to succeed.
#[track_caller]
pub(crate) fn read<T>(database: &Database, f: impl FnOnce(&mut Conn<'_>) -> Result<T, Error>) -> T {
    database.read(f).unwrap()
}

/// A player who came at `at(seconds)`.
pub(crate) fn new_user(id: &str, seconds: i64) -> NewUser {
    NewUser {
        id: id.to_owned(),
        username: format!("name of {id}"),
        public_key: vec![7; 32],
        created_at: at(seconds),
    }
}

/// Adds players.
#[track_caller]
pub(crate) fn users(database: &Database, ids: &[&str]) {
    let new: Vec<_> = ids.iter().map(|id| new_user(id, 0)).collect();
    write(database, |conn| UserRepository::create_many(conn, &new));
}

/// All rows of a list, read in pages of so many; each cursor goes through its text.
#[track_caller]
pub(crate) fn all_pages<T>(
    database: &Database,
    limit: i64,
    list: impl Fn(&mut Conn<'_>, &PageRequest) -> Result<Page<T>, Error>,
) -> Vec<T> {
    let mut all = Vec::new();
    let mut request = PageRequest::first(limit);
    loop {
        let page = read(database, |conn| list(conn, &request));
        assert!(i64::try_from(page.items.len()).unwrap() <= limit);
        all.extend(page.items);
        match page.next {
            Some(next) => {
                request = PageRequest::first(limit).after(next.to_string().parse().unwrap());
            }
            None => return all,
        }
    }
}

/// Runs a write while a rival's is not committed yet, which then commits; what the write gave. On
/// PostgreSQL the rival waits until the write waits for it; on SQLite the write begins after the
/// rival's.
#[track_caller]
pub(crate) fn after_a_rival<T: Send>(
    db: &TestDb,
    rival: impl FnOnce(&mut Conn<'_>) -> Result<(), Error> + Send,
    write: impl FnOnce(&mut Conn<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let database = db.database();
    let mut watcher = db.connect();
    let (begun, begins) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let rivals = &database;
        let first = scope.spawn(move || {
            rivals.write(|conn| {
                rival(conn)?;
                begun.send(()).unwrap();
                until_one_waits(&mut watcher);
                Ok::<_, Error>(())
            })
        });
        begins.recv().unwrap();
        let done = database.write(write);
        first.join().unwrap().unwrap();
        done
    })
}

/// Returns when a session of this database waits for a lock; at once on SQLite.
fn until_one_waits(watcher: &mut TestConn) {
    #[derive(diesel::QueryableByName)]
    struct Waits {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        waits: bool,
    }
    let TestConn::Postgres(c) = watcher else {
        return;
    };
    let query = "SELECT count(*) > 0 AS waits FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !diesel::sql_query(query)
        .get_result::<Waits>(c)
        .unwrap()
        .waits
    {
        std::thread::yield_now();
    }
}

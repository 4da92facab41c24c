//! Dumps beside writers that never stop: each one restores, conserves money, and is a prefix of the acknowledged
//! history.

use std::collections::BTreeMap;

use db_backup::{BackupOptions, Invariant, Method, RestoreOptions, create, restore};
use db_core::{Access, Conn, Connection, DatabaseUrl, Engine};
use db_testkit::{TestDb, size};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::dump::{drop_database, target};
use super::{place, source};
use crate::soak::soak;

const ACCOUNTS: i64 = 50;
const EACH: i64 = 1_000;

/// Each transfer takes its place in the history from one row, so that places are in the order of commits.
const BANK: &str = "
    CREATE TABLE head (n bigint NOT NULL); INSERT INTO head VALUES (0);
    CREATE TABLE accounts (id bigint PRIMARY KEY, balance bigint NOT NULL);
    INSERT INTO accounts SELECT n, 1000 FROM generate_series(1, 50) n;
    CREATE TABLE history (place bigint PRIMARY KEY, writer bigint NOT NULL, seq bigint NOT NULL,
        source bigint NOT NULL REFERENCES accounts (id), target bigint NOT NULL REFERENCES accounts (id),
        amount bigint NOT NULL);
    CREATE FUNCTION transfer(writer bigint, seq bigint, a bigint, b bigint, amount bigint) RETURNS void
    LANGUAGE plpgsql AS $$
    DECLARE place bigint;
    BEGIN
        UPDATE public.head SET n = n + 1 RETURNING n INTO place;
        UPDATE public.accounts SET balance = balance - amount WHERE id = a;
        UPDATE public.accounts SET balance = balance + amount WHERE id = b;
        INSERT INTO public.history VALUES (place, writer, seq, a, b, amount);
    END $$";

#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
struct Line {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    writer: i64,
    #[diesel(sql_type = BigInt)]
    seq: i64,
    #[diesel(sql_type = BigInt)]
    source: i64,
    #[diesel(sql_type = BigInt)]
    target: i64,
    #[diesel(sql_type = BigInt)]
    amount: i64,
}

#[derive(QueryableByName)]
struct Account {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = BigInt)]
    balance: i64,
}

fn accounts(conn: &mut Conn<'_>) -> Result<BTreeMap<i64, i64>, db_core::Error> {
    let Conn::Postgres(conn) = conn else {
        panic!("no server")
    };
    let found: Vec<Account> = sql_query("SELECT id, balance FROM accounts")
        .load(*conn)
        .map_err(|e| db_core::Error::classify(Engine::Postgres, &e))?;
    Ok(found.into_iter().map(|one| (one.id, one.balance)).collect())
}

fn conserved() -> Invariant {
    Invariant::new("money", |conn| {
        let sum: i64 = accounts(conn)?.values().sum();
        let lost = (sum != ACCOUNTS * EACH).then(|| format!("{sum} is there"));
        Ok(lost.into_iter().collect())
    })
}

/// The lines in the order of their commits; the balances are what they make.
fn history(url: &DatabaseUrl) -> Vec<Line> {
    let mut connection = Connection::open(url, Access::ReadOnly).unwrap();
    let mut conn = connection.conn();
    let balances = accounts(&mut conn).unwrap();
    let Conn::Postgres(conn) = conn else {
        panic!("no server")
    };
    let lines: Vec<Line> = sql_query("SELECT * FROM history ORDER BY place")
        .load(conn)
        .unwrap();
    let mut expected: BTreeMap<i64, i64> = (1..=ACCOUNTS).map(|id| (id, EACH)).collect();
    for line in &lines {
        *expected.get_mut(&line.source).unwrap() -= line.amount;
        *expected.get_mut(&line.target).unwrap() += line.amount;
    }
    assert_eq!(balances, expected, "balances and lines differ");
    lines
}

/// `BITCRAPS_TEST_DUMPS` makes more of them.
#[expect(clippy::print_stdout, reason = "the figure of a long run")]
#[test]
fn dumps_beside_saturating_transfers_are_prefixes_of_the_history() {
    let rounds = size("DUMPS", 3);
    let db = TestDb::postgres();
    db.connect().execute(BANK);
    let (_folder, store) = place();
    let url = DatabaseUrl::parse(&db.url()).unwrap();
    let writer = |number: i64| {
        let mut random = fastrand::Rng::with_seed(number.unsigned_abs() + 6);
        let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
        move |seq: i64| {
            let (a, b) = (random.i64(1..=ACCOUNTS), random.i64(1..=ACCOUNTS));
            let amount = random.i64(1..100);
            let transfer = format!("SELECT transfer({number}, {seq}, {a}, {b}, {amount})");
            connection.conn().batch_execute(&transfer).unwrap();
        }
    };
    let options = BackupOptions::new()
        .with_method(Method::Logical)
        .with_invariant(conserved());
    let back_up = || create(&source(&db.url()), &store, &options, &mut |_| ()).unwrap();
    let soaked = soak(rounds, writer, back_up, |_, _| {});
    let restored = target(&db, "_soak");
    let of = |line: &Line| (line.writer, line.seq);
    let acked = soaked.check(&history(&url), of, |manifest| {
        let options = RestoreOptions::new().with_invariant(conserved());
        restore(&store, manifest, &restored, &options, &mut |_| ()).unwrap();
        let lines = history(&restored);
        drop_database(&db, &restored.database_name().unwrap());
        lines
    });
    println!("{rounds} dumps beside {acked} transfers");
}

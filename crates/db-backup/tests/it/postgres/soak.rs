//! Dumps beside writers that never stop: each one restores, conserves money, and is a prefix of the acknowledged
//! history.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use db_backup::{BackupOptions, Invariant, Method, RestoreOptions, create, restore};
use db_core::{Access, Conn, Connection, DatabaseUrl, Engine};
use db_testkit::{TestDb, size};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl, sql_query};

use super::dump::{drop_database, target};
use super::{place, source};

const WRITERS: usize = 3;
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
    let stop = AtomicBool::new(false);
    let acknowledged: Vec<AtomicI64> = (0..WRITERS).map(|_| AtomicI64::new(0)).collect();
    let acks = || -> Vec<i64> {
        let loaded = acknowledged.iter().map(|ack| ack.load(Ordering::SeqCst));
        loaded.collect()
    };
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        for (writer, acknowledged) in acknowledged.iter().enumerate() {
            let (url, stop) = (&url, &stop);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(writer as u64 + 7);
                let mut connection = Connection::open(url, Access::ReadWrite).unwrap();
                for seq in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (a, b) = (random.i64(1..=ACCOUNTS), random.i64(1..=ACCOUNTS));
                    let amount = random.i64(1..100);
                    let transfer = format!("SELECT transfer({writer}, {seq}, {a}, {b}, {amount})");
                    connection.conn().batch_execute(&transfer).unwrap();
                    acknowledged.store(seq, Ordering::SeqCst);
                }
            });
        }
        // Whatever fails below, the writers end.
        let stopper = Stop(&stop);
        while acks().contains(&0) {
            std::thread::yield_now();
        }
        let options = BackupOptions::new()
            .with_method(Method::Logical)
            .with_invariant(conserved());
        for _ in 0..rounds {
            let before = acks();
            let manifest = create(&source(&db.url()), &store, &options, &mut |_| ()).unwrap();
            made.push((manifest, before, acks()));
        }
        drop(stopper);
    });
    let whole = history(&url);
    let restored = target(&db, "_soak");
    let mut longest = 0;
    for (manifest, before, after) in &made {
        let options = RestoreOptions::new().with_invariant(conserved());
        restore(&store, manifest, &restored, &options, &mut |_| ()).unwrap();
        let lines = history(&restored);
        assert_eq!(
            lines,
            whole[..lines.len()],
            "{} is no prefix",
            manifest.name
        );
        assert!(lines.len() >= longest, "a later dump is shorter");
        longest = lines.len();
        for writer in 0..WRITERS {
            let number = i64::try_from(writer).unwrap();
            let of_writer = lines.iter().filter(|line| line.writer == number);
            let last = of_writer.map(|line| line.seq).max().unwrap_or(0);
            assert!(
                last >= before[writer],
                "an acknowledged transfer is missing"
            );
            assert!(
                last <= after[writer] + 1,
                "a transfer of the future is in it"
            );
        }
        drop_database(&db, &restored.database_name().unwrap());
    }
    let acked: i64 = acks().iter().sum();
    assert_eq!(i64::try_from(whole.len()).unwrap(), acked);
    println!("{rounds} dumps beside {acked} transfers");
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

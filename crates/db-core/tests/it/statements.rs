//! Hot statements: prepared once, on both engines, with a text that does not vary.

use std::sync::{Arc, Mutex};

use db_core::statement::{Texts, text};
use db_core::{Connection, Engine, statement, with_conn};
use db_testkit::{TestDb, both_engines};
use diesel::connection::{Connection as _, InstrumentationEvent};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::Sqlite;
use diesel::{OptionalExtension, QueryResult, RunQueryDsl};

use crate::support::{open, run};

statement! {
    /// Takes an amount from a balance that holds it.
    struct Debit<'a> {
        user: &'a str as Text,
        amount: i64 as BigInt,
    }
    returns BigInt;
    "UPDATE balances SET balance = balance - " amount
    " WHERE user_id = " user " AND balance >= " amount " RETURNING balance"
}

statement! {
    /// Counts a bet.
    struct CountBet<'a> {
        user: &'a str as Text,
        wagered: i64 as BigInt,
        note: Option<&'a str> as Nullable<Text>,
    }
    "INSERT INTO stats (user_id, bets, wagered, note) VALUES (" user ", 1, " wagered ", " note ")
     ON CONFLICT (user_id) DO UPDATE
     SET bets = stats.bets + 1, wagered = stats.wagered + excluded.wagered, note = excluded.note"
}

statement! {
    struct Totals {}
    returns (BigInt, BigInt, Nullable<Text>);
    "SELECT bets, wagered, note FROM stats"
}

statement! {
    /// Fields that are called like Diesel's methods, the macro's own names and keywords.
    #[derive(Clone, Copy)]
    struct Awkward<'a> {
        execute: i64 as BigInt,
        load: i64 as BigInt,
        get_result: i64 as BigInt,
        get_results: i64 as BigInt,
        first: i64 as BigInt,
        filter: i64 as BigInt,
        walk_ast: i64 as BigInt,
        to_sql: i64 as BigInt,
        clone: i64 as BigInt,
        out: i64 as BigInt,
        diesel: i64 as BigInt,
        r#type: &'a str as Text,
    }
    returns (BigInt, Text);
    "SELECT " execute " + " load " + " get_result " + " get_results " + " first " + " filter
    " + " walk_ast " + " to_sql " + " clone " + " out " + " diesel ", CAST(" r#type " AS text)"
}

impl Awkward<'_> {
    /// A program may call its own methods like its fields.
    fn load(&self) -> i64 {
        self.load
    }
}

const SCHEMA: &str = "
    CREATE TABLE balances (user_id TEXT PRIMARY KEY, balance BIGINT NOT NULL);
    CREATE TABLE stats (
        user_id TEXT PRIMARY KEY, bets BIGINT NOT NULL, wagered BIGINT NOT NULL, note TEXT
    );
    INSERT INTO balances VALUES ('ada', 10)";

/// The texts that this connection prepares to keep.
fn watch(connection: &mut Connection) -> Arc<Mutex<Vec<String>>> {
    let kept = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&kept);
    let record = move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::CacheQuery { sql, .. } = event {
            seen.lock().unwrap().push(sql.to_owned());
        }
    };
    with_conn!(connection.conn(), |c| c.set_instrumentation(record));
    kept
}

both_engines! {
    fn it_is_prepared_once_and_bound_each_time(db: TestDb) {
        let mut connection = open(&db);
        run(&mut connection, SCHEMA);
        let kept = watch(&mut connection);
        let mut conn = connection.conn();
        for round in 0..20_i64 {
            let note = (round % 2 == 0).then_some("even");
            let bet = CountBet { user: "ada", wagered: round, note };
            assert_eq!(with_conn!(conn, |c| bet.execute(c)).unwrap(), 1);
            let debit = Debit { user: "ada", amount: 3 };
            let left: Option<i64> = with_conn!(conn, |c| debit.get_result(c).optional()).unwrap();
            assert_eq!(left, [7, 4, 1].get(usize::try_from(round).unwrap()).copied());
        }
        let totals: (i64, i64, Option<String>) =
            with_conn!(conn, |c| Totals {}.get_result(c)).unwrap();
        assert_eq!(totals, (20, 190, None));
        let kept = kept.lock().unwrap();
        assert_eq!(kept.len(), 3, "{kept:#?}");
    }
}

both_engines! {
    fn fields_may_be_called_like_methods(db: TestDb) {
        let mut connection = open(&db);
        let awkward = Awkward {
            execute: 1, load: 2, get_result: 4, get_results: 8, first: 16, filter: 32,
            walk_ast: 64, to_sql: 128, clone: 256, out: 512, diesel: 1_024, r#type: "ada",
        };
        let row: (i64, String) =
            with_conn!(connection.conn(), |c| awkward.get_result(c)).unwrap();
        assert_eq!(row, (2_047, "ada".to_owned()));
        assert_eq!(Awkward::load(&awkward), 2);
        with_conn!(connection.conn(), |c| awkward.execute(c)).unwrap();
    }
}

#[test]
fn its_text_is_what_it_says() {
    let debit = Debit {
        user: "ada",
        amount: 3,
    };
    assert_eq!(
        text::<Pg, _>(&debit),
        "UPDATE balances SET balance = balance - $1 WHERE user_id = $2 AND balance >= $3 \
         RETURNING balance"
    );
    assert_eq!(
        text::<Sqlite, _>(&debit),
        "UPDATE balances SET balance = balance - ? WHERE user_id = ? AND balance >= ? \
         RETURNING balance"
    );
}

/// What the macro does not make: one key, and a text that depends on a value.
struct ByHand(bool);

impl QueryId for ByHand {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for ByHand {
    type SqlType = BigInt;
}

impl<C> RunQueryDsl<C> for ByHand {}

impl QueryFragment<Sqlite> for ByHand {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(if self.0 { "SELECT 1" } else { "SELECT 2" });
        Ok(())
    }
}

#[test]
fn a_text_that_varies_under_one_key_is_found_out() {
    // The danger is real: the first text runs for both.
    let mut connection = open(&TestDb::new(Engine::Sqlite));
    let conn = crate::support::sqlite(&mut connection);
    let answers = [true, false].map(|which| ByHand(which).get_result::<i64>(conn).unwrap());
    assert_eq!(answers, [1, 1]);

    let mut texts = Texts::default();
    texts.check::<Sqlite, _>(&ByHand(true)).unwrap();
    texts.check::<Sqlite, _>(&ByHand(true)).unwrap();
    let varies = texts.check::<Sqlite, _>(&ByHand(false)).unwrap_err();
    assert_eq!(
        (varies.kept.as_str(), varies.other.as_str()),
        ("SELECT 1", "SELECT 2")
    );
    // What the macro makes does not vary, whatever its values; without a key anything may.
    for amount in [0, i64::MAX] {
        for user in ["", "'; DROP TABLE balances; --", "a -- binds: b"] {
            texts.check::<Sqlite, _>(&Debit { user, amount }).unwrap();
            texts.check::<Pg, _>(&Debit { user, amount }).unwrap();
        }
        texts
            .check::<Sqlite, _>(&diesel::sql_query(amount.to_string()))
            .unwrap();
    }
}

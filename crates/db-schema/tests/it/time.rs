//! Moments on both engines.

use chrono::{DateTime, Utc};
use db_schema::types::{UtcTime, UtcTimestamp};
use db_testkit::{TestConn, TestDb, both_engines};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::on;

diesel::table! {
    use diesel::sql_types::*;
    use db_schema::types::UtcTimestamp;

    moments (id) {
        id -> Integer,
        at -> UtcTimestamp,
        later -> Nullable<UtcTimestamp>,
    }
}

#[derive(Queryable, Insertable, Debug, PartialEq)]
#[diesel(table_name = moments)]
#[diesel(treat_none_as_default_value = false)]
struct Moment {
    id: i32,
    at: UtcTime,
    later: Option<UtcTime>,
}

#[derive(QueryableByName)]
struct Micros {
    #[diesel(sql_type = BigInt)]
    micros: i64,
}

fn with_table(db: &TestDb) -> TestConn {
    let mut conn = db.connect();
    conn.execute(match &conn {
        TestConn::Sqlite(_) => {
            "CREATE TABLE moments (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, later INTEGER) STRICT"
        }
        TestConn::Postgres(_) => {
            "CREATE TABLE moments (id INTEGER PRIMARY KEY, at TIMESTAMPTZ NOT NULL, later TIMESTAMPTZ)"
        }
    });
    conn
}

fn moment(text: &str) -> UtcTime {
    text.parse::<DateTime<Utc>>().unwrap().into()
}

fn insert(conn: &mut TestConn, row: &Moment) -> QueryResult<usize> {
    on!(conn, |c| diesel::insert_into(moments::table)
        .values(row)
        .execute(c))
}

fn insert_at(conn: &mut TestConn, at: UtcTime) -> QueryResult<usize> {
    insert(
        conn,
        &Moment {
            id: 1,
            at,
            later: None,
        },
    )
}

both_engines! {
    fn a_moment_comes_back_to_the_microsecond(db: TestDb) {
        let mut conn = with_table(&db);
        for (id, text) in (1..).zip([
            "2026-07-05T12:34:56.123456Z",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "1999-12-31T23:59:59.999999Z",
            "0001-01-01T00:00:00.000001Z",
            "-4713-11-24T00:00:00Z",
            "+262142-12-31T23:59:59.999999Z",
        ]) {
            let row = Moment { id, at: moment(text), later: (id % 2 == 0).then(|| moment(text)) };
            insert(&mut conn, &row).unwrap();
            let back: Moment = on!(&mut conn, |c| moments::table.find(id).get_result(c).unwrap());
            assert_eq!(back, row, "{text}");
            let plain: DateTime<Utc> = on!(&mut conn, |c| moments::table
                .find(id)
                .select(moments::at)
                .get_result(c)
                .unwrap());
            assert_eq!(plain, *row.at);
        }
    }

    fn the_engine_understands_what_is_stored(db: TestDb) {
        let mut conn = with_table(&db);
        insert_at(&mut conn, moment("1969-12-31T23:59:59.25Z")).unwrap();
        let sql = match &conn {
            TestConn::Sqlite(_) => "SELECT at AS micros FROM moments WHERE typeof(at) = 'integer'",
            TestConn::Postgres(_) => {
                "SELECT (extract(epoch FROM at) * 1000000)::bigint AS micros FROM moments"
            }
        };
        let found: Micros = on!(&mut conn, |c| diesel::sql_query(sql).get_result(c).unwrap());
        assert_eq!(found.micros, -750_000);
    }

    fn what_is_finer_is_cut_off_downwards(db: TestDb) {
        let mut conn = with_table(&db);
        let fine: DateTime<Utc> = "1969-12-31T23:59:59.999999999Z".parse().unwrap();
        // Bound as it is, past the type that cuts it off.
        let sql = match &conn {
            TestConn::Sqlite(_) => "INSERT INTO moments (id, at) VALUES (1, ?)",
            TestConn::Postgres(_) => "INSERT INTO moments (id, at) VALUES (1, $1)",
        };
        on!(&mut conn, |c| diesel::sql_query(sql)
            .bind::<UtcTimestamp, _>(fine)
            .execute(c)
            .unwrap());
        let back: UtcTime =
            on!(&mut conn, |c| moments::table.select(moments::at).get_result(c).unwrap());
        assert_eq!(back, moment("1969-12-31T23:59:59.999999Z"));
        assert_eq!(UtcTime::from(fine), back);
    }

    fn moments_are_compared_and_ordered(db: TestDb) {
        let mut conn = with_table(&db);
        for (id, text) in (1..).zip(["1969-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]) {
            let later = Some(moment(text));
            insert(&mut conn, &Moment { id, at: moment(text), later }).unwrap();
        }
        let epoch = moment("1970-01-01T00:00:00Z");
        let (before, after, last): (Vec<i32>, Vec<i32>, Option<UtcTime>) = on!(&mut conn, |c| (
            moments::table.filter(moments::at.lt(epoch)).select(moments::id).load(c).unwrap(),
            moments::table.filter(moments::later.ge(epoch)).select(moments::id).load(c).unwrap(),
            moments::table.select(diesel::dsl::max(moments::at)).get_result(c).unwrap(),
        ));
        assert_eq!((before, after), (vec![1], vec![2]));
        assert_eq!(last, Some(moment("2026-01-01T00:00:00Z")));
    }

    fn a_moment_that_one_engine_cannot_hold_is_refused_by_both(db: TestDb) {
        let mut conn = with_table(&db);
        let error = insert_at(&mut conn, moment("-4713-11-23T23:59:59.999999Z")).unwrap_err();
        assert!(matches!(error, diesel::result::Error::SerializationError(_)), "{error}");
        assert!(error.to_string().contains("before 4714 BC"), "{error}");
    }

    fn a_stored_moment_that_no_date_can_hold_is_an_error(db: TestDb) {
        let mut conn = with_table(&db);
        for wild in ["9223372036854775807", "-9223372036854775808"] {
            let value = match &conn {
                TestConn::Sqlite(_) => wild,
                TestConn::Postgres(_) if wild.starts_with('-') => "'-infinity'",
                TestConn::Postgres(_) => "'infinity'",
            };
            conn.execute(&format!("DELETE FROM moments; INSERT INTO moments VALUES (1, {value}, NULL)"));
            let error = on!(&mut conn, |c| moments::table.load::<Moment>(c).unwrap_err());
            assert!(matches!(error, diesel::result::Error::DeserializationError(_)), "{error}");
            assert!(format!("{error:?}").contains("beyond the years"), "{error:?}");
        }
    }
}

//! Which lines a list shows.

use db_core::{Conn, Database};
use db_repo::{AuditFilter, AuditRepository, Error, PageRequest};
use db_schema::rows::AuditAction;
use db_testkit::{TestConn, TestDb, both_engines};

use super::changes;
use crate::support::{at, open, read};

/// The ids of all pages, and how many pages there were.
fn walk(database: &Database, filter: &AuditFilter, limit: i64) -> (Vec<i64>, usize) {
    let mut ids = Vec::new();
    let mut pages = 0;
    let mut request = PageRequest::first(limit);
    loop {
        let page = read(database, |conn| {
            AuditRepository::list(conn, filter, &request)
        });
        pages += 1;
        assert!(i64::try_from(page.items.len()).unwrap() <= limit);
        ids.extend(page.items.iter().map(|line| line.id));
        match page.next {
            Some(next) => {
                request = PageRequest::first(limit).after(next.to_string().parse().unwrap());
            }
            None => return (ids, pages),
        }
    }
}

fn ids(database: &Database, filter: &AuditFilter) -> Vec<i64> {
    let (ids, _) = walk(database, filter, 7);
    assert_eq!(walk(database, filter, 1_000).0, ids);
    ids
}

/// Lines of a table that nobody has, each ten minutes after the one before.
fn many_lines(conn: &mut TestConn, count: i64) {
    let sql = match conn.conn() {
        Conn::Sqlite(_) => format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
            INSERT INTO audit_logs (user_id, action, entity_type, entity_id, after_state, created_at)
            SELECT CASE n WHEN 1 THEN 'first' ELSE 'other' END, 'insert', 'dice', 'd' || n, '{{}}',
            1700000000000000 + n * 600000000 FROM n"
        ),
        Conn::Postgres(_) => format!(
            "INSERT INTO audit_logs (user_id, action, entity_type, entity_id, after_state, created_at)
            SELECT CASE n WHEN 1 THEN 'first' ELSE 'other' END, 'insert', 'dice', 'd' || n, '{{}}',
            timestamptz 'epoch' + (1700000000 + n * 600) * interval '1 second'
            FROM generate_series(1, {count}) AS n"
        ),
    };
    conn.execute(&sql);
}

both_engines! {
    fn lines_are_listed_by_what_they_are_about(db: TestDb) {
        let database = open(&db);
        changes(&database, 30);
        let all: Vec<i64> = (1..=30).rev().collect();
        assert_eq!(ids(&database, &AuditFilter::default()), all);
        let of_u3 = AuditFilter { entity_type: Some("users".into()), entity_id: Some("u3".into()), ..AuditFilter::default() };
        assert_eq!(ids(&database, &of_u3), [12, 11, 10]);
        let by_one = AuditFilter { user_id: Some("admin1".into()), ..of_u3.clone() };
        assert_eq!(ids(&database, &by_one), [12, 10]);
        let of_users = AuditFilter { entity_type: Some("users".into()), ..AuditFilter::default() };
        assert_eq!(ids(&database, &of_users), all);
        let of_games = AuditFilter { entity_type: Some("games".into()), ..AuditFilter::default() };
        assert_eq!(ids(&database, &of_games), Vec::<i64>::new());
        let by_zero = AuditFilter { user_id: Some("admin0".into()), ..AuditFilter::default() };
        assert_eq!(ids(&database, &by_zero), (1..=29).rev().step_by(2).collect::<Vec<_>>());
        let span = AuditFilter { since: Some(at(4)), until: Some(at(8)), ..AuditFilter::default() };
        assert_eq!(ids(&database, &span), [8, 7, 6, 5]);
        let span_of_u1 = AuditFilter { since: Some(at(4)), ..AuditFilter { entity_id: Some("u1".into()), ..of_users } };
        assert_eq!(ids(&database, &span_of_u1), [6, 5]);
        let until_of_u1 = AuditFilter { since: None, until: Some(at(4)), ..span_of_u1 };
        assert_eq!(ids(&database, &until_of_u1), [4]);
    }

    fn a_line_tells_who_did_what(db: TestDb) {
        let database = open(&db);
        changes(&database, 3);
        let line = read(&database, |conn| AuditRepository::find(conn, 2)).unwrap();
        assert_eq!(line.action, AuditAction::Update);
        assert_eq!((line.user_id, line.user_agent), (Some("admin1".into()), Some("test/1".into())));
        assert_eq!((line.entity_type.as_str(), line.entity_id.as_str()), ("users", "u0"));
        assert_eq!(line.created_at, at(1));
        let reputation = |state: Option<db_schema::types::Json>| state.unwrap().0["reputation"].as_f64();
        assert_eq!(reputation(line.before_state), Some(0.0));
        assert_eq!(reputation(line.after_state), Some(1.5));
        assert_eq!(read(&database, |conn| AuditRepository::find(conn, 99)), None);
    }

    fn a_page_looks_at_so_many_lines_and_leads_on(db: TestDb) {
        let database = open(&db);
        many_lines(&mut db.connect(), 120_000);
        let first = AuditFilter { user_id: Some("first".into()), ..AuditFilter::default() };
        let page = read(&database, |conn| AuditRepository::list(conn, &first, &PageRequest::default()));
        assert_eq!(page.items, []);
        assert_eq!(page.next.unwrap().to_string(), "2:audit:20001.");
        assert_eq!(walk(&database, &first, 100), (vec![1], 2));
        // A span of time is no shorter way.
        let minutes = |n: i64| Some(at(n * 600));
        let span = AuditFilter { since: minutes(5_000), until: minutes(5_003), ..AuditFilter::default() };
        assert_eq!(walk(&database, &span, 100), (vec![5_002, 5_001, 5_000], 2));
        let before = AuditFilter { until: minutes(2), ..first };
        assert_eq!(walk(&database, &before, 100), (vec![1], 2));
        let after = AuditFilter { since: minutes(120_001), ..AuditFilter::default() };
        assert_eq!(walk(&database, &after, 100), (vec![], 2));
    }

    fn a_span_of_time_holds_all_its_lines_in_whatever_order_they_came(db: TestDb) {
        let database = open(&db);
        let mut conn = db.connect();
        // Teeth of 25 days, down and up again, and times that come twice.
        let day = |id: i64| (id * 7) % 25;
        for id in 1..=200 {
            let seconds = 1_700_000_000 + day(id) * 86_400;
            let time = match conn.conn() {
                Conn::Sqlite(_) => format!("{seconds}000000"),
                Conn::Postgres(_) => format!("to_timestamp({seconds})"),
            };
            conn.execute(&format!(
                "INSERT INTO audit_logs (action, entity_type, entity_id, after_state, created_at)
                VALUES ('insert', 'dice', 'd{id}', '{{}}', {time})"
            ));
        }
        let days = |n: i64| Some(at(n * 86_400));
        for (since, until) in [(Some(5), Some(7)), (Some(24), None), (None, Some(1)), (Some(3), Some(20)), (Some(25), None)] {
            let span = AuditFilter { since: since.and_then(days), until: until.and_then(days), ..AuditFilter::default() };
            let within = |id: &i64| day(*id) >= since.unwrap_or(0) && day(*id) < until.unwrap_or(25);
            let expected: Vec<i64> = (1..=200).rev().filter(within).collect();
            assert_eq!(ids(&database, &span), expected, "{since:?} {until:?}");
        }
    }

    fn what_cannot_be_asked_is_refused(db: TestDb) {
        let database = open(&db);
        let no_table = AuditFilter { entity_id: Some("u1".into()), ..AuditFilter::default() };
        let refused = database.read(|conn| AuditRepository::list(conn, &no_table, &PageRequest::default()));
        assert_eq!(refused.unwrap_err().to_string(), "entity_id: needs entity_type beside it");
        let request = PageRequest::default().after("2:users:5.u1".parse().unwrap());
        let refused = database.read(|conn| AuditRepository::list(conn, &AuditFilter::default(), &request));
        assert!(matches!(refused, Err(Error::Invalid { field: "after", .. })), "{refused:?}");
    }
}

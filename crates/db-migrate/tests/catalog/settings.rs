//! Reading leaves no trace in the session.

use db_migrate::catalog::{Catalog, Scope, Tracker};
use db_testkit::{TestConn, TestDb};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl as _, sql_query};

use crate::support::read;

/// What only PostgreSQL has.
mod postgres {
    use super::*;

    #[derive(QueryableByName)]
    struct Value {
        #[diesel(sql_type = Text)]
        value: String,
    }

    const ALL: &str = "SELECT concat_ws('; ', current_setting('search_path'), \
        current_setting('plan_cache_mode'), current_setting('jit'), \
        current_setting('enable_seqscan')) AS value";

    fn ask(conn: &mut TestConn, sql: &str) -> String {
        let TestConn::Postgres(conn) = conn else {
            panic!("not PostgreSQL")
        };
        sql_query(sql).get_result::<Value>(conn).unwrap().value
    }

    #[test]
    fn settings_are_what_they_were_inside_and_outside_of_transactions() {
        let db = TestDb::postgres();
        let mut conn = db.connect();
        conn.execute("CREATE SCHEMA a; CREATE TABLE a.t (x int); SET search_path = a, public");
        let before = ask(&mut conn, ALL);
        read(&mut conn);
        assert_eq!(ask(&mut conn, ALL), before);
        conn.execute("BEGIN; SET LOCAL search_path = public; SET enable_seqscan = off");
        let inside = ask(&mut conn, ALL);
        read(&mut conn);
        let mut tracker = Tracker::start(&mut conn.conn(), &Scope::default()).unwrap();
        conn.execute("CREATE TABLE u (x int)");
        tracker.refresh(&mut conn.conn()).unwrap();
        assert_eq!(ask(&mut conn, ALL), inside);
        conn.execute("COMMIT");
        // What the transaction set for the session stays, what it set for itself is gone.
        let after = before.strip_suffix("on").unwrap();
        assert_eq!(ask(&mut conn, ALL), format!("{after}off"));
    }

    #[test]
    fn two_schemas_with_the_same_content_compare_equal() {
        let db = TestDb::postgres();
        let mut conn = db.connect();
        let mut catalogs = Vec::new();
        for schema in ["one", "two"] {
            conn.execute(&format!(
                "CREATE SCHEMA {schema}; SET search_path = {schema};
                 CREATE TYPE mood AS ENUM ('a'); CREATE TABLE p (id bigserial PRIMARY KEY, m mood DEFAULT 'a');
                 CREATE TABLE c (p bigint REFERENCES p, CHECK (p > 0)); CREATE INDEX i ON c (p);
                 CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
                 CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION f();
                 CREATE VIEW v AS SELECT p.id, p.m FROM p JOIN c ON c.p = p.id;
                 CREATE POLICY y ON c USING (EXISTS (SELECT FROM p)); COMMENT ON TABLE c IS 'c'"
            ));
            let scope = Scope::schema(schema);
            catalogs.push(Catalog::read(&mut conn.conn(), &scope).unwrap());
        }
        assert!(catalogs[0].len() > 10);
        assert_eq!(catalogs[0], catalogs[1]);
    }
}

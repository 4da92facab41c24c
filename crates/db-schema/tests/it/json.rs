//! JSON documents on both engines.

use db_schema::types::Json;
use db_testkit::{TestConn, TestDb, both_engines};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::{Value, json};

use crate::on;

diesel::table! {
    use diesel::sql_types::*;
    use db_schema::types::JsonDoc;

    documents (id) {
        id -> Integer,
        doc -> JsonDoc,
        extra -> Nullable<JsonDoc>,
    }
}

#[derive(Queryable, Insertable, Debug, PartialEq)]
#[diesel(table_name = documents)]
#[diesel(treat_none_as_default_value = false)]
struct Document {
    id: i32,
    doc: Json,
    extra: Option<Json>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn with_table(db: &TestDb) -> TestConn {
    let mut conn = db.connect();
    conn.execute(match &conn {
        TestConn::Sqlite(_) => {
            "CREATE TABLE documents (id INTEGER PRIMARY KEY, doc TEXT NOT NULL, extra TEXT, \
             CHECK (json_valid(doc)), CHECK (extra IS NULL OR json_valid(extra))) STRICT"
        }
        TestConn::Postgres(_) => {
            "CREATE TABLE documents (id INTEGER PRIMARY KEY, doc JSONB NOT NULL, extra JSONB)"
        }
    });
    conn
}

fn insert(conn: &mut TestConn, row: &Document) -> QueryResult<usize> {
    on!(conn, |c| diesel::insert_into(documents::table)
        .values(row)
        .execute(c))
}

fn count(conn: &mut TestConn, sql: &str) -> i64 {
    on!(conn, |c| diesel::sql_query(sql)
        .get_result::<Count>(c)
        .unwrap()
        .n)
}

both_engines! {
    fn a_document_comes_back_as_the_same_value(db: TestDb) {
        let mut conn = with_table(&db);
        for (id, doc) in (1..).zip([
            json!({"b": 1, "a": [true, null, -0.5, "dé \"ja\" \\u0000 vu"], "": {}}),
            json!([]),
            json!("text"),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e-300),
            Value::Null,
        ]) {
            let extra = (id % 2 == 0).then(|| Json(doc.clone()));
            let row = Document { id, doc: Json(doc.clone()), extra };
            insert(&mut conn, &row).unwrap();
            let back: Document =
                on!(&mut conn, |c| documents::table.find(id).get_result(c).unwrap());
            assert_eq!(back, row);
            let plain: Value = on!(&mut conn, |c| documents::table
                .find(id)
                .select(documents::doc)
                .get_result(c)
                .unwrap());
            assert_eq!(plain, doc);
        }
    }

    fn the_null_of_json_is_not_the_null_of_sql(db: TestDb) {
        let mut conn = with_table(&db);
        let null = || Json(Value::Null);
        insert(&mut conn, &Document { id: 1, doc: null(), extra: None }).unwrap();
        insert(&mut conn, &Document { id: 2, doc: null(), extra: Some(null()) }).unwrap();
        let unknown = "SELECT count(*) AS n FROM documents WHERE extra IS NULL";
        assert_eq!(count(&mut conn, unknown), 1);
        let extras: Vec<Option<Json>> = on!(&mut conn, |c| documents::table
            .order(documents::id)
            .select(documents::extra)
            .load(c)
            .unwrap());
        assert_eq!(extras, [None, Some(null())]);
    }

    fn the_engine_understands_what_is_stored(db: TestDb) {
        let mut conn = with_table(&db);
        let doc = Json(json!({"x": {"y": 7}}));
        insert(&mut conn, &Document { id: 1, doc, extra: None }).unwrap();
        let sql = match &conn {
            TestConn::Sqlite(_) => "SELECT doc ->> '$.x.y' AS n FROM documents",
            TestConn::Postgres(_) => "SELECT (doc #>> '{x,y}')::bigint AS n FROM documents",
        };
        assert_eq!(count(&mut conn, sql), 7);
    }

    fn a_nul_character_is_refused_wherever_it_is(db: TestDb) {
        let mut conn = with_table(&db);
        for doc in [json!("a\0"), json!([["\0"]]), json!({"k": {"\0": 1}})] {
            let row = Document { id: 1, doc: Json(doc), extra: None };
            let error = insert(&mut conn, &row).unwrap_err();
            assert!(matches!(error, diesel::result::Error::SerializationError(_)), "{error}");
        }
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn text_that_is_no_json_is_an_error_when_it_is_read() {
        let db = TestDb::sqlite();
        let mut conn = db.connect();
        conn.execute(
            "CREATE TABLE documents (id INTEGER PRIMARY KEY, doc TEXT NOT NULL, extra TEXT) STRICT; \
             INSERT INTO documents VALUES (1, '{', NULL)",
        );
        let error = on!(&mut conn, |c| documents::table
            .load::<Document>(c)
            .unwrap_err());
        assert!(
            matches!(error, diesel::result::Error::DeserializationError(_)),
            "{error}"
        );
    }
}

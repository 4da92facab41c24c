//! Writes that are rolled back although their closure says that all is well.

use db_core::{Conn, Database, DatabaseConfig, Error, ErrorKind, condemn, with_conn};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

diesel::table! { entry (id) { id -> Integer } }

fn open(db: &TestDb) -> Database {
    db.connect()
        .execute("CREATE TABLE entry (id INTEGER PRIMARY KEY)");
    Database::open(&DatabaseConfig::new(db.url())).unwrap()
}

fn insert(conn: &mut Conn<'_>, id: i32) -> Result<(), Error> {
    let row = entry::id.eq(id);
    with_conn!(conn, |c| diesel::insert_into(entry::table)
        .values(row)
        .execute(c))?;
    Ok(())
}

fn ids(database: &Database) -> Vec<i32> {
    database
        .read(|conn| {
            Ok::<_, Error>(with_conn!(conn, |c| entry::table
                .order(entry::id)
                .select(entry::id)
                .load(c))?)
        })
        .unwrap()
}

both_engines! {
    fn a_condemned_write_is_rolled_back_and_the_next_one_is_not(db: TestDb) {
        let database = open(&db);
        let error = database
            .write(|conn| {
                insert(conn, 1)?;
                condemn();
                Ok::<_, Error>(())
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionAborted);
        assert!(error.hint().unwrap().contains("`conn.savepoint"), "{error}");
        database.write(|conn| insert(conn, 2)).unwrap();
        assert_eq!(ids(&database), [2]);
    }

    fn others_in_the_same_group_are_committed(db: TestDb) {
        let database = open(&db);
        std::thread::scope(|scope| {
            for id in 0..64 {
                let database = &database;
                scope.spawn(move || {
                    let written = database.write(|conn| {
                        insert(conn, id)?;
                        if id % 2 == 0 {
                            condemn();
                        }
                        Ok::<_, Error>(())
                    });
                    assert_eq!(written.is_err(), id % 2 == 0);
                });
            }
        });
        assert_eq!(ids(&database), (0..64).filter(|id| id % 2 == 1).collect::<Vec<_>>());
    }

    fn what_fails_under_a_savepoint_condemns_nothing(db: TestDb) {
        let database = open(&db);
        database
            .write(|conn| {
                insert(conn, 1)?;
                let failed = conn.savepoint(|conn| {
                    insert(conn, 2)?;
                    condemn();
                    // On PostgreSQL this ends the transaction for whoever has no savepoint.
                    insert(conn, 1)
                });
                assert_eq!(failed.unwrap_err().kind(), ErrorKind::Constraint);
                insert(conn, 3)
            })
            .unwrap();
        assert_eq!(ids(&database), [1, 3]);
    }

    fn what_was_condemned_before_a_savepoint_stays_so(db: TestDb) {
        let database = open(&db);
        let written = database.write(|conn| {
            insert(conn, 1)?;
            condemn();
            drop(conn.savepoint(|conn| insert(conn, 1)));
            conn.savepoint(|conn| insert(conn, 2))
        });
        assert_eq!(written.unwrap_err().kind(), ErrorKind::TransactionAborted);
        assert_eq!(ids(&database), [0; 0]);
    }
}

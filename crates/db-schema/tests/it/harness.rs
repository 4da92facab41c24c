//! Diesel's own harness runs our migrations, up and down.

use db_schema::migrations::{DIESEL_POSTGRES, DIESEL_SQLITE, POSTGRES, SQLITE};
use db_schema::schema::usage_config;
use db_testkit::{TestConn, TestDb, both_engines};
use diesel::prelude::*;
use diesel_migrations::MigrationHarness as _;

use crate::on;

both_engines! {
    fn diesels_harness_goes_up_and_down(db: TestDb) {
        let mut conn = db.connect();
        let (applied, embedded) = match &mut conn {
            TestConn::Sqlite(c) => (c.run_pending_migrations(DIESEL_SQLITE).unwrap().len(), SQLITE),
            TestConn::Postgres(c) => {
                (c.run_pending_migrations(DIESEL_POSTGRES).unwrap().len(), POSTGRES)
            }
        };
        assert_eq!(applied, embedded.len());
        let active: Vec<bool> = on!(&mut conn, |c| usage_config::table
            .select(usage_config::is_active)
            .load(c)
            .unwrap());
        assert_eq!(active, [true]);
        let reverted = match &mut conn {
            TestConn::Sqlite(c) => c.revert_all_migrations(DIESEL_SQLITE).unwrap().len(),
            TestConn::Postgres(c) => c.revert_all_migrations(DIESEL_POSTGRES).unwrap().len(),
        };
        assert_eq!(reverted, embedded.len());
    }
}

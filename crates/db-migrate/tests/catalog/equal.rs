//! Changes that are none, and must raise no false alarm.

use db_testkit::{TestDb, both_engines};

use crate::support::assert_drift;

const TABLES: &str = "\
CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INTEGER DEFAULT 0, CONSTRAINT ck CHECK (b >= 0));
CREATE INDEX idx_t_a ON t (a);
CREATE VIEW v AS SELECT id, a FROM t;
INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'y');";

both_engines! {
    fn maintenance_changes_nothing(db: TestDb) {
        let mut conn = db.connect();
        assert_drift(&mut conn, TABLES, "VACUUM", &[]);
        assert_drift(&mut conn, "SELECT 1", "ANALYZE", &[]);
        assert_drift(&mut conn, "SELECT 1", "REINDEX TABLE t".replace("TABLE ", if db.path().is_some() { "" } else { "TABLE " }).as_str(), &[]);
    }

    fn there_and_back_changes_nothing(db: TestDb) {
        let change = "ALTER TABLE t RENAME TO tmp; ALTER TABLE tmp RENAME TO t;
            ALTER TABLE t RENAME COLUMN a TO z; ALTER TABLE t RENAME COLUMN z TO a";
        assert_drift(&mut db.connect(), TABLES, change, &[]);
    }

    fn a_dropped_column_leaves_no_gap(db: TestDb) {
        let change = "ALTER TABLE t ADD COLUMN gone TEXT; ALTER TABLE t DROP COLUMN gone";
        assert_drift(&mut db.connect(), TABLES, change, &[]);
    }
}

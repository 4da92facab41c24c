//! Rows that are there already.

use db_testkit::{TestDb, both_engines};
use db_transfer::import::OnConflict;

use super::Place;

const SCHEMA: &str =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INTEGER CHECK (n < 100));
    INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2)";

both_engines! {
    fn a_row_that_is_there_is_a_fault(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let faults = place.faults(&place.import("t.csv", "id,name\n3,three\n1,x\n"));
        assert!(faults[0].to_string().contains("--on-conflict"), "{faults:?}");
        assert_eq!(place.count("t"), "2");
    }

    fn or_it_stays(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let import = place.import("t.csv", "id,name,n\n1,x,9\n3,two,9\n4,four,4\n4,again,5\n");
        let report = place.run(&import.on_conflict(OnConflict::Skip)).unwrap();
        assert_eq!((report.tables[0].written, report.tables[0].skipped), (1, 3));
        assert_eq!(
            place.rows("SELECT * FROM t ORDER BY id"),
            [["1", "one", "1"], ["2", "two", "2"], ["4", "four", "4"]]
        );
        // Other faults are faults.
        let import = place.import("t.csv", "id,name,n\n1,x,9\n5,five,100\n");
        let faults = place.faults(&import.on_conflict(OnConflict::Skip));
        assert_eq!(faults[0].place.unwrap().line, 3, "{faults:?}");
        assert_eq!(place.count("t"), "3");
    }

    fn or_it_gets_the_values_of_the_file(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let import = place.import("t.csv", "id,n\n1,10\n3,30\n3,31\n");
        let report = place.run(&import.on_conflict(OnConflict::Update)).unwrap();
        assert!(report.tables[0].written >= 2, "{report:?}");
        assert_eq!(
            place.rows("SELECT * FROM t ORDER BY id"),
            [["1", "one", "10"], ["2", "two", "2"], ["3", "NULL", "31"]]
        );
        // Another key that is taken is a fault.
        let import = place.import("t.csv", "id,name\n1,two\n").on_conflict(OnConflict::Update);
        let faults = place.faults(&import);
        assert_eq!(faults[0].place.unwrap().line, 2, "{faults:?}");
        let import = place.import("t.csv", "n\n1\n").on_conflict(OnConflict::Update);
        assert!(place.run(&import).unwrap_err().to_string().contains("id"));
    }

    fn a_part_of_a_row_that_is_there_is_changed(db: TestDb) {
        let place = Place::new(db, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT);
            INSERT INTO t VALUES (1, 'x', 'old'), (2, 'y', 'old')");
        for check in [true, false] {
            let import = place.import("t.csv", "id,b\n1,first\n2,new\n1,last\n").validate(check);
            let report = place.run(&import.on_conflict(OnConflict::Update)).unwrap();
            assert_eq!((report.tables[0].written, report.tables[0].skipped), (3, 0));
            assert_eq!(place.rows("SELECT * FROM t ORDER BY id"), [["1", "x", "last"], ["2", "y", "new"]]);
        }
        // A new row lacks what it needs.
        let import = place.import("t.csv", "id,b\n1,z\n3,new\n").on_conflict(OnConflict::Update);
        let faults = place.faults(&import);
        assert_eq!(faults[0].place.unwrap().line, 3, "{faults:?}");
        assert!(faults[0].problem.contains("no row with this key"), "{faults:?}");
        assert_eq!(place.rows("SELECT b FROM t WHERE id = 1"), [["last"]]);
        // Without a column to change, it is a new row that lacks something.
        let import = place.import("t.csv", "id\n1\n").on_conflict(OnConflict::Update);
        assert!(place.faults(&import)[0].problem.contains("\"a\" is missing"));
    }

    fn repeated_keys_are_counted_alike(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let import = place.import("t.csv", "id,n\n1,10\n3,30\n3,31\n3,32\n").on_conflict(OnConflict::Update);
        let report = place.run(&import).unwrap();
        assert_eq!((report.tables[0].written, report.tables[0].skipped), (4, 0));
        let import = place.import("t.csv", "id\n1\n4\n4\n").on_conflict(OnConflict::Update);
        let report = place.run(&import).unwrap();
        assert_eq!((report.tables[0].written, report.tables[0].skipped), (1, 2));
    }

    fn an_update_without_its_key_is_a_fault_of_the_file(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let import = place.import("t.csv", "n\n1\n").on_conflict(OnConflict::Update);
        let faults = place.faults(&import);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].problem.contains("no values for \"id\""), "{faults:?}");
    }
}

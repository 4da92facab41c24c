//! Constraints by name, the same on both engines.

use db_core::{ConstraintKind, ConstraintMap, Engine};
use db_testkit::{TestDb, both_engines};

use crate::support::{fails, open, run};

const SCHEMA: &str = "
    CREATE TABLE parents (
        id BIGINT NOT NULL,
        name TEXT NOT NULL,
        colour TEXT,
        age BIGINT,
        CONSTRAINT pk_parents PRIMARY KEY (id),
        CONSTRAINT uq_parents_name_colour UNIQUE (name, colour),
        CONSTRAINT ck_parents_age CHECK (age > 0)
    );
    CREATE UNIQUE INDEX uq_parents_lower_name ON parents (lower(name)) WHERE colour = 'blue';
    CREATE TABLE children (
        parent_id BIGINT,
        CONSTRAINT fk_children_parent_id FOREIGN KEY (parent_id) REFERENCES parents (id)
    );
    INSERT INTO parents VALUES (1, 'ada', 'red', 1), (3, 'Ada', 'blue', 1);
    INSERT INTO children VALUES (1)";

const MAP: ConstraintMap = ConstraintMap {
    unique: &[
        ("parents", &["id"], "pk_parents"),
        ("parents", &["name", "colour"], "uq_parents_name_colour"),
        ("parents", &[], "uq_parents_lower_name"),
    ],
    foreign_key: &[("children", &["parent_id"], "fk_children_parent_id")],
    check: &[("parents", &[], "ck_parents_age")],
};

both_engines! {
    fn a_broken_constraint_has_its_name_table_and_columns(db: TestDb) {
        let mut connection = open(&db);
        run(&mut connection, SCHEMA);
        for (sql, kind, name, columns) in [
            (
                "INSERT INTO parents VALUES (1, 'bob', 'red', 1)",
                ConstraintKind::Unique,
                Some("pk_parents"),
                &["id"][..],
            ),
            (
                "INSERT INTO parents VALUES (2, 'ada', 'red', 1)",
                ConstraintKind::Unique,
                Some("uq_parents_name_colour"),
                &["name", "colour"],
            ),
            (
                "INSERT INTO parents VALUES (2, 'ADA', 'blue', 1)",
                ConstraintKind::Unique,
                Some("uq_parents_lower_name"),
                &[],
            ),
            (
                "INSERT INTO parents VALUES (2, 'bob', 'red', 0)",
                ConstraintKind::Check,
                Some("ck_parents_age"),
                &[],
            ),
            (
                "INSERT INTO parents VALUES (2, NULL, 'red', 1)",
                ConstraintKind::NotNull,
                None,
                &["name"],
            ),
        ] {
            let broken = fails(&mut connection, sql).constraint(&MAP).unwrap();
            assert_eq!((broken.kind(), broken.table()), (kind, Some("parents")), "{sql}");
            assert_eq!(broken.columns(), columns, "{sql}");
            // PostgreSQL 18 names NOT NULL too.
            if kind != ConstraintKind::NotNull {
                assert_eq!(broken.name(), name, "{sql}");
            }
        }
    }

    fn a_foreign_key_is_named_by_postgresql_only(db: TestDb) {
        let mut connection = open(&db);
        run(&mut connection, SCHEMA);
        for sql in ["INSERT INTO children VALUES (9)", "DELETE FROM parents"] {
            let broken = fails(&mut connection, sql).constraint(&MAP).unwrap();
            assert_eq!(broken.kind(), ConstraintKind::ForeignKey, "{sql}");
            match db.engine() {
                Engine::Sqlite => {
                    assert_eq!((broken.name(), broken.table(), broken.columns().len()), (None, None, 0));
                }
                Engine::Postgres => {
                    assert!(broken.is("fk_children_parent_id"));
                    assert_eq!(broken.table(), Some("children"));
                    assert_eq!(broken.columns(), ["parent_id"]);
                }
            }
        }
    }
}

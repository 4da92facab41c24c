//! Any schema with any rows goes there and back.

use db_testkit::TestDb;
use db_transfer::copy::Copy;
use db_transfer::{OnNan, Policies};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::support::{contents, copied, endpoint};
use crate::generated::each;
use crate::generated::sqlite::{Table, Values, database, fill};

fn there_and_back(tables: &[Table]) -> Result<(), TestCaseError> {
    let (before, middle, after, copy) = (
        TestDb::sqlite(),
        TestDb::postgres(),
        TestDb::sqlite(),
        TestDb::postgres(),
    );
    fill(&before, tables);
    let there = copied(&before, &middle);
    copied(&middle, &after);
    prop_assert_eq!(contents(&before), contents(&after));
    // From PostgreSQL to PostgreSQL, and the hashes of one kind of journey agree.
    copied(&middle, &copy);
    let again = TestDb::postgres();
    let second = copied(&after, &again);
    prop_assert_eq!(there.rows, second.rows);
    Ok(())
}

/// `BITCRAPS_TEST_COPIES` asks for more.
#[test]
fn every_schema_goes_there_and_back_postgres() {
    each(("COPIES", 12), database(Values::Portable), |tables| {
        there_and_back(&tables)
    });
}

/// Any types, from PostgreSQL to PostgreSQL: the proof compares every row.
#[test]
fn every_type_goes_from_postgres_to_postgres() {
    use crate::generated::postgres::{database, rows, schema};
    each(("COPIES", 12), database(), |tables| {
        let (before, after) = (TestDb::postgres(), TestDb::postgres());
        before.connect().execute(&schema(&tables));
        before.connect().execute(&rows(&tables));
        let report = copied(&before, &after);
        prop_assert!(report.failures.is_empty());
        Ok(())
    });
}

/// Any types, from PostgreSQL into a file, and from there as a database of SQLite there and back.
#[test]
fn every_type_goes_into_a_file_and_back_postgres() {
    use crate::generated::postgres::{database, rows, schema};
    let policies = Policies {
        nan: OnNan::Null,
        ..Policies::default()
    };
    each(("COPIES", 12), database(), |tables| {
        let (before, middle) = (TestDb::postgres(), TestDb::postgres());
        let (there, back) = (TestDb::sqlite(), TestDb::sqlite());
        before.connect().execute(&schema(&tables));
        before.connect().execute(&rows(&tables));
        let copy = Copy::new(endpoint(&before), endpoint(&there)).policies(policies);
        let report = copy.run();
        prop_assert!(report.is_ok(), "{report:?}");
        copied(&there, &middle);
        copied(&middle, &back);
        prop_assert_eq!(contents(&there), contents(&back));
        Ok(())
    });
}

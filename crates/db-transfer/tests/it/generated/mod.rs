//! Databases that nobody has thought of: tables, keys, references and rows by chance.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

/// Tries so many databases, or as many as `BITCRAPS_TEST_<name>` says.
#[track_caller]
pub(crate) fn each<T: Debug>(
    (name, usual): (&str, u64),
    databases: impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases: u32::try_from(db_testkit::size(name, usual)).unwrap(),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..Config::default()
    };
    if let Err(error) = TestRunner::new(config).run(&databases, test) {
        panic!("{error}");
    }
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The beginning of a name that is awkward; a number behind it makes it the only one.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z \"'.,é/\\\\%-]{0,8}",
        Just("select ".to_owned()),
        Just("Ünïcode 🎲 ".to_owned()),
        Just("order".to_owned()),
    ]
}

//! Reading catalogs, and words for what differs.

use db_migrate::catalog::{Catalog, Mode, Scope};
use db_testkit::TestConn;

/// The live catalog.
pub(crate) fn read(conn: &mut TestConn) -> Catalog {
    Catalog::read(&mut conn.conn(), &Scope::default()).unwrap()
}

/// The differences as lines.
pub(crate) fn differences(expected: &Catalog, live: &Catalog, mode: Mode) -> Vec<String> {
    expected
        .compare(live, mode)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The strict differences that `change` makes after `setup`.
///
/// Fingerprints must tell the same story as the comparison.
pub(crate) fn drift(conn: &mut TestConn, setup: &str, change: &str) -> Vec<String> {
    conn.execute(setup);
    let before = read(conn);
    conn.execute(change);
    let after = read(conn);
    let found = differences(&before, &after, Mode::Strict);
    assert_eq!(
        found.is_empty(),
        before.strict_fingerprint() == after.strict_fingerprint(),
        "{found:#?}"
    );
    assert_eq!(
        before.compare(&after, Mode::Loose).is_empty(),
        before.loose_fingerprint() == after.loose_fingerprint(),
    );
    found
}

/// Asserts that a change is told as exactly these differences, each given by how it starts.
#[track_caller]
pub(crate) fn assert_drift(conn: &mut TestConn, setup: &str, change: &str, expected: &[&str]) {
    let found = drift(conn, setup, change);
    let told = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(line, start)| line.starts_with(start));
    assert!(told, "{change}\nexpected {expected:#?}\nfound {found:#?}");
}

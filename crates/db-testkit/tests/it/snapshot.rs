//! The catalog of each engine, as it was when someone last looked at it.
//!
//! `cargo xtask schema snapshot` renews the files.

use db_core::Engine;
use db_testkit::schema_check::{Live, snapshot};
use insta::assert_snapshot;

#[test]
fn sqlite() {
    assert_snapshot!(
        "sqlite",
        snapshot::text(&Live::migrated(Engine::Sqlite).catalog)
    );
}

#[test]
fn postgres() {
    assert_snapshot!(
        "postgres",
        snapshot::text(&Live::migrated(Engine::Postgres).catalog)
    );
}

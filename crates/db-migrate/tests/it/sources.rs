//! Folders, compiled-in text and Rust: what is read, and what is refused before anything runs.

use db_core::Engine;
use db_migrate::{EmbeddedFolder, MigrationSet, RustMigration, Source};

use db_testkit::TestDb;

use crate::support::Folder;

fn load(source: Source) -> Result<Vec<String>, String> {
    MigrationSet::load([source], Engine::Sqlite)
        .map(|set| {
            set.all()
                .iter()
                .map(|m| m.folder_name().to_owned())
                .collect()
        })
        .map_err(|e| e.to_string())
}

fn folder(f: &Folder) -> Result<Vec<String>, String> {
    load(Source::folder(f.path()))
}

#[test]
fn a_folder_is_read_as_diesel_reads_it() {
    let f = Folder::new();
    f.add("2024-01-02-000000_b", "SELECT 1", "");
    f.add("20240101000000_name with spaces", "SELECT 1", "");
    std::fs::create_dir(f.path().join("20240103000000_left_by_git")).unwrap();
    std::fs::create_dir(f.path().join(".hidden")).unwrap();
    f.write("README.md", "notes");
    f.write("loose.sql", "SELECT 1");
    assert_eq!(
        folder(&f).unwrap(),
        ["20240101000000_name with spaces", "2024-01-02-000000_b"]
    );
}

#[test]
fn a_folder_per_engine_is_chosen_by_engine() {
    let f = Folder::new();
    f.add("sqlite/20240101000000_a", "SELECT 1", "");
    assert_eq!(folder(&f).unwrap(), ["20240101000000_a"]);
    let error = MigrationSet::load([Source::folder(f.path())], Engine::Postgres)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("migrations for SQLite only; make postgres/"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_is_named() {
    let missing = load(Source::folder("no/such/folder")).unwrap_err();
    assert!(missing.contains("cannot read no/such/folder"), "{missing}");

    let f = Folder::new();
    f.add("20240101000000_a", "SELECT 1", "");
    f.write("20240101000000_a/metadata.toml", "");
    assert!(folder(&f).unwrap_err().contains("reads as false"));

    let f = Folder::new();
    f.add("20240101000000_a", "", "");
    std::fs::write(
        f.path().join("20240101000000_a/up.sql"),
        b"SELECT 1;\nSELECT '\xff'",
    )
    .unwrap();
    assert!(
        folder(&f)
            .unwrap_err()
            .contains("line 2 is not valid UTF-8")
    );

    let f = Folder::new();
    f.add("20240101000000_a", "SELECT 1", "");
    std::fs::remove_file(f.path().join("20240101000000_a/up.sql")).unwrap();
    assert!(folder(&f).unwrap_err().contains("holds no up.sql"));
}

#[test]
fn one_version_twice_and_ambiguous_versions_are_errors() {
    let f = Folder::new();
    f.add("20240101000000_a", "SELECT 1", "");
    f.add("2024-01-01-000000_b", "SELECT 1", "");
    let error = folder(&f).unwrap_err();
    assert!(
        error.contains("have the same version 20240101000000"),
        "{error}"
    );

    let f = Folder::new();
    f.add("2_a", "SELECT 1", "");
    f.add("10_b", "SELECT 1", "");
    let error = folder(&f).unwrap_err();
    assert!(error.contains("pad short versions with zeros"), "{error}");
}

#[test]
fn compiled_in_text_is_a_folder_too() {
    const SQLITE: EmbeddedFolder = &[(
        "20240101000000_a",
        &[
            ("up.sql", "SELECT 1"),
            ("metadata.toml", "run_in_transaction = false"),
        ],
    )];
    const POSTGRES: EmbeddedFolder = &[("20240101000000_a", &[("down.sql", "SELECT 1")])];
    assert_eq!(
        load(Source::embedded(SQLITE, POSTGRES)).unwrap(),
        ["20240101000000_a"]
    );
    let error = MigrationSet::load([Source::embedded(SQLITE, POSTGRES)], Engine::Postgres)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("20240101000000_a (compiled in): it holds no up.sql"),
        "{error}"
    );
}

#[test]
fn sources_that_claim_one_version_are_refused() {
    let f = Folder::new();
    f.add("20240101000000_a", "SELECT 1", "");
    let rust = Source::rust(vec![RustMigration::new(
        "20240101000000_b",
        "1",
        |_| Ok(()),
    )]);
    let error = MigrationSet::load([Source::folder(f.path()), rust], Engine::Sqlite)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("20240101000000_a and 20240101000000_b"),
        "{error}"
    );
}

/// What a run does not need of an applied migration is not read, and cannot stop it; what it does
/// need is read before anything runs, and `validate` reads everything.
#[test]
fn only_what_is_needed_is_read_and_nothing_wrong_is_overlooked() {
    let f = Folder::dice();
    let db = TestDb::sqlite();
    let mut conn = db.connect();
    f.run_to(&mut conn, "2");
    f.write(
        "20240101000000_users/metadata.toml",
        "run_in_transaction = 1",
    );
    assert_eq!(f.run(&mut conn).steps.len(), 1);
    let error = f.migrator().validate(conn.conn(), None).unwrap_err();
    assert!(error.to_string().contains("true or false"), "{error}");

    f.add(
        "20240104000000_pending",
        "CREATE TABLE late (id BIGINT)",
        "",
    );
    let down = f.path().join("20240104000000_pending/down.sql");
    std::fs::write(&down, b"\xff").unwrap();
    let error = f.migrator().run(conn.conn()).unwrap_err();
    assert!(error.to_string().contains("down.sql: line 1"), "{error}");
    assert_eq!(f.migrator().history(conn.conn()).unwrap().len(), 3);
}

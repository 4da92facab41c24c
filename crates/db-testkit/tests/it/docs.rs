//! `docs/schema.md` and `migrations/README.md` say what the migrations do.

use std::collections::BTreeSet;

use db_core::Engine;
use db_schema::migrations::{POSTGRES, SQLITE};
use db_testkit::schema_check::Live;

use crate::audit::AUDITED;

/// A table, the migration that it stands under, and what is said of it.
type Line = (String, String, String);

fn read(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    std::fs::read_to_string(path).unwrap()
}

/// The rows of `docs/schema.md`.
fn documented() -> Vec<Line> {
    let (mut version, mut lines) = (String::new(), Vec::new());
    for line in read("docs/schema.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut version);
        } else if let Some((name, text)) = line
            .strip_prefix("| `")
            .and_then(|row| row.split_once("` | "))
        {
            lines.push((version.clone(), name.to_owned(), text.to_owned()));
        }
    }
    lines
}

/// `V1 initial_schema` and the tables that it creates, from the scripts.
fn created() -> BTreeSet<(String, String)> {
    let mut tables = BTreeSet::new();
    for all in [SQLITE, POSTGRES] {
        for (number, (folder, files)) in (1..).zip(all) {
            let name = folder.split_once('_').unwrap().1;
            for (_, up) in files.iter().filter(|(file, _)| *file == "up.sql") {
                for line in up
                    .lines()
                    .filter_map(|line| line.strip_prefix("CREATE TABLE "))
                {
                    let table = line.split([' ', '(']).next().unwrap();
                    tables.insert((format!("V{number} {name}"), table.to_owned()));
                }
            }
        }
    }
    tables
}

#[test]
fn every_table_stands_under_the_migration_that_creates_it() {
    let documented: BTreeSet<_> = documented()
        .into_iter()
        .map(|(version, name, _)| (version, name))
        .collect();
    assert_eq!(documented, created());
}

#[test]
fn what_is_said_to_be_audited_is() {
    let said: BTreeSet<_> = documented()
        .into_iter()
        .filter(|(_, _, text)| text.ends_with("; audited |"))
        .map(|(_, name, _)| name)
        .collect();
    assert_eq!(said, AUDITED.into_iter().map(ToOwned::to_owned).collect());
}

#[test]
fn every_migration_stands_in_the_readme() {
    let readme = read("migrations/README.md");
    for (number, (folder, _)) in (1..).zip(SQLITE) {
        let name = folder.split_once('_').unwrap().1;
        assert!(
            readme.contains(&format!("| {number} | {name} |")),
            "V{number} {name}"
        );
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn every_live_table_is_documented_and_no_other() {
        let live = Live::migrated(Engine::Sqlite);
        let live: BTreeSet<_> = live
            .model
            .tables
            .into_iter()
            .map(|table| table.name)
            .collect();
        assert_eq!(
            documented()
                .into_iter()
                .map(|(_, name, _)| name)
                .collect::<BTreeSet<_>>(),
            live
        );
    }
}

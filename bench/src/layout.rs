//! Writes one list of migrations in the folder layout of each tool.

use std::path::Path;

use anyhow::Result;

use super::generate::Migration;
use super::paths::{make, write};

/// How a tool wants its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `<version>_<name>/up.sql` and `down.sql`: Diesel's, and ours.
    Diesel,
    /// `<version>_<name>.up.sql` and `.down.sql`.
    Sqlx,
    /// `V<ordinal>__<name>.sql`; there is no way back. Its versions are 32 bits wide.
    Refinery,
    /// `<version>_<name>.sql` with both directions in it.
    Dbmate,
}

impl Layout {
    /// Writes all migrations into `folder`, which is made if it is missing.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(crate) fn write(self, folder: &Path, migrations: &[Migration]) -> Result<()> {
        make(folder)?;
        for migration in migrations {
            for (file, text) in self.files(migration) {
                write(&folder.join(file), &text)?;
            }
        }
        Ok(())
    }

    fn files(self, migration: &Migration) -> Vec<(String, String)> {
        let Migration {
            ordinal,
            name,
            up,
            down,
        } = migration;
        let stem = format!("{}_{name}", migration.version());
        match self {
            Self::Diesel => vec![
                (format!("{stem}/up.sql"), up.clone()),
                (format!("{stem}/down.sql"), down.clone()),
            ],
            Self::Sqlx => vec![
                (format!("{stem}.up.sql"), up.clone()),
                (format!("{stem}.down.sql"), down.clone()),
            ],
            Self::Refinery => vec![(format!("V{ordinal}__{name}.sql"), up.clone())],
            Self::Dbmate => vec![(
                format!("{stem}.sql"),
                format!("-- migrate:up\n{up}\n-- migrate:down\n{down}"),
            )],
        }
    }
}

#[cfg(test)]
mod tests {
    use db_core::Engine;

    use super::*;
    use crate::generate::migrations;

    fn listing(layout: Layout) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        layout
            .write(folder.path(), &migrations(Engine::Sqlite, 2))
            .unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn names_follow_each_tools_rule() {
        assert_eq!(
            listing(Layout::Diesel),
            [
                "20240101000001_create_gadgets_000",
                "20240101000002_add_note_to_gadgets_000"
            ]
        );
        assert_eq!(
            listing(Layout::Sqlx),
            [
                "20240101000001_create_gadgets_000.down.sql",
                "20240101000001_create_gadgets_000.up.sql",
                "20240101000002_add_note_to_gadgets_000.down.sql",
                "20240101000002_add_note_to_gadgets_000.up.sql",
            ]
        );
        assert_eq!(
            listing(Layout::Refinery),
            [
                "V1__create_gadgets_000.sql",
                "V2__add_note_to_gadgets_000.sql"
            ]
        );
        assert_eq!(
            listing(Layout::Dbmate),
            [
                "20240101000001_create_gadgets_000.sql",
                "20240101000002_add_note_to_gadgets_000.sql"
            ]
        );
    }

    #[test]
    fn every_layout_carries_the_same_statements() {
        let migration = migrations(Engine::Postgres, 5).pop().unwrap();
        for layout in [
            Layout::Diesel,
            Layout::Sqlx,
            Layout::Refinery,
            Layout::Dbmate,
        ] {
            let all: String = layout
                .files(&migration)
                .into_iter()
                .map(|(_, text)| text)
                .collect();
            assert!(all.contains(&migration.up), "{layout:?}");
            assert_eq!(
                all.contains(&migration.down),
                layout != Layout::Refinery,
                "{layout:?}"
            );
        }
    }
}

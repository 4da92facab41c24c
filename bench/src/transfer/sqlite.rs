//! CSV into and out of a SQLite file, beside SQLite's own shell.

use anyhow::Result;

use super::duel::{Duel, Turn, Who};
use super::fill::{IN_SQLITE, Rows, same_in_sqlite};
use super::{Bench, Place, csv, settled, text};

const SHELL: &str = "sqlite3";

impl Bench<'_> {
    pub(super) fn sqlite(&self, rows: &Rows) -> Result<Vec<Duel>> {
        Ok(vec![self.import_sqlite(rows)?, self.export_sqlite(rows)?])
    }

    fn import_sqlite(&self, rows: &Rows) -> Result<Duel> {
        let about = "Six columns into a new file with the table, one transaction each, the settings \
                     that each has by default: a rollback journal, `synchronous = FULL`; ours with a \
                     cache of 64 MiB, the shell with one of 2 MiB. Ours checks types and constraints.";
        let duel = Duel::new(
            ("sqlite.import", "Import of CSV, SQLite", about),
            "`bitcraps-db import`",
            Some((SHELL, "`sqlite3`, `.import --csv`")),
        );
        let file = self.scratch.join("into").join("new.db");
        let turn = |who| -> Result<Turn> {
            self.fresh("into")?;
            self.peer(SHELL, &[text(&file)?, IN_SQLITE]).answer()?;
            let csv = text(&rows.csv)?;
            let command = match who {
                Who::Ours => self.ours(
                    &Place::Sqlite(file.clone()),
                    &["--quiet", "import", csv, "--table", "bets"],
                ),
                Who::Peer => {
                    let import = format!(".import --csv --skip 1 '{csv}' bets");
                    self.peer(SHELL, &[text(&file)?, &import])
                }
            };
            Ok(settled(&command)?.into())
        };
        duel.run(self.size, turn, |_| same_in_sqlite(self, &file, rows))
    }

    fn export_sqlite(&self, rows: &Rows) -> Result<Duel> {
        let about =
            "The same rows into a file; ours waits until it is on the disk, the shell does not.";
        let duel = Duel::new(
            ("sqlite.export", "Export of CSV, SQLite", about),
            "`bitcraps-db export --format csv`",
            Some((SHELL, "`sqlite3`, `.mode csv`")),
        );
        let out = self.scratch.join("out").join("bets.csv");
        let turn = |who| -> Result<Turn> {
            self.fresh("out")?;
            let command = match who {
                Who::Ours => self.ours(
                    &Place::Sqlite(rows.database.clone()),
                    &[
                        "--quiet",
                        "export",
                        "--table",
                        "bets",
                        "--output",
                        text(&out)?,
                    ],
                ),
                Who::Peer => {
                    let source = text(&rows.database)?;
                    let args = [source, ".mode csv", ".headers on", "SELECT * FROM bets"];
                    self.redirected(&self.peer(SHELL, &args), &out)
                }
            };
            Ok(settled(&command)?.into())
        };
        duel.run(self.size, turn, |_| csv::contents(&out))
    }
}

//! CSV into and out of a PostgreSQL database, beside `psql`.

use anyhow::Result;

use super::super::server::Server;
use super::duel::{Duel, Turn, Who};
use super::fill::{Rows, contents, empty_in_postgres, fill_postgres};
use super::{Bench, Place, csv, place_of, settled, text};

const PSQL: &str = "psql";

impl Bench<'_> {
    pub(super) fn postgres(&self, server: &Server, rows: &Rows) -> Result<Vec<Duel>> {
        let place = server.create("bench_transfer")?;
        let import = self.import_postgres(&place, rows)?;
        fill_postgres(self, &place, rows)?;
        let export = self.export_postgres(&place)?;
        server.drop("bench_transfer")?;
        Ok(vec![import, export])
    }

    fn import_postgres(&self, place: &Place, rows: &Rows) -> Result<Duel> {
        let about = "Six columns into a new table with its key. Ours checks types and constraints, and \
                     names line and column of what is wrong.";
        let duel = Duel::new(
            ("postgres.import", "Import of CSV, PostgreSQL", about),
            "`bitcraps-db import`",
            Some((PSQL, "`psql`, `\\copy … from`")),
        );
        let turn = |who| -> Result<Turn> {
            empty_in_postgres(place)?;
            let csv = text(&rows.csv)?;
            let command = match who {
                Who::Ours => self.ours(place, &["--quiet", "import", csv, "--table", "bets"]),
                Who::Peer => self.psql(place, &format!("\\copy bets from '{csv}' csv header"))?,
            };
            Ok(settled(&command)?.into())
        };
        duel.run(self.size, turn, |_| contents(place))
    }

    fn export_postgres(&self, place: &Place) -> Result<Duel> {
        let about =
            "The same rows into a file; ours waits until it is on the disk, `psql` does not.";
        let duel = Duel::new(
            ("postgres.export", "Export of CSV, PostgreSQL", about),
            "`bitcraps-db export --format csv`",
            Some((PSQL, "`psql`, `\\copy … to`")),
        );
        let out = self.scratch.join("out").join("bets.csv");
        let turn = |who| -> Result<Turn> {
            self.fresh("out")?;
            let file = text(&out)?;
            let command = match who {
                Who::Ours => self.ours(
                    place,
                    &["--quiet", "export", "--table", "bets", "--output", file],
                ),
                Who::Peer => self.psql(place, &format!("\\copy bets to '{file}' csv header"))?,
            };
            Ok(settled(&command)?.into())
        };
        duel.run(self.size, turn, |_| csv::contents(&out))
    }

    fn psql(&self, place: &Place, command: &str) -> Result<super::Invocation> {
        Ok(self.peer(PSQL, &["-Xq", "-c", command, place_of(place)?]))
    }
}

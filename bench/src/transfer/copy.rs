//! A database that is not ours from one engine to the other, beside pgloader.

use std::fs;

use anyhow::Result;
use serde::Deserialize;

use super::super::server::{self, Server};
use super::duel::{Duel, Turn, Who};
use super::fill::{Rows, contents, fill_postgres, same_in_sqlite};
use super::{Bench, Place, place_of, settled, text};

/// Of the report of a copy.
#[derive(Deserialize)]
struct Report {
    proof_us: u32,
}

impl Bench<'_> {
    pub(super) fn copy(&self, server: &Server, rows: &Rows) -> Result<Vec<Duel>> {
        let duels = vec![
            self.to_postgres(server, rows)?,
            self.to_sqlite(server, rows)?,
        ];
        server.drop("bench_transfer")?;
        Ok(duels)
    }

    fn to_postgres(&self, server: &Server, rows: &Rows) -> Result<Duel> {
        let about = "A SQLite file into an empty database: table, rows, key and statistics. Ours looks at \
                     every value beforehand, which is in its time; the proof afterwards is not.";
        let duel = Duel::new(
            ("copy.postgres", "Copy from SQLite to PostgreSQL", about),
            "`bitcraps-db copy`",
            Some(("pgloader", "`pgloader`")),
        );
        let source = format!("sqlite://{}", text(&rows.database)?);
        let target = std::cell::RefCell::new(None);
        let turn = |who| -> Result<Turn> {
            let place = server.create("bench_transfer")?;
            server::execute(&place, "CHECKPOINT")?;
            let url = place_of(&place)?.to_owned();
            target.replace(Some(place));
            match who {
                Who::Ours => self.copied(&source, &url),
                Who::Peer => {
                    let root = self.fresh("pgloader")?;
                    let url = url.replacen("postgres://", "pgsql://", 1);
                    let args = ["--root-dir", text(&root)?, &source, &url];
                    Ok(settled(&self.peer("pgloader", &args))?.into())
                }
            }
        };
        duel.run(self.size, turn, |_| match &*target.borrow() {
            Some(place) => contents(place),
            None => Ok(String::new()),
        })
    }

    fn to_sqlite(&self, server: &Server, rows: &Rows) -> Result<Duel> {
        let about = "The same rows into a new SQLite file. There is no peer.";
        let duel = Duel::new(
            ("copy.sqlite", "Copy from PostgreSQL to SQLite", about),
            "`bitcraps-db copy`",
            None,
        );
        let place = server.create("bench_transfer")?;
        fill_postgres(self, &place, rows)?;
        let source = place_of(&place)?;
        let file = self.scratch.join("target").join("new.db");
        let turn = |_| -> Result<Turn> {
            self.fresh("target")?;
            self.copied(source, &format!("sqlite://{}", text(&file)?))
        };
        duel.run(self.size, turn, |_| same_in_sqlite(self, &file, rows))
    }

    /// A copy by ours.
    fn copied(&self, from: &str, to: &str) -> Result<Turn> {
        let said = self.fresh("said")?.join("report.json");
        let place = Place::Postgres(to.to_owned());
        let command = self.ours(
            &place,
            &["--quiet", "--json", "copy", "--from", from, "--to", to],
        );
        let usage = settled(&self.redirected(&command, &said))?;
        let report: Report = serde_json::from_slice(&fs::read(&said)?)?;
        Ok(Turn {
            usage,
            proof: f64::from(report.proof_us) / 1_000.0,
        })
    }
}

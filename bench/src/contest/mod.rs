//! Contenders side by side: whole processes that get one job each and take turns.
//!
//! They take turns, A B C A B C, because the rate of durable commits on one disk drifts by a
//! quarter within minutes. `bench-load` holds the load, `bench/peers` the peers; our own side is
//! this program, started anew. The areas say what is measured on which database.

pub(crate) mod case;
pub(crate) mod contender;
pub(crate) mod database;
pub(crate) mod programs;
pub(crate) mod table;
mod work;

use std::path::Path;

use anyhow::Result;
use bench_load::{Durability, Rows, Work};

use self::case::{Case, Results, Times};
use self::contender::{Contender, Program, Programs};
use self::database::{Database, Shape};
use super::machine;
use super::metrics::Metrics;
use super::paths::Paths;
use super::report::Section;
use super::server::Server;
use super::{Args, Outcome};

pub(crate) use self::work::run as work;

/// What all measurements of an area share.
pub(crate) struct Contest<'a> {
    programs: Programs,
    /// Where files may be left.
    pub(crate) scratch: &'a Path,
    /// PostgreSQL, if there is one.
    pub(crate) server: Option<Server>,
    metrics: Metrics,
    /// The tables that are done.
    pub(crate) sections: Vec<Section>,
    libraries: Vec<(String, String)>,
}

impl<'a> Contest<'a> {
    /// Builds these peers, and looks how busy the machine is.
    ///
    /// # Errors
    /// If the system does not say which program this is.
    pub(crate) fn new(
        paths: &Paths,
        args: &Args,
        peers: &[Program],
        scratch: &'a Path,
    ) -> Result<Self> {
        let programs = programs::build(paths, peers)?;
        let busy = machine::busy();
        Ok(Self {
            programs,
            scratch,
            server: args.server(),
            metrics: Metrics::default(),
            sections: Vec::new(),
            libraries: vec![("Processors in use by others, at the start".to_owned(), busy)],
        })
    }

    /// Fills a SQLite file; see [`Database::sqlite`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn file(
        &self,
        name: &str,
        shape: &'static Shape,
        rows: Rows,
        copied: bool,
    ) -> Result<Database> {
        eprintln!("filling {name}: {} users, {} bets", rows.users, rows.bets);
        Database::sqlite((&self.scratch.join(name), name), shape, rows, copied)
    }

    /// Fills a database on the server, if there is one; see [`Database::postgres`].
    ///
    /// # Errors
    /// If the server refuses.
    pub(crate) fn on_server(
        &self,
        name: &str,
        shape: &'static Shape,
        rows: Rows,
        copied: bool,
    ) -> Result<Option<Database>> {
        let Some(server) = &self.server else {
            eprintln!("PostgreSQL is left out: no server was given");
            return Ok(None);
        };
        eprintln!(
            "filling {name} on PostgreSQL: {} users, {} bets",
            rows.users, rows.bets
        );
        Database::postgres(server, name, shape, rows, copied).map(Some)
    }

    /// Runs cases side by side and remembers what the contenders were built from.
    pub(crate) fn run(&mut self, cases: &[Case<'_>], times: Times) -> Vec<Results> {
        let metrics = &mut self.metrics;
        let all = case::run(cases, &self.programs, times, self.scratch, metrics);
        for (contender, measured) in all.iter().flatten() {
            let line = (contender.label.to_owned(), measured.library.clone());
            if !self.libraries.contains(&line) {
                self.libraries.push(line);
            }
        }
        all
    }

    /// Where figures go that no contest of processes gives.
    pub(crate) fn metrics(&mut self) -> &mut Metrics {
        &mut self.metrics
    }

    /// What was measured.
    ///
    /// # Errors
    /// If the server does not say which one it is.
    pub(crate) fn outcome(self) -> Result<Outcome> {
        let mut tools = self.libraries;
        if let Some(server) = &self.server {
            tools.push(("Server".to_owned(), server.describe()?));
        }
        Ok(Outcome {
            metrics: self.metrics,
            sections: self.sections,
            tools,
            partly: None,
        })
    }
}

/// Rounds, and how long each turn is.
pub(crate) const fn times(rounds: usize, warm_ms: u64, run_ms: u64) -> Times {
    Times {
        rounds,
        warm_ms,
        run_ms,
    }
}

/// One process on SQLite; what differs is set by those who ask for it.
pub(crate) fn on_sqlite<'a>(
    metric: String,
    work: Work,
    clients: usize,
    database: &'a Database,
    contenders: &'a [Contender],
) -> Case<'a> {
    Case {
        metric,
        work,
        clients,
        processes: 1,
        connections: 10,
        durability: Durability::Normal,
        database,
        contenders,
    }
}

/// One process on PostgreSQL. Pools have ten connections, which is our default, however many the clients:
/// more than the server has processors for only wait for each other there. Who holds connections has
/// one for each client.
pub(crate) fn on_postgres<'a>(
    metric: String,
    work: Work,
    clients: usize,
    database: &'a Database,
    contenders: &'a [Contender],
) -> Case<'a> {
    Case {
        durability: Durability::Full,
        ..on_sqlite(metric, work, clients, database, contenders)
    }
}

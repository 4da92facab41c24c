//! The `folders` area: migration folders of public projects, run by ours and by diesel_cli.
//!
//! The folders come out of packages on crates.io. `cargo info` downloads, verifies and unpacks
//! one package without its dependencies; nothing of it is compiled, and nothing of it is kept in
//! this repository. Most of these projects never ran their way back: their `down.sql` fail, or
//! are empty, and what each tool makes of that is shown too.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use db_core::Engine;

use super::metrics::Metrics;
use super::paths::{Paths, cargo, make};
use super::process::Invocation;
use super::report::Section;
use super::server::{Server, lines};
use super::tools::{Place, Programs, Tool, diesel, ours};
use super::{Args, Outcome, peers, schema};

/// How much of a message is shown.
const SHOWN_CHARACTERS: usize = 100;

/// A folder in a published package.
struct Folder {
    package: &'static str,
    version: &'static str,
    licence: &'static str,
    engine: Engine,
    path: &'static str,
    migrations: usize,
}

/// Shorter to read in a table of constants.
const fn folder(
    (package, version, licence): (&'static str, &'static str, &'static str),
    engine: Engine,
    path: &'static str,
    migrations: usize,
) -> Folder {
    Folder {
        package,
        version,
        licence,
        engine,
        path,
        migrations,
    }
}

const SPLINTER: (&str, &str, &str) = ("splinter", "0.6.14", "Apache-2.0");
const GRID: (&str, &str, &str) = ("grid-sdk", "0.3.5", "Apache-2.0");
const TRANSACT: (&str, &str, &str) = ("transact", "0.4.7", "Apache-2.0");
const SCABBARD: (&str, &str, &str) = ("scabbard", "0.6.14", "Apache-2.0");
const MINOTARI: (&str, &str, &str) = ("minotari_wallet", "6.3.0-pre.2", "BSD-3-Clause");
const WALLET: (&str, &str, &str) = ("tari_wallet", "0.8.1", "BSD-3-Clause");
const COMMS: (&str, &str, &str) = ("tari_comms_dht", "6.3.0-pre.2", "BSD-3-Clause");
const CONTACTS: (&str, &str, &str) = ("tari_contacts", "1.0.0-rc.5", "BSD-3-Clause");

const FOLDERS: [Folder; 12] = [
    folder(
        SPLINTER,
        Engine::Sqlite,
        "src/migrations/diesel/sqlite/migrations",
        31,
    ),
    folder(MINOTARI, Engine::Sqlite, "migrations", 30),
    folder(WALLET, Engine::Sqlite, "migrations", 16),
    folder(COMMS, Engine::Sqlite, "migrations", 8),
    folder(
        GRID,
        Engine::Sqlite,
        "src/migrations/diesel/sqlite/migrations",
        7,
    ),
    folder(CONTACTS, Engine::Sqlite, "migrations", 5),
    folder(
        TRANSACT,
        Engine::Sqlite,
        "src/state/merkle/sql/migration/sqlite/migrations",
        3,
    ),
    folder(
        SCABBARD,
        Engine::Sqlite,
        "src/migrations/diesel/sqlite/migrations",
        2,
    ),
    folder(
        SPLINTER,
        Engine::Postgres,
        "src/migrations/diesel/postgres/migrations",
        33,
    ),
    folder(
        GRID,
        Engine::Postgres,
        "src/migrations/diesel/postgres/migrations",
        9,
    ),
    folder(
        TRANSACT,
        Engine::Postgres,
        "src/state/merkle/sql/migration/postgres/migrations",
        2,
    ),
    folder(
        SCABBARD,
        Engine::Postgres,
        "src/migrations/diesel/postgres/migrations",
        2,
    ),
];

/// What one folder showed.
struct Findings {
    /// Nothing, or the first difference between the two schemas.
    difference: Option<String>,
    /// Nothing, or why one tool could not go on where the other stopped.
    handover: Option<String>,
    ours_back: String,
    diesel_back: String,
}

/// Compares all folders.
///
/// # Errors
/// If a package cannot be had, or one of the two programs is missing.
pub(crate) fn measure(paths: &Paths, args: &Args) -> Result<Outcome> {
    let scratch = paths.scratch()?;
    let programs = peers::programs(paths, args.program.as_deref(), &[Tool::Diesel]);
    ensure!(programs.len() == 2, "two programs are needed to compare");
    let server = args.postgres.as_deref().map(Server::new);
    let comparison = Comparison {
        programs: &programs,
        scratch: scratch.path(),
        server,
    };
    let mut different = 0.0;
    let mut stuck = 0.0;
    let mut rows = Vec::new();
    for folder in &FOLDERS {
        if folder.engine == Engine::Postgres && comparison.server.is_none() {
            eprintln!(
                "{}, PostgreSQL is left out: no server was given",
                folder.package
            );
            continue;
        }
        eprintln!("{} {}, {}", folder.package, folder.version, folder.engine);
        let findings = comparison.compare(folder)?;
        different += f64::from(u8::from(findings.difference.is_some()));
        stuck += f64::from(u8::from(findings.handover.is_some()));
        rows.push(row(folder, findings));
    }

    let mut metrics = Metrics::default();
    metrics.set("folders.different", Tool::Ours.key(), different);
    metrics.set("folders.stuck", Tool::Ours.key(), stuck);
    let head = vec![
        "package",
        "licence",
        "engine",
        "migrations",
        "schema",
        "one goes on after the other",
        "left after our rollback to 0",
        "left after diesel_cli's",
    ];
    let text = "Each folder is run to its head by our program and by diesel_cli, and the two \
                catalogs are compared. Then each tool continues on the other's database, and \
                each rolls its own back as far as the project's `down.sql` allow."
        .to_owned();
    let title = "Migration folders of public projects".to_owned();
    Ok(Outcome {
        metrics,
        sections: vec![Section {
            title,
            text,
            head,
            rows,
        }],
        tools: peers::versions(&programs),
    })
}

fn row(folder: &Folder, findings: Findings) -> Vec<String> {
    vec![
        format!("{} {}", folder.package, folder.version),
        folder.licence.to_owned(),
        folder.engine.to_string(),
        folder.migrations.to_string(),
        findings.difference.unwrap_or_else(|| "same".to_owned()),
        findings.handover.unwrap_or_else(|| "yes".to_owned()),
        findings.ours_back,
        findings.diesel_back,
    ]
}

struct Comparison<'a> {
    programs: &'a Programs,
    scratch: &'a Path,
    server: Option<Server>,
}

impl Comparison<'_> {
    fn compare(&self, folder: &Folder) -> Result<Findings> {
        let source = fetch(folder, self.scratch)?;
        let mine = self.place(folder, Tool::Ours)?;
        let theirs = self.place(folder, Tool::Diesel)?;
        self.run(Tool::Diesel, &theirs, &source, Step::Migrate)?;
        let difference = self
            .run(Tool::Ours, &mine, &source, Step::Migrate)
            .and_then(|_| {
                Ok(schema::difference(
                    &schema::read(&mine)?,
                    &schema::read(&theirs)?,
                ))
            })
            .unwrap_or_else(|error| Some(format!("does not run: {error:#}")));
        let handover = self
            .run(Tool::Diesel, &mine, &source, Step::Migrate)
            .and_then(|_| self.run(Tool::Ours, &theirs, &source, Step::Migrate))
            .and_then(|_| {
                for place in [&mine, &theirs] {
                    let count = applied(place)?;
                    ensure!(count == folder.migrations, "{count} are applied");
                }
                Ok(())
            })
            .err()
            .map(|error| format!("{error:#}"));

        // The databases have changed hands, which a way back must survive.
        let ours_back = self.back(Tool::Ours, &mine, &source);
        let diesel_back = self.back(Tool::Diesel, &theirs, &source);
        if let Some(server) = &self.server {
            server.drop(&database(folder, Tool::Ours))?;
            server.drop(&database(folder, Tool::Diesel))?;
        }
        Ok(Findings {
            difference,
            handover,
            ours_back,
            diesel_back,
        })
    }

    fn place(&self, folder: &Folder, tool: Tool) -> Result<Place> {
        let name = database(folder, tool);
        match (folder.engine, &self.server) {
            (Engine::Sqlite, _) => {
                let home = self.scratch.join(name);
                make(&home)?;
                Ok(Place::Sqlite(home.join("folder.db")))
            }
            (Engine::Postgres, Some(server)) => server.create(&name),
            (Engine::Postgres, None) => bail!("no PostgreSQL server"),
        }
    }

    /// How many migrations are left, and what the tool said if it did not get to 0.
    fn back(&self, tool: Tool, place: &Place, source: &Path) -> String {
        let result = self.run(tool, place, source, Step::Back);
        let left = applied(place).map_or_else(|_| "?".to_owned(), |left| left.to_string());
        match result {
            Ok(_) => left,
            Err(error) => format!("{left}: {error:#}"),
        }
    }

    /// Runs one step; a failure is an error with the last line that the tool wrote.
    fn run(&self, tool: Tool, place: &Place, source: &Path, step: Step) -> Result<String> {
        let program = self
            .programs
            .get(&tool)
            .with_context(|| format!("{} is not installed", tool.label()))?;
        let invocation = step.invocation(tool, program, place, (source, self.scratch));
        let (success, out, error) = invocation.output()?;
        if success {
            return Ok(out);
        }
        bail!("{}", brief(&error))
    }
}

/// What a tool is asked to do with a folder.
#[derive(Clone, Copy)]
enum Step {
    Migrate,
    Back,
}

impl Step {
    fn invocation(
        self,
        tool: Tool,
        program: &Path,
        place: &Place,
        (source, dir): (&Path, &Path),
    ) -> Invocation {
        match (self, tool) {
            (Self::Migrate, _) => tool.migrate(program, place, source, dir),
            (Self::Back, Tool::Ours) => {
                let folder = source.as_os_str().to_owned();
                ours(
                    program,
                    place,
                    Some(&folder),
                    &["rollback", "0", "--force"],
                    dir,
                )
            }
            (Self::Back, _) => diesel(program, place, source, &["revert", "--all"], dir),
        }
    }
}

/// The line that says what went wrong, cut so that it fits into a table.
fn brief(written: &str) -> String {
    let mut lines = written.lines().filter(|line| !line.trim().is_empty());
    let said = match lines.clone().find(|line| line.starts_with("error: ")) {
        Some(error) => error,
        // diesel_cli logs first and says what happened at the end.
        None => lines.next_back().unwrap_or("failed without a word"),
    };
    let said = said
        .trim_start_matches("Failed to run migrations: ")
        .trim_start_matches("error: ");
    match said.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &said[..end]),
        None => said.to_owned(),
    }
}

fn database(folder: &Folder, tool: Tool) -> String {
    format!("folder_{}_{}", folder.package.replace('-', "_"), tool.key())
}

/// Downloads and unpacks the package, if that has not been done yet.
fn fetch(folder: &Folder, dir: &Path) -> Result<PathBuf> {
    let name = format!("{}-{}", folder.package, folder.version);
    let spec = format!("{}@{}", folder.package, folder.version);
    let status = cargo()
        .args(["info", "--quiet", &spec])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo info {spec} ended with {status}");

    let sources = cargo_home()?.join("registry").join("src");
    let registries = std::fs::read_dir(&sources)
        .with_context(|| format!("cannot read {}", sources.display()))?;
    let path = registries
        .flatten()
        .map(|registry| registry.path().join(&name).join(folder.path))
        .find(|path| path.is_dir())
        .with_context(|| format!("no {} in {name} below {}", folder.path, sources.display()))?;
    let found = std::fs::read_dir(&path)?
        .flatten()
        .filter(|entry| entry.path().join("up.sql").is_file())
        .count();
    ensure!(
        found == folder.migrations,
        "{name}: {found} migrations, not {}",
        folder.migrations
    );
    Ok(path)
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::home_dir().context("no home folder: set CARGO_HOME")?;
    Ok(home.join(".cargo"))
}

fn applied(place: &Place) -> Result<usize> {
    let sql = "SELECT CAST(count(*) AS TEXT) AS line FROM __diesel_schema_migrations";
    Ok(lines(place, sql)?.concat().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_may_be_used_here() {
        for folder in &FOLDERS {
            assert!(["MIT", "Apache-2.0", "BSD-3-Clause"].contains(&folder.licence));
        }
    }

    #[test]
    fn the_telling_line_is_shown_and_cut_between_characters() {
        assert_eq!(
            brief("log line\nFailed to run migrations: short\n\n"),
            "short"
        );
        assert_eq!(brief("error: no\n\nhint: do this"), "no");
        assert_eq!(brief(""), "failed without a word");
        let long = brief(&"é".repeat(200));
        assert_eq!(long, format!("{}…", "é".repeat(SHOWN_CHARACTERS)));
    }

    #[test]
    fn there_are_enough_migrations_to_mean_something() {
        let count = |engine| -> usize {
            FOLDERS
                .iter()
                .filter(|one| one.engine == engine)
                .map(|one| one.migrations)
                .sum()
        };
        assert!(count(Engine::Sqlite) >= 100);
        assert!(count(Engine::Postgres) >= 40);
    }
}

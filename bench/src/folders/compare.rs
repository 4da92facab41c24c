//! One folder: both tools run it, and then change places.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use db_core::Engine;

use super::packages::{Folder, fetch};
use crate::paths::make;
use crate::process::Invocation;
use crate::schema;
use crate::server::{Server, lines};
use crate::tools::{Place, Programs, Tool, diesel, ours};

/// How much of a message is shown.
const SHOWN_CHARACTERS: usize = 100;

/// What one folder showed.
pub(super) struct Findings {
    /// Nothing, or the first difference between the two schemas.
    pub(super) difference: Option<String>,
    /// Nothing, or why one tool could not go on where the other stopped.
    pub(super) handover: Option<String>,
    pub(super) ours_back: String,
    pub(super) diesel_back: String,
}

/// What every comparison needs.
pub(super) struct Comparison<'a> {
    pub(super) programs: &'a Programs,
    pub(super) scratch: &'a Path,
    pub(super) server: Option<Server>,
}

impl Comparison<'_> {
    /// Compares one folder.
    ///
    /// # Errors
    /// If the package cannot be had, or diesel_cli does not run it.
    pub(super) fn compare(&self, folder: &Folder) -> Result<Findings> {
        let source = fetch(folder, self.scratch)?;
        let mine = self.place(folder, Tool::Ours)?;
        let theirs = self.place(folder, Tool::Diesel)?;
        self.run(Tool::Diesel, &theirs, &source, Step::Migrate)?;
        let (difference, handover) = match self.run(Tool::Ours, &mine, &source, Step::Migrate) {
            Ok(()) => (
                schema::difference(&schema::read(&mine)?, &schema::read(&theirs)?),
                self.change_places(folder, (&mine, &theirs), &source)
                    .err()
                    .map(|error| format!("{error:#}")),
            ),
            Err(error) => (
                Some(format!("does not run: {error:#}")),
                Some("not tried".to_owned()),
            ),
        };

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

    /// Each tool finds nothing to do on the database that the other migrated.
    fn change_places(
        &self,
        folder: &Folder,
        (mine, theirs): (&Place, &Place),
        source: &Path,
    ) -> Result<()> {
        self.run(Tool::Diesel, mine, source, Step::Migrate)?;
        self.run(Tool::Ours, theirs, source, Step::Migrate)?;
        for place in [mine, theirs] {
            let count = applied(place)?;
            ensure!(count == folder.migrations, "{count} are applied");
        }
        Ok(())
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
            Ok(()) => left,
            Err(error) => format!("{left}: {error:#}"),
        }
    }

    /// Runs one step; a failure is an error with the last line that the tool wrote.
    fn run(&self, tool: Tool, place: &Place, source: &Path, step: Step) -> Result<()> {
        let program = self
            .programs
            .get(&tool)
            .with_context(|| format!("{} is not installed", tool.label()))?;
        let invocation = step.invocation(tool, program, place, (source, self.scratch));
        let (success, error) = invocation.outcome()?;
        if success {
            return Ok(());
        }
        // The path of the folder would fill the table.
        let error = error.replace(&format!("{}/", source.display()), "");
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

fn applied(place: &Place) -> Result<usize> {
    let sql = "SELECT CAST(count(*) AS TEXT) AS line FROM __diesel_schema_migrations";
    Ok(lines(place, sql)?.concat().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}

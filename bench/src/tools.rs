//! The tools side by side: how each is told to migrate a database.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::process::Invocation;

/// One of the tools that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// This repository's program.
    Ours,
    /// diesel_cli.
    Diesel,
    /// sqlx-cli.
    Sqlx,
    /// refinery_cli.
    Refinery,
    /// dbmate.
    Dbmate,
}

/// Where the tools' programs are; a tool that could not be installed is not in it.
pub(crate) type Programs = BTreeMap<Tool, PathBuf>;

/// A database to migrate.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL URL, which must say `sslmode=disable`: dbmate insists on it.
    Postgres(String),
}

impl Tool {
    /// All of them, ours first.
    pub(crate) const ALL: [Self; 5] = [
        Self::Ours,
        Self::Diesel,
        Self::Sqlx,
        Self::Refinery,
        Self::Dbmate,
    ];

    /// The name that metrics and bars use.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Diesel => "diesel",
            Self::Sqlx => "sqlx",
            Self::Refinery => "refinery",
            Self::Dbmate => "dbmate",
        }
    }

    /// The name that people use.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ours => "bitcraps-db",
            Self::Diesel => "diesel_cli",
            Self::Sqlx => "sqlx-cli",
            Self::Refinery => "refinery_cli",
            Self::Dbmate => "dbmate",
        }
    }

    /// How it wants its migrations.
    pub(crate) const fn layout(self) -> Layout {
        match self {
            Self::Ours | Self::Diesel => Layout::Diesel,
            Self::Sqlx => Layout::Sqlx,
            Self::Refinery => Layout::Refinery,
            Self::Dbmate => Layout::Dbmate,
        }
    }

    /// Whether the bench has to make an empty SQLite file first.
    pub(crate) const fn needs_file(self) -> bool {
        matches!(self, Self::Refinery)
    }

    /// The command that applies everything that is pending in `folder`.
    pub(crate) fn migrate(
        self,
        program: &Path,
        place: &Place,
        folder: &Path,
        dir: &Path,
    ) -> Invocation {
        let url = self.url(place);
        let path = folder.as_os_str().to_owned();
        let mut env = Vec::new();
        let args: Vec<OsString> = match self {
            Self::Ours => return ours(program, place, Some(&path), &["migrate"], dir),
            Self::Diesel => return diesel(program, place, folder, &["run"], dir),
            Self::Sqlx => {
                let run = ["migrate", "run", "--database-url", &url, "--source"];
                run.into_iter().map(OsString::from).chain([path]).collect()
            }
            Self::Refinery => {
                env.push(("DATABASE_URL", url));
                let run = ["migrate", "-e", "DATABASE_URL", "-p"];
                run.into_iter().map(OsString::from).chain([path]).collect()
            }
            Self::Dbmate => {
                // Without the dump of the schema, which the others do not write either.
                let run = ["--url", &url, "--no-dump-schema", "--migrations-dir"];
                run.into_iter()
                    .map(OsString::from)
                    .chain([path, "migrate".into()])
                    .collect()
            }
        };
        Invocation {
            program: program.to_owned(),
            args,
            env,
            dir: dir.to_owned(),
        }
    }

    fn url(self, place: &Place) -> String {
        match place {
            Place::Postgres(url) => url.clone(),
            Place::Sqlite(file) => {
                let file = file.display();
                match self {
                    Self::Diesel => file.to_string(),
                    Self::Dbmate => format!("sqlite:{file}"),
                    Self::Sqlx => format!("sqlite://{file}?mode=rwc"),
                    Self::Ours | Self::Refinery => format!("sqlite://{file}"),
                }
            }
        }
    }
}

/// Any command of our own program; without a folder it uses the migrations compiled in.
pub(crate) fn ours(
    program: &Path,
    place: &Place,
    folder: Option<&OsString>,
    command: &[&str],
    dir: &Path,
) -> Invocation {
    let mut args: Vec<OsString> = vec!["--database-url".into(), Tool::Ours.url(place).into()];
    if let Some(folder) = folder {
        args.extend(["--migrations".into(), folder.clone()]);
    }
    args.extend(command.iter().map(OsString::from));
    Invocation {
        program: program.to_owned(),
        args,
        env: Vec::new(),
        dir: dir.to_owned(),
    }
}

/// A `diesel migration` command on a folder.
pub(crate) fn diesel(
    program: &Path,
    place: &Place,
    folder: &Path,
    command: &[&str],
    dir: &Path,
) -> Invocation {
    let url = Tool::Diesel.url(place);
    let args = ["--database-url", &url, "migration"]
        .into_iter()
        .chain(command.iter().copied());
    let end = ["--migration-dir".into(), folder.as_os_str().to_owned()];
    Invocation {
        program: program.to_owned(),
        args: args.map(OsString::from).chain(end).collect(),
        env: Vec::new(),
        dir: dir.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tool: Tool, place: &Place) -> String {
        let invocation = tool.migrate(Path::new("tool"), place, Path::new("/m"), Path::new("/"));
        let args: Vec<_> = invocation
            .args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .collect();
        args.join(" ")
    }

    #[test]
    fn each_tool_gets_a_url_it_understands() {
        let place = Place::Sqlite("/x/y.db".into());
        assert_eq!(
            line(Tool::Ours, &place),
            "--database-url sqlite:///x/y.db --migrations /m migrate"
        );
        assert_eq!(
            line(Tool::Diesel, &place),
            "--database-url /x/y.db migration run --migration-dir /m"
        );
        assert_eq!(
            line(Tool::Sqlx, &place),
            "migrate run --database-url sqlite:///x/y.db?mode=rwc --source /m"
        );
        assert_eq!(
            line(Tool::Refinery, &place),
            "migrate -e DATABASE_URL -p /m"
        );
        assert_eq!(
            line(Tool::Dbmate, &place),
            "--url sqlite:/x/y.db --no-dump-schema --migrations-dir /m migrate"
        );
    }

    #[test]
    fn keys_are_distinct() {
        let mut keys: Vec<_> = Tool::ALL.iter().map(|tool| tool.key()).collect();
        keys.dedup();
        assert_eq!(keys.len(), Tool::ALL.len());
    }
}

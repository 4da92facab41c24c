//! `pg_dump`, which knows how PostgreSQL writes its own schema.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use db_core::{DatabaseUrl, ErrorKind};

use super::sink::Sink;
use crate::error::{Doing as _, Error};

/// Where packages put one folder per version: parent, start of the name, folder inside.
const VERSIONED: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// What newer ones write around a script is a random word, unless one is given: the same database
/// must give the same bytes.
const RESTRICT: &str = "--restrict-key";

/// What a server says in English to a role that may not: `pg_dump` repeats its words, not its code.
const NO_RIGHT: &str = "permission denied for ";

/// The program, and what it is asked for.
pub(super) struct PgDump {
    program: PathBuf,
    arguments: Vec<OsString>,
    name: String,
}

impl PgDump {
    /// The nearest version that is not below the server's.
    pub(super) fn find(given: Option<&Path>, server: u32) -> Result<Self, Error> {
        let programs: Vec<PathBuf> = match given {
            Some(folder) => vec![folder.join("pg_dump")],
            None => candidates(),
        };
        let found = programs
            .into_iter()
            .filter_map(|program| Some((version_of(&program)?, program)));
        let mut found: Vec<_> = found.collect();
        found.sort();
        let newest = found.last().map(|(version, _)| *version);
        let Some((_, program)) = found.into_iter().find(|(version, _)| *version >= server) else {
            let what = match newest {
                Some(newest) => format!("pg_dump is of version {newest}"),
                None => "there is no pg_dump".to_owned(),
            };
            return Err(Error::Tool(format!(
                "the schema needs pg_dump of version {server} or newer, and {what} here; install \
                 postgresql-client-{server}, name its folder, or export the data only"
            )));
        };
        let mut arguments: Vec<OsString> = ["--no-owner", "--no-privileges", "--encoding=UTF8"]
            .map(OsString::from)
            .into();
        if tells(&program, "--help").is_some_and(|help| help.contains(RESTRICT)) {
            arguments.push(format!("{RESTRICT}=bitcrapsdb").into());
        }
        Ok(Self {
            program,
            arguments,
            name: "bitcraps-db".to_owned(),
        })
    }

    /// The name under which it connects.
    pub(super) fn called(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    pub(super) fn snapshot(&mut self, name: &str) {
        self.arguments.push(format!("--snapshot={name}").into());
    }

    /// Only this table, by its name in quotes, which to `pg_dump` is a pattern that fits itself.
    pub(super) fn table(&mut self, quoted: &str) {
        self.arguments.push(format!("--table={quoted}").into());
    }

    /// Writes a section of the schema.
    pub(super) fn run(
        &self,
        url: &DatabaseUrl,
        section: &str,
        sink: &mut Sink,
    ) -> Result<(), Error> {
        let target = url.for_programs().doing(|| "asking pg_dump".to_owned())?;
        let failed = |source: io::Error| Error::File {
            path: self.program.clone(),
            source,
        };
        let said = tempfile::tempfile().map_err(failed)?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg(format!("--section={section}"))
            .arg("--no-password")
            .arg(format!("--dbname={}", target.url))
            .env("PGAPPNAME", &self.name)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said.try_clone().map_err(failed)?);
        if let Some(password) = &target.password {
            command.env("PGPASSWORD", password);
        }
        let mut child = command.spawn().map_err(failed)?;
        let passed = match child.stdout.take() {
            Some(mut from) => pass(&mut from, sink),
            None => Ok(()),
        };
        if passed.is_err() {
            // It may have ended by itself.
            let _ended = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        passed?;
        if status.success() {
            return Ok(());
        }
        let words = url.scrub(&words_of(said).map_err(failed)?);
        if words.contains(NO_RIGHT) {
            let source = db_core::Error::new(ErrorKind::PermissionDenied, words.trim());
            let doing = "reading the schema by pg_dump".to_owned();
            return Err(Error::Database { doing, source });
        }
        Err(Error::Tool(format!(
            "pg_dump has failed ({status}): {}",
            words.trim()
        )))
    }
}

fn pass(from: &mut impl io::Read, sink: &mut Sink) -> Result<(), Error> {
    let mut part = vec![0; 64 * 1024];
    loop {
        match from.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(length) => sink.write(part.get(..length).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => {
                let path = PathBuf::from("pg_dump");
                return Err(Error::File { path, source });
            }
        }
    }
}

fn words_of(mut said: File) -> io::Result<String> {
    let mut words = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut words)?;
    Ok(String::from_utf8_lossy(&words).into_owned())
}

/// Every `pg_dump` that this machine may have.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for (parent, start, inside) in VERSIONED {
        let entries = Path::new(parent).read_dir().into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
        folders.extend(named.map(|entry| entry.path().join(inside)));
    }
    if let Some(path) = std::env::var_os("PATH") {
        folders.extend(std::env::split_paths(&path));
    }
    let programs = folders.into_iter().map(|folder| folder.join("pg_dump"));
    programs.filter(|program| program.is_file()).collect()
}

/// `pg_dump (PostgreSQL) 15.18 (Debian …)` → 15.
fn version_of(program: &Path) -> Option<u32> {
    let text = tells(program, "--version")?;
    let (_, rest) = text.split_once(" (PostgreSQL) ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn tells(program: &Path, option: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(option)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

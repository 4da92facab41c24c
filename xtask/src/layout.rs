//! `cargo xtask layout`: which code of the program usual runs use, so that it is linked side by side.
//!
//! The runs are recorded by Valgrind's callgrind on a release build. The list goes to
//! `crates/db-cli/usual.txt`, which that crate's build script makes an order for the linker of
//! (docs/adr/0051). A list that is older than the code costs memory and page faults, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::server::{self, SERVER_VARIABLE, Server};
use crate::{process, workspace};

const LIST: &str = "crates/db-cli/usual.txt";

/// What callgrind calls the object of code that is outside a section `.text`, as ours is that is in order already.
const NO_OBJECT: &str = "???";

/// What is run in turn on a fresh database: all migrations, nothing to do, and what people and scripts ask.
const RUNS: [&str; 4] = ["migrate", "migrate", "status", "validate"];

pub(crate) fn run() -> Result<()> {
    let mut valgrind = Command::new("valgrind");
    process::output(valgrind.arg("--version"))
        .context("Valgrind records the runs: install the package `valgrind`")?;
    let servers = [empty_server()?, empty_server()?];
    let program = workspace::release(false)?;
    let folder = tempfile::tempdir().context("cannot make a folder for temporary files")?;
    let file = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let many = folder.path().join("many");
    write_many(&many).with_context(|| format!("cannot write into {}", many.display()))?;
    let recorded = |url: &str, own: Option<&Path>| recorded(&program, folder.path(), url, own);
    let mut sqlite = recorded(&file("built-in.db"), None)?;
    sqlite.extend(recorded(&file("folder.db"), Some(&many))?);
    let mut postgres = recorded(&servers[0].url(), None)?;
    postgres.extend(recorded(&servers[1].url(), Some(&many))?);
    // No run shall have the other engine's code in memory.
    postgres.retain(|name| !sqlite.contains(name));
    let count = sqlite.len() + postgres.len();
    let lines = |names: BTreeSet<String>| names.into_iter().map(|name| name + "\n");
    let text: String = lines(sqlite)
        .chain(["\n".to_owned()])
        .chain(lines(postgres))
        .collect();
    fs::write(workspace::root().join(LIST), text)
        .with_context(|| format!("cannot write {LIST}"))?;
    println!("{LIST}: {count} functions");
    Ok(())
}

/// A server whose database nobody misses.
fn empty_server() -> Result<Server> {
    match server::provide()? {
        Server::Foreign(_) => bail!("unset {SERVER_VARIABLE}: a server of its own is filled"),
        server @ Server::Own(_) => Ok(server),
    }
}

/// As many small migrations as a service has after years: enough that lists are sorted as long ones are, and that
/// the log of a SQLite file is worth a checkpoint.
fn write_many(folder: &Path) -> io::Result<()> {
    for n in 1..=300 {
        let folder = folder.join(format!("2024010100{n:04}_make_t{n}"));
        fs::create_dir_all(&folder)?;
        let up = format!(
            "-- One of many.\nCREATE TABLE t{n} (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL, name TEXT);\n\
             CREATE INDEX idx_t{n}_amount ON t{n} (amount);\n\
             INSERT INTO t{n} (id, amount, name) VALUES (1, {n}, 'one'), (2, 7, 'two');\n"
        );
        fs::write(folder.join("up.sql"), up)?;
        fs::write(folder.join("down.sql"), format!("DROP TABLE t{n};\n"))?;
    }
    Ok(())
}

/// What the runs on one fresh database use, with the migrations that are built in or those of a folder.
fn recorded(
    program: &Path,
    folder: &Path,
    url: &str,
    migrations: Option<&Path>,
) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for verb in RUNS {
        println!("recording {verb}");
        let profile = folder.join("profile");
        let mut command = record(program, &profile);
        command.args([verb, "--database-url", url]);
        if let Some(migrations) = migrations {
            command.arg("--migrations").arg(migrations);
        }
        process::output(&mut command)?;
        let text = fs::read_to_string(&profile)
            .with_context(|| format!("cannot read {}", profile.display()))?;
        names.extend(used(&text, program));
    }
    Ok(names)
}

/// The program under callgrind, with the names as the linker has them.
fn record(program: &Path, profile: &Path) -> Command {
    let mut command = Command::new("valgrind");
    let mut file = std::ffi::OsString::from("--callgrind-out-file=");
    file.push(profile);
    command.args(["--quiet", "--tool=callgrind", "--demangle=no"]);
    command.arg(file).arg(program);
    command
}

/// The functions of the program that a profile says were run, as patterns that fit another build too.
///
/// A profile has lines `ob=(1) file` and `fn=(2) name`, which say whose costs follow, and `cob` and `cfn`, which
/// say who is called; a name is written out once and meant by its number from then on.
fn used(profile: &str, program: &Path) -> BTreeSet<String> {
    let mut objects = BTreeMap::new();
    let mut functions = BTreeMap::new();
    let mut ours = false;
    let mut seen = BTreeSet::new();
    for line in profile.lines() {
        let Some((key, value)) = line.split_once("=(") else {
            continue;
        };
        let Some((number, name)) = value.split_once(')') else {
            continue;
        };
        let name = name.trim_start();
        let names = match key {
            "ob" | "cob" => &mut objects,
            "fn" | "cfn" => &mut functions,
            _ => continue,
        };
        if !name.is_empty() {
            names.insert(number, name);
        }
        match key {
            "ob" => {
                let at = objects.get(number);
                ours = at.is_some_and(|at| *at == NO_OBJECT || Path::new(at) == program);
            }
            "fn" if ours => {
                seen.insert(number);
            }
            _ => {}
        }
    }
    let names = seen.into_iter().filter_map(|number| functions.get(number));
    names.filter_map(|name| pattern(name)).collect()
}

/// The name of a function without what each build makes anew: the numbers of crates, and what LLVM and
/// callgrind append. Nothing for code without a name.
fn pattern(name: &str) -> Option<String> {
    // A recursive function's second level is `name'2`.
    let name = name.split('\'').next()?;
    if name.starts_with("0x") || name.starts_with('(') {
        return None;
    }
    let (name, end) = match name.split_once(".llvm.") {
        Some((name, _)) => (name, "*"),
        None => (name, ""),
    };
    let mut text = String::new();
    let mut rest = name;
    if name.starts_with("_R") {
        while let Some((before, crate_)) = rest.split_once("Cs") {
            text.push_str(before);
            text.push_str("Cs");
            let number = crate_.find(|c: char| !c.is_ascii_alphanumeric());
            match number {
                Some(end) if end >= 8 && crate_[end..].starts_with('_') => {
                    text.push('*');
                    rest = &crate_[end..];
                }
                _ => rest = crate_,
            }
        }
    }
    text.push_str(rest);
    text.push_str(end);
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{pattern, used};

    #[test]
    fn functions_of_the_program_alone_are_used() {
        let profile = "\
events: Ir
ob=(1) /p
fn=(1) main
0 5
cob=(2) /lib/libc.so.6
cfn=(2) malloc
calls=1 0
0 7
cfn=(3) sqlite3_open
calls=1 0
ob=(2)
fn=(2)
0 7
fn=(4) free
ob=(1)
fn=(3)
0 1
fn=(5) walk'2
ob=(3) ???
fn=(7) in_order
ob=(1)
fn=(6) 0x0000000000001234
";
        let names: Vec<_> = used(profile, Path::new("/p")).into_iter().collect();
        assert_eq!(names, ["in_order", "main", "sqlite3_open", "walk"]);
    }

    #[test]
    fn names_fit_another_build() {
        let of = |name| pattern(name).unwrap();
        assert_eq!(
            of("_RNvNtCsgEmfK2I1SDS_4core3str10from_utf8CsaJ8bXc1d2E_7db_core"),
            "_RNvNtCs*_4core3str10from_utf8Cs*_7db_core"
        );
        assert_eq!(of("_RNvC4core7shorten.llvm.123"), "_RNvC4core7shorten*");
        assert_eq!(of("_RNvNtC4core8CsSecret"), "_RNvNtC4core8CsSecret");
        assert_eq!(of("yy_reduce.constprop.0"), "yy_reduce.constprop.0");
        assert_eq!(pattern("(below main)"), None);
    }
}

//! `cargo xtask test`: the tests, on both engines or on one.

mod lanes;
mod programs;
mod report;

use std::num::NonZero;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::server::bucket::{self, BUCKET_VARIABLE};
use crate::server::{self, SERVER_VARIABLE, Server};
use crate::workspace;
use lanes::Job;
use report::Report;

/// What to test.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Which half; `all` is the gate
    #[arg(value_enum, default_value = "all")]
    half: Half,
    /// Further arguments for `cargo test`, such as `-p db-core` or a part of a test's name
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Half {
    /// Without PostgreSQL: leaves out its tests, needs no server
    Sqlite,
    /// SQLite's alone, with SQLCipher in its place and encrypted files where the tests allow it
    Sqlcipher,
    /// Without SQLite
    Postgres,
    /// Both; fails if PostgreSQL cannot be had
    All,
}

/// How many tests of one program run at once: most wait, for a disk, a server, another process. With four
/// of each of two programs on two cores, single threads came late by seconds.
const THREADS: (&str, &str) = ("RUST_TEST_THREADS", "2");

/// Where the cases of property tests begin, and where they begin in a gate: it answers alike for
/// the same tree. Another value looks for what nobody has met yet.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "1");

/// The targets whose tests another library under SQLite's name may break. Model checkers, the oracle of
/// the money and its rivals test what we make of SQLite. Of the 1,000 s of all tests, these took 266.
const OF_FILES: [&str; 6] = [
    "--lib",
    "--bins",
    "--test=it",
    "--test=crash",
    "--test=process",
    "--test=catalog",
];

/// Parts of the names of tests that have to do with keys, beside those of SQLite.
const OF_ENCRYPTION: [&str; 2] = ["encryption::", "_key_"];

impl Half {
    /// The engine whose tests do not run.
    const fn left_out(self) -> Option<&'static str> {
        match self {
            Self::Sqlite | Self::Sqlcipher => Some("postgres"),
            Self::Postgres => Some("sqlite"),
            Self::All => None,
        }
    }
}

/// Everything, for other verbs.
pub(crate) fn run_all() -> Result<()> {
    run(&Arguments {
        half: Half::All,
        rest: Vec::new(),
    })
}

/// Everything of SQLite once more, with SQLCipher: another library, and encrypted files.
pub(crate) fn run_sqlcipher() -> Result<()> {
    run(&Arguments {
        half: Half::Sqlcipher,
        rest: Vec::new(),
    })
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let server = match arguments.half {
        Half::Sqlite | Half::Sqlcipher => None,
        Half::Postgres | Half::All => Some(provide()?),
    };
    let bucket = bucket::provide()?;
    server::tools()?;
    let words = words(arguments)?;
    let mut jobs = jobs(&words)?;
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    for job in &mut jobs {
        let command = &mut job.command;
        command.env(BUCKET_VARIABLE, bucket.url());
        match &server {
            Some(server) => command.env(SERVER_VARIABLE, server.url()),
            None => command.env_remove(SERVER_VARIABLE),
        };
        for (name, usual) in [THREADS, SEED] {
            if std::env::var_os(name).is_none() {
                command.env(name, usual);
            }
        }
    }

    let mut report = Report::default();
    let failed = lanes::run(jobs, cores, &mut report)?;
    drop((server, bucket));
    println!("\n{report}");
    if !failed.is_empty() {
        bail!("the tests failed: {}", failed.join("; "));
    }
    // A selection may well leave a half empty; a full run must not.
    if arguments.rest.is_empty() {
        for (half, part, count) in [
            ("SQLite", "sqlite", report.sqlite.total()),
            ("PostgreSQL", "postgres", report.postgres.total()),
        ] {
            if arguments.half.left_out() != Some(part) && count == 0 {
                bail!("not one test of the {half} half ran: is it built and named as its half?");
            }
        }
    }
    Ok(())
}

/// A server, with a line that says which.
fn provide() -> Result<Server> {
    let start = Instant::now();
    let server = server::provide()?;
    match &server {
        Server::Foreign(_) => println!("PostgreSQL: the server in {SERVER_VARIABLE}"),
        Server::Own(cluster) => println!(
            "PostgreSQL {}: a throw-away server, started in {:.1} s",
            cluster.version(),
            start.elapsed().as_secs_f64()
        ),
    }
    Ok(server)
}

/// The programs, as Cargo would start them, and the tests in documentation, which Cargo alone can run.
fn jobs(words: &Words) -> Result<Vec<Job>> {
    let documents = words.cargo.iter().any(|word| word == "--doc");
    let programs = if documents {
        Vec::new()
    } else {
        programs::compile(&words.cargo)?
    };
    let mut jobs = Vec::new();
    for program in &programs {
        let mut command = workspace::command(&program.executable);
        command
            .current_dir(&program.folder)
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .args(&words.harness);
        jobs.push(Job {
            name: program.name.clone(),
            command,
        });
    }
    let chosen = words.cargo.iter().any(|word| is_target(word));
    if documents || (!chosen && programs.iter().any(|program| program.documents)) {
        let mut command = workspace::cargo();
        command.args(["test", "--doc", "--no-fail-fast"]);
        command.args(words.cargo.iter().filter(|word| *word != "--doc"));
        command.arg("--").args(&words.harness);
        // Its compiling takes longer than most programs, and waits for none of them.
        jobs.insert(
            0,
            Job {
                name: "documentation".to_owned(),
                command,
            },
        );
    }
    Ok(jobs)
}

/// Whether a word of `cargo test` chooses targets.
fn is_target(word: &str) -> bool {
    let word = word.split('=').next().unwrap_or_default();
    let targets = ["--lib", "--bin", "--test", "--example", "--bench", "--doc"];
    targets.contains(&word.strip_suffix('s').unwrap_or(word)) || word == "--all-targets"
}

/// The arguments of `cargo test`, and those of each test program.
struct Words {
    cargo: Vec<String>,
    harness: Vec<String>,
}

fn words(arguments: &Arguments) -> Result<Words> {
    let mut rest = arguments.rest.split(|word| word == "--");
    let (for_cargo, mut harness) = programs::apart(rest.next().unwrap_or_default())?;
    let mut words = vec!["--locked".to_owned()];
    if !for_cargo
        .iter()
        .any(|word| word.starts_with("-p") || word.starts_with("--package"))
    {
        words.push("--workspace".to_owned());
    }
    if arguments.half == Half::Sqlcipher {
        words.extend(["--features", "sqlcipher"].map(str::to_owned));
        if !for_cargo.iter().any(|word| is_target(word)) {
            words.extend(OF_FILES.map(str::to_owned));
        }
    }
    words.extend(for_cargo);
    harness.extend(rest.flatten().cloned());
    // What belongs to neither engine gains nothing by another SQLite.
    if arguments.half == Half::Sqlcipher && arguments.rest.is_empty() {
        harness.extend(report::parts("sqlite"));
        harness.extend(OF_ENCRYPTION.map(str::to_owned));
    }
    // The harness knows parts of names only; these are the parts that `report` counts by.
    for part in arguments
        .half
        .left_out()
        .map(report::parts)
        .into_iter()
        .flatten()
    {
        harness.extend(["--skip".to_owned(), part]);
    }
    Ok(Words {
        cargo: words,
        harness,
    })
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Half, words};

    fn line(half: Half, rest: &[&str]) -> String {
        let rest = rest.iter().map(ToString::to_string).collect();
        let words = words(&Arguments { half, rest }).unwrap();
        format!("{} -- {}", words.cargo.join(" "), words.harness.join(" "))
    }

    #[test]
    fn a_half_leaves_out_the_other() {
        assert_eq!(line(Half::All, &[]), "--locked --workspace -- ");
        assert_eq!(
            line(Half::Sqlite, &[]),
            "--locked --workspace -- --skip ::postgres --skip postgres:: --skip _postgres"
        );
        assert_eq!(
            line(Half::Sqlcipher, &[]),
            "--locked --workspace --features sqlcipher --lib --bins --test=it --test=crash \
             --test=process --test=catalog -- ::sqlite sqlite:: encryption:: _key_ \
             --skip ::postgres --skip postgres:: --skip _postgres"
        );
        assert_eq!(
            line(Half::Postgres, &[]),
            "--locked --workspace -- --skip ::sqlite --skip sqlite::"
        );
    }

    #[test]
    fn chosen_targets_are_the_only_ones() {
        for word in ["--lib", "--tests", "--test=oracle"] {
            let line = line(Half::Sqlcipher, &[word]);
            assert!(
                line.starts_with(&format!(
                    "--locked --workspace --features sqlcipher {word} --"
                )),
                "{line}"
            );
        }
    }

    #[test]
    fn further_arguments_go_to_cargo_and_to_the_harness() {
        assert_eq!(
            line(
                Half::Sqlite,
                &["-p", "db-core", "name", "--", "--nocapture"]
            ),
            "--locked -p db-core -- name --nocapture \
             --skip ::postgres --skip postgres:: --skip _postgres"
        );
    }
}

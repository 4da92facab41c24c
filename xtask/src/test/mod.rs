//! `cargo xtask test`: the tests, on both engines or on one.

mod report;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::server::bucket::{self, BUCKET_VARIABLE};
use crate::server::{self, SERVER_VARIABLE, Server};
use crate::{process, workspace};
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

/// How many tests the harness runs at once.
const THREADS_VARIABLE: &str = "RUST_TEST_THREADS";

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
    let mut command = workspace::cargo();
    command.args(words(arguments));
    command.env(BUCKET_VARIABLE, bucket.url());
    // Most tests wait: for a disk, a server, another process. More of them keep the cores busy.
    if std::env::var_os(THREADS_VARIABLE).is_none()
        && let Ok(cores) = std::thread::available_parallelism()
    {
        command.env(THREADS_VARIABLE, (2 * cores.get()).to_string());
    }
    let (seed, usual) = SEED;
    if std::env::var_os(seed).is_none() {
        command.env(seed, usual);
    }
    match &server {
        Some(server) => command.env(SERVER_VARIABLE, server.url()),
        None => command.env_remove(SERVER_VARIABLE),
    };

    let mut report = Report::default();
    let status = process::stream(&mut command, &mut std::io::stdout(), |line| {
        report.read(line);
    })?;
    drop((server, bucket));
    println!("\n{report}");
    if !status.success() {
        bail!("the tests failed");
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

/// Whether a word of `cargo test` chooses targets.
fn is_target(word: &str) -> bool {
    let word = word.split('=').next().unwrap_or_default();
    let targets = ["--lib", "--bin", "--test", "--example", "--bench", "--doc"];
    targets.contains(&word.strip_suffix('s').unwrap_or(word)) || word == "--all-targets"
}

/// The arguments of `cargo`.
fn words(arguments: &Arguments) -> Vec<String> {
    let mut rest = arguments.rest.split(|word| word == "--");
    let for_cargo = rest.next().unwrap_or_default();
    let mut words: Vec<String> = ["test", "--locked"].map(str::to_owned).to_vec();
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
    // One failure must not hide the other half's.
    words.push("--no-fail-fast".to_owned());
    words.extend_from_slice(for_cargo);
    words.push("--".to_owned());
    words.extend(rest.flatten().cloned());
    // What belongs to neither engine gains nothing by another SQLite.
    if arguments.half == Half::Sqlcipher && arguments.rest.is_empty() {
        words.extend(report::parts("sqlite"));
        words.extend(OF_ENCRYPTION.map(str::to_owned));
    }
    // The harness knows parts of names only; these are the parts that `report` counts by.
    for part in arguments
        .half
        .left_out()
        .map(report::parts)
        .into_iter()
        .flatten()
    {
        words.extend(["--skip".to_owned(), part]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Half, words};

    fn line(half: Half, rest: &[&str]) -> String {
        let rest = rest.iter().map(ToString::to_string).collect();
        words(&Arguments { half, rest }).join(" ")
    }

    #[test]
    fn a_half_leaves_out_the_other() {
        assert_eq!(
            line(Half::All, &[]),
            "test --locked --workspace --no-fail-fast --"
        );
        assert_eq!(
            line(Half::Sqlite, &[]),
            "test --locked --workspace --no-fail-fast -- --skip ::postgres --skip postgres:: --skip _postgres"
        );
        assert_eq!(
            line(Half::Sqlcipher, &[]),
            "test --locked --workspace --features sqlcipher --lib --bins --test=it --test=crash \
             --test=process --test=catalog --no-fail-fast -- ::sqlite sqlite:: encryption:: _key_ \
             --skip ::postgres --skip postgres:: --skip _postgres"
        );
        assert_eq!(
            line(Half::Postgres, &[]),
            "test --locked --workspace --no-fail-fast -- --skip ::sqlite --skip sqlite::"
        );
    }

    #[test]
    fn chosen_targets_are_the_only_ones() {
        for word in ["--lib", "--tests", "--test=oracle"] {
            let line = line(Half::Sqlcipher, &[word]);
            assert!(
                line.starts_with(&format!(
                    "test --locked --workspace --features sqlcipher --no-fail-fast {word} --"
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
            "test --locked --no-fail-fast -p db-core name -- --nocapture \
             --skip ::postgres --skip postgres:: --skip _postgres"
        );
    }
}

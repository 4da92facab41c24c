//! What the tests of this room share.

mod database;
mod worker;

pub(crate) use database::{File, config, durable, execute, integrity, number, numbers, open};
pub(crate) use worker::{Role, Worker, alone, await_input, await_line, role, say};

/// A size that a longer run sets from outside, `BITCRAPS_TEST_<name>`.
pub(crate) fn size(name: &str, usual: u64) -> u64 {
    match std::env::var(format!("BITCRAPS_TEST_{name}")) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("BITCRAPS_TEST_{name} is no number: {text}")),
        Err(_) => usual,
    }
}

/// A figure for `docs/reliability.md`, shown by `--nocapture`.
pub(crate) fn report(figure: std::fmt::Arguments<'_>) {
    #[expect(clippy::print_stderr, reason = "the figures are what one runs it for")]
    {
        eprintln!("figure: {figure}");
    }
}

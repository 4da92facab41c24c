//! What the tests of this room share.

mod database;
mod worker;

pub(crate) use db_testkit::size;

pub(crate) use database::{File, config, durable, execute, integrity, number, numbers, open};
pub(crate) use worker::{Role, Worker, alone, await_input, await_line, role, say};

/// A figure for `docs/reliability.md`, shown by `--nocapture`.
pub(crate) fn report(figure: std::fmt::Arguments<'_>) {
    #[expect(clippy::print_stderr, reason = "the figures are what one runs it for")]
    {
        eprintln!("figure: {figure}");
    }
}

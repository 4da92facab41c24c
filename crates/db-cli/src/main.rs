//! `bitcraps-db`: the operations command line.
//!
//! Only this crate and `xtask` print, exit or read arguments. Data goes to standard output,
//! everything else to standard error; the exit codes are the table in [`exit`].

mod args;
mod command;
mod config;
mod database;
mod error;
mod exit;
mod key;
mod output;
mod prompt;
mod scratch;
mod signals;

fn main() {
    exit::leave(run());
}

fn run() -> exit::Code {
    let arguments = match args::parse() {
        Ok(arguments) => arguments,
        Err(rejected) => return rejected.report(),
    };
    let output = output::Output::new(&arguments.global);
    output::log::start(&output, arguments.global.verbose);
    match command::run(&arguments, &output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            error.code()
        }
    }
}

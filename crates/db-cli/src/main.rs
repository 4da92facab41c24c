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
mod json;
mod key;
mod output;
mod prompt;
mod scratch;
mod signals;

fn main() {
    exit::leave(if args::is_restore_command() {
        // PostgreSQL takes 1 to 125 for the end of the log: neither a wrong argument nor a panic may
        // end so.
        match std::panic::catch_unwind(run) {
            Ok(code @ (exit::Code::Done | exit::Code::Attention)) => code,
            _ => exit::Code::StopRecovery,
        }
    } else {
        run()
    });
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

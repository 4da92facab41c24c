//! The log on standard error: warnings, and more with `-v`.

use std::io::{self, Write};

use serde::Serialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::Output;

/// The variable that sets the filter in full, as `tracing` takes it.
const VARIABLE: &str = "BITCRAPS_LOG";

/// A line of the log with `--json`.
#[derive(Debug, Serialize)]
struct LogLine<'t> {
    event: &'static str,
    message: &'t str,
}

/// Lines of JSON, or text as it is.
#[derive(Debug, Clone)]
struct Sink(Output);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        if self.0.is_json() {
            self.0.line(&LogLine {
                event: "log",
                message: text.trim_end(),
            });
        } else {
            self.0.aside(&text);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Starts the log.
pub(crate) fn start(output: &Output, verbose: u8) {
    let level = match verbose {
        _ if output.is_quiet() => "error",
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(output.has_colours() && !output.is_json())
        .with_target(false)
        .without_time()
        .with_writer(Sink(output.clone()))
        .init();
}

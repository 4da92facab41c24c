//! The log on standard error: warnings, and more with `-v`.

use std::env;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Output;

/// The variable that sets the filter in full: a level, or `target=level` with commas between.
const VARIABLE: &str = "BITCRAPS_LOG";

/// A line of the log with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LogLine<'t> {
    #[schemars(extend("const" = "log"))]
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
            self.0.logged(&text);
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
        _ if output.is_quiet() => LevelFilter::ERROR,
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    // What cannot be understood is no reason to keep a database waiting.
    let filter = env::var(VARIABLE)
        .ok()
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or_else(|| Targets::new().with_default(level))
        // Its lines hold addresses of requests, and those may hold signatures.
        .with_target("object_store", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(output.has_colours() && !output.is_json())
        .with_target(false)
        .without_time()
        .with_writer(Sink(output.clone()));
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}

//! Progress of a copy: a bar on a terminal, JSON lines with `--json`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use db_transfer::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::Output;
use super::clean::on_one_line;
use super::progress::{Later, show_later};

/// Lines of one phase come no more often.
const BETWEEN_LINES: Duration = Duration::from_millis(200);

/// One line of standard error with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Line<'t> {
    #[schemars(extend("const" = "progress"))]
    event: &'static str,
    phase: &'static str,
    table: Option<&'t str>,
    rows: u64,
    rows_expected: Option<u64>,
    bytes: u64,
    rows_per_second: u64,
    seconds_left: Option<u64>,
}

/// Shows how far it is; several threads may say so.
#[derive(Debug)]
pub(crate) struct Rows {
    output: Output,
    bar: ProgressBar,
    later: Mutex<Option<Later>>,
    last: Mutex<Option<Last>>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    phase: Phase,
    began: Instant,
    told: Instant,
}

impl Rows {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let template = "{msg:24!} [{bar:30}] {percent:>3} % {per_sec} {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let later = if output.has_bar() {
            show_later(bar.clone())
        } else {
            None
        };
        Self {
            output: output.clone(),
            bar,
            later: Mutex::new(later),
            last: Mutex::new(None),
        }
    }

    pub(crate) fn at(&self, progress: Progress<'_>) {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let began = match *last {
            Some(last) if last.phase == progress.phase => {
                if now.duration_since(last.told) < BETWEEN_LINES {
                    return;
                }
                last.began
            }
            _ => now,
        };
        *last = Some(Last {
            phase: progress.phase,
            began,
            told: now,
        });
        drop(last);
        let phase = name(progress.phase);
        if !self.output.is_json() {
            let table = progress.table.unwrap_or_default();
            let table = on_one_line(table.into());
            self.bar.set_message(format!("{phase} {table}"));
            self.bar
                .set_length(progress.rows_expected.unwrap_or_default());
            self.bar.set_position(progress.rows);
            return;
        }
        let took = now.duration_since(began).as_micros().max(1);
        let rate = u128::from(progress.rows) * 1_000_000 / took;
        let left = progress
            .rows_expected
            .map(|all| all.saturating_sub(progress.rows));
        let seconds_left = left
            .filter(|_| rate > 0)
            .map(|left| u128::from(left) / rate);
        self.output.line(&Line {
            event: "progress",
            phase,
            table: progress.table,
            rows: progress.rows,
            rows_expected: progress.rows_expected,
            bytes: progress.bytes,
            rows_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
            seconds_left: seconds_left.and_then(|left| u64::try_from(left).ok()),
        });
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        let later = self
            .later
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(later) = later {
            later.end();
        }
        self.bar.finish_and_clear();
    }
}

const fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Inspect => "inspect",
        Phase::Export => "export",
        Phase::Import => "import",
        Phase::Copy => "copy",
        Phase::Prove => "prove",
        _ => "work",
    }
}

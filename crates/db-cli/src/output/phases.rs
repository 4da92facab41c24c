//! Progress of backups, restores and seeding: a bar on a terminal, JSON lines with `--json`.

use std::time::{Duration, Instant};

use db_backup::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::Output;
use super::progress::{Later, show_later};

/// Lines of one phase come no more often, but for its first and its last.
const BETWEEN_LINES: Duration = Duration::from_millis(200);

/// One line of standard error with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Line {
    #[schemars(extend("const" = "progress"))]
    event: &'static str,
    phase: &'static str,
    done: u64,
    total: u64,
}

/// Shows how far it is.
#[derive(Debug)]
pub(crate) struct Phases {
    output: Output,
    bar: ProgressBar,
    later: Option<Later>,
    last: Option<(&'static str, Instant)>,
}

impl Phases {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg:8} {percent:>3} % {elapsed} [{wide_bar}]");
        if let Ok(style) = style {
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
            later,
            last: None,
        }
    }

    pub(crate) fn at(&mut self, progress: Progress) {
        self.step(progress.phase.name(), progress.done, progress.total);
    }

    /// So much of so much of this phase is done.
    pub(crate) fn step(&mut self, phase: &'static str, done: u64, total: u64) {
        if !self.output.is_json() {
            self.bar.set_message(phase);
            self.bar.set_length(total);
            self.bar.set_position(done);
            return;
        }
        let now = Instant::now();
        let is_early = self
            .last
            .is_some_and(|(last, at)| last == phase && now.duration_since(at) < BETWEEN_LINES);
        if is_early && done < total {
            return;
        }
        self.last = Some((phase, now));
        self.output.line(&Line {
            event: "progress",
            phase,
            done,
            total,
        });
    }

    /// Takes the bar away.
    pub(crate) fn finish(&mut self) {
        if let Some(later) = self.later.take() {
            later.end();
        }
        self.bar.finish_and_clear();
    }
}

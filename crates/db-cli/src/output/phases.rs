//! Progress of backups and restores: a bar on a terminal, JSON lines with `--json`.

use std::time::{Duration, Instant};

use db_backup::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::Output;
use super::progress::{Later, show_later};

/// Lines of one phase come no more often, but for its first and its last.
const BETWEEN_LINES: Duration = Duration::from_millis(200);

/// One line of standard error with `--json`.
#[derive(Debug, Serialize)]
struct Line {
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
    last: Option<(Phase, Instant)>,
}

impl Phases {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg:8} [{bar:30}] {percent:>3} % {elapsed}");
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
        if !self.output.is_json() {
            self.bar.set_message(progress.phase.name());
            self.bar.set_length(progress.total);
            self.bar.set_position(progress.done);
            return;
        }
        let now = Instant::now();
        let is_early = self.last.is_some_and(|(phase, at)| {
            phase == progress.phase && now.duration_since(at) < BETWEEN_LINES
        });
        if is_early && progress.done < progress.total {
            return;
        }
        self.last = Some((progress.phase, now));
        self.output.line(&Line {
            event: "progress",
            phase: progress.phase.name(),
            done: progress.done,
            total: progress.total,
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

//! Progress of data in and out: a bar on a terminal, JSON lines with `--json`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use db_transfer::{OnWait, Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::Output;
use super::clean::on_one_line;
use super::progress::{self, Later, show_later};

/// Lines of one phase come no more often, but for its last.
const BETWEEN_LINES: Duration = Duration::from_millis(200);

/// One line however narrow the terminal is: what does not fit is cut off at its end. A line that goes on in
/// the next one would stay on the screen whenever it is drawn anew.
const LINE: &str = "{wide_msg} {elapsed}";

/// How many characters the bar has, and the pace before it, so that the bar stays where it is.
const BAR: usize = 20;
const PACE: usize = 28;

/// One line of standard error with `--json`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct Line {
    #[schemars(extend("const" = "progress"))]
    event: &'static str,
    phase: &'static str,
    table: Option<String>,
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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Option<Phase>,
    /// When the phase began: with the command, or where the one before ended.
    began: Instant,
    /// When something was heard last, and when it was told.
    heard: Instant,
    told: Option<Instant>,
    /// What was heard and not told, because it came soon after another.
    held: Option<Line>,
}

impl Rows {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(LINE) {
            bar.set_style(style);
        }
        let later = if output.has_bar() {
            show_later(bar.clone())
        } else {
            None
        };
        let now = Instant::now();
        Self {
            output: output.clone(),
            bar,
            later: Mutex::new(later),
            state: Mutex::new(State {
                phase: None,
                began: now,
                heard: now,
                told: None,
                held: None,
            }),
        }
    }

    pub(crate) fn at(&self, progress: Progress<'_>) {
        let now = Instant::now();
        let mut state = self.state();
        if state.phase != Some(progress.phase) {
            self.tell_held(&mut state);
            state.phase = Some(progress.phase);
            state.began = state.heard;
            state.told = None;
        }
        state.heard = now;
        let line = line(progress, now.duration_since(state.began));
        if let Some(told) = state.told
            && now.duration_since(told) < BETWEEN_LINES
        {
            state.held = Some(line);
            return;
        }
        state.told = Some(now);
        state.held = None;
        self.tell(&line);
    }

    /// Says something for a person, above the bar.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }

    /// What tells of locks that hold it up.
    pub(crate) fn on_wait(self: &Arc<Self>) -> OnWait {
        let shown = Arc::clone(self);
        OnWait::new(move |holder| {
            let output = &shown.output;
            if output.is_json() {
                output.line(&progress::Line::WaitingForLock { holder });
            } else {
                shown.note(&progress::waiting(holder));
            }
        })
    }

    /// Tells what was heard last, and takes the bar away.
    pub(crate) fn finish(&self) {
        self.tell_held(&mut self.state());
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_held(&self, state: &mut State) {
        if let Some(line) = state.held.take() {
            self.tell(&line);
        }
    }

    fn tell(&self, line: &Line) {
        if self.output.is_json() {
            self.output.line(line);
        } else {
            self.bar.set_message(drawn(line));
        }
    }
}

/// The line of the bar: what matters most comes first.
fn drawn(line: &Line) -> String {
    let table = on_one_line(line.table.as_deref().unwrap_or_default().into());
    let (phase, pace) = (line.phase, pace(line));
    let drawn = match line.rows_expected {
        None => format!("{phase:7} {} rows {pace:PACE$} {table}", line.rows),
        Some(all) => {
            let of = |parts: usize| {
                let done = u128::from(line.rows.min(all)) * parts as u128;
                usize::try_from(done / u128::from(all.max(1))).unwrap_or(parts)
            };
            let (full, empty) = ("█".repeat(of(BAR)), "░".repeat(BAR - of(BAR)));
            format!(
                "{phase:7} {:>3} % {pace:PACE$} [{full}{empty}] {table}",
                of(100)
            )
        }
    };
    drawn.trim_end().to_owned()
}

/// How far it is, so long after the phase began. The pace is that of the whole phase: one of the last
/// moment would stop and start with every page that a disk takes late.
fn line(progress: Progress<'_>, took: Duration) -> Line {
    let micros = took.as_micros().max(1);
    let rate = u128::from(progress.rows) * 1_000_000 / micros;
    let left = progress
        .rows_expected
        .map(|all| all.saturating_sub(progress.rows));
    let seconds_left = match left {
        Some(0) => Some(0),
        Some(left) if rate > 0 => u64::try_from(u128::from(left).div_ceil(rate)).ok(),
        _ => None,
    };
    Line {
        event: "progress",
        phase: name(progress.phase),
        table: progress.table.map(ToOwned::to_owned),
        rows: progress.rows,
        rows_expected: progress.rows_expected,
        bytes: progress.bytes,
        rows_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
        seconds_left,
    }
}

/// How fast it goes and how long it takes still, in words.
fn pace(line: &Line) -> String {
    let rate = line.rows_per_second;
    match line.seconds_left {
        Some(0) if line.rows > 0 => "all rows; finishing".to_owned(),
        Some(left @ ..60) if rate > 0 => format!("{rate} rows/s, {left} s left"),
        Some(left) if rate > 0 => {
            let left = db_core::duration::show(Duration::from_secs(left));
            format!("{rate} rows/s, {left} left")
        }
        _ if rate > 0 => format!("{rate} rows/s"),
        _ => String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rows: u64, rows_expected: Option<u64>, seconds: u64) -> Line {
        let progress = Progress {
            phase: Phase::Import,
            table: None,
            rows,
            rows_expected,
            bytes: 0,
        };
        line(progress, Duration::from_secs(seconds))
    }

    #[test]
    fn a_narrow_line_begins_with_what_matters() {
        let mut half = at(500, Some(1000), 10);
        half.table = Some("players".to_owned());
        assert_eq!(
            drawn(&half),
            "import   50 % 50 rows/s, 10 s left         [██████████░░░░░░░░░░] players"
        );
        let all = drawn(&at(1000, Some(1000), 20));
        assert!(
            all.starts_with("import  100 % all rows; finishing"),
            "{all}"
        );
        assert!(!all.contains('░') && all.ends_with(']'), "{all}");
        // More than were expected, where that was an estimate.
        assert!(drawn(&at(3000, Some(1000), 20)).starts_with("import  100 %"));
        assert_eq!(drawn(&at(1000, None, 10)), "import  1000 rows 100 rows/s");
        assert_eq!(drawn(&at(0, Some(0), 10)).matches('░').count(), BAR);
    }

    #[test]
    fn the_pace_is_that_of_the_phase() {
        let half = at(500, Some(1000), 10);
        assert_eq!((half.rows_per_second, half.seconds_left), (50, Some(10)));
        assert_eq!(pace(&half), "50 rows/s, 10 s left");
        let all = at(1000, Some(1000), 20);
        assert_eq!(
            (all.seconds_left, pace(&all).as_str()),
            (Some(0), "all rows; finishing")
        );
        let unknown = at(1000, None, 10);
        assert_eq!(
            (unknown.seconds_left, pace(&unknown).as_str()),
            (None, "100 rows/s")
        );
        let none = at(0, Some(10), 5);
        assert_eq!(
            (
                none.rows_per_second,
                none.seconds_left,
                pace(&none).as_str()
            ),
            (0, None, "")
        );
    }
}

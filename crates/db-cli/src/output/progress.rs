//! Progress of a run: a bar on a terminal for long ones, JSON lines with `--json`.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use db_migrate::{Blocker, Direction, Event};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;

use super::Output;
use super::clean::on_one_line;

/// Runs shorter than this need no bar.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// How often the bar's clock moves.
const TICK: Duration = Duration::from_millis(200);

/// One line of standard error with `--json`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Line<'e> {
    WaitingForLock {
        holder: &'e str,
    },
    Planned {
        migrations: usize,
        #[schemars(extend("enum" = ["up", "down"]))]
        direction: &'static str,
    },
    Started {
        version: &'e str,
        name: &'e str,
        number: usize,
    },
    Statement {
        number: usize,
        of: usize,
    },
    Retrying {
        attempt: u32,
        pause_us: u64,
        reason: &'e str,
        blockers: &'e [Blocker],
    },
    Finished {
        version: &'e str,
        duration_us: u64,
    },
    Notice {
        message: &'e str,
    },
}

/// Shows what a run tells.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    output: Output,
    bar: ProgressBar,
    later: Arc<Mutex<Option<Later>>>,
}

/// The thread that shows the bar after a while, unless the run ends before.
#[derive(Debug)]
pub(super) struct Later {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Later {
    /// Ends the thread, whether the bar was shown or not.
    pub(super) fn end(self) {
        drop(self.end);
        // A thread that panicked has nothing to show any more.
        drop(self.thread.join());
    }
}

impl Progress {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} {elapsed} {wide_msg}");
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
            later: Arc::new(Mutex::new(later)),
        }
    }

    /// Takes one event.
    pub(crate) fn on_event(&self, event: &Event) {
        if self.output.is_json() {
            if let Some(line) = line_of(event) {
                self.output.line(&line);
            }
            return;
        }
        match event {
            Event::WaitingForLock { holder } => {
                self.note(&waiting(holder));
            }
            Event::Retrying {
                pause,
                reason,
                blockers,
                ..
            } => self.note(&retrying(*pause, reason, blockers)),
            Event::Planned { migrations, .. } => self.bar.set_length(*migrations as u64),
            Event::Started { version, name, .. } => {
                let started = format!("{version} {name}");
                self.bar
                    .set_message(on_one_line(started.into()).into_owned());
            }
            Event::Finished { .. } => self.bar.inc(1),
            // Notices are part of the report; statements move nothing that is shown.
            _ => {}
        }
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

    fn note(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }
}

pub(super) fn show_later(bar: ProgressBar) -> Option<Later> {
    let (end, ended) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("progress".to_owned())
        .spawn(move || {
            if ended.recv_timeout(SHOW_AFTER) == Err(RecvTimeoutError::Timeout) {
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar.enable_steady_tick(TICK);
            }
        })
        .ok()?;
    Some(Later { end, thread })
}

/// Somebody else holds a lock.
pub(super) fn waiting(holder: &str) -> String {
    format!("waiting for the lock of {holder}")
}

/// One line, because there may be one every few seconds.
fn retrying(pause: Duration, reason: &str, blockers: &[Blocker]) -> String {
    let next = db_core::duration::show(pause);
    if blockers.is_empty() {
        return format!("{reason}; next try in {next}");
    }
    let names: Vec<String> = blockers.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    format!("{reason}: the tables are in use by {names}; next try in {next}")
}

fn line_of(event: &Event) -> Option<Line<'_>> {
    let micros = |d: &Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    Some(match event {
        Event::WaitingForLock { holder } => Line::WaitingForLock { holder },
        Event::Planned {
            migrations,
            direction,
        } => Line::Planned {
            migrations: *migrations,
            direction: word(*direction),
        },
        Event::Started {
            version,
            name,
            number,
        } => Line::Started {
            version: version.as_str(),
            name,
            number: *number,
        },
        Event::Statement { number, of } => Line::Statement {
            number: *number,
            of: *of,
        },
        Event::Retrying {
            attempt,
            pause,
            reason,
            blockers,
        } => Line::Retrying {
            attempt: *attempt,
            pause_us: micros(pause),
            reason,
            blockers,
        },
        Event::Finished { version, duration } => Line::Finished {
            version: version.as_str(),
            duration_us: micros(duration),
        },
        Event::Notice(message) => Line::Notice { message },
        _ => return None,
    })
}

/// The direction in JSON.
pub(crate) const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Up => "up",
        Direction::Down => "down",
    }
}

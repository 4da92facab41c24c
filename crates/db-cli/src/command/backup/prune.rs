//! `backup prune`.

use db_backup::prune::{self, Pruning};
use db_core::{Clock, SystemClock};
use serde::Serialize;

use super::{Work, store};
use crate::args::BackupPrune;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;

#[derive(Debug, Serialize)]
struct Document<'p> {
    dir: String,
    dry_run: bool,
    policy: db_backup::retention::Policy,
    #[serde(flatten)]
    pruning: &'p Pruning,
}

pub(super) fn run(context: &Context<'_>, options: &BackupPrune) -> Result<Code, Error> {
    let file = context.file()?;
    let policy = file.backup.policy(&options.keep);
    if policy.is_none() {
        return Err(Error::usage(
            "without a rule nothing would be removed",
            "give at least one of --keep-days, --keep-last, …; --help lists them",
        ));
    }
    let store = store(&options.place, &file.backup)?;
    let now = SystemClock.now();
    let pruning = if options.dry_run {
        prune::plan(&*store, &policy, now)?
    } else {
        let work = Work::begin(context)?;
        prune::prune(&*store, &policy, now, (&work.interrupt, &mut |_| {}))?
    };
    if context.output.is_json() {
        context.output.document(&Document {
            dir: store.location(),
            dry_run: options.dry_run,
            policy,
            pruning: &pruning,
        })?;
    } else {
        let text = text(&pruning, options.dry_run, context.output.paint());
        context.output.report(&text)?;
        for backup in &pruning.unreadable {
            let note = format!("{} is left alone: {}", backup.name, backup.reason);
            context.output.note(&note);
        }
        if let Some(why) = &pruning.log_files_stay {
            context.output.note(&format!("log files stay: {why}"));
        }
    }
    Ok(if pruning.unreadable.is_empty() {
        Code::Done
    } else {
        Code::Unhealthy
    })
}

fn text(pruning: &Pruning, is_dry: bool, paint: Paint) -> String {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("", Align::Left),
        ("why", Align::Left),
    ]);
    for kept in &pruning.kept {
        let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
        table.row(
            vec![
                kept.name.as_str().into(),
                "keep".into(),
                reasons.join(", ").into(),
            ],
            None,
        );
    }
    let removed = pruning
        .removed
        .iter()
        .map(|r| (r.name.as_str(), "no rule keeps it"));
    let left = pruning
        .leftovers
        .iter()
        .map(|f| (f.as_str(), "it has no manifest"));
    let log = pruning
        .log_files
        .iter()
        .map(|f| (f.as_str(), "no base backup needs it"));
    for (name, why) in removed.chain(left).chain(log) {
        table.row(
            vec![name.into(), "remove".into(), why.into()],
            Some(Style::Yellow),
        );
    }
    let mut text = Text::default();
    text.lines(&table.render(paint));
    let (verb, tail) = if is_dry {
        ("would be removed", "; nothing was changed")
    } else {
        ("removed", "")
    };
    text.line(format!(
        "{} kept, {} {verb}, {}{tail}",
        pruning.kept.len(),
        pruning.removed.len(),
        show_size(pruning.bytes)
    ));
    text.into_string()
}

//! `backup prune`.

use chrono::{DateTime, Utc};
use db_backup::prune::{self, Pruning};
use db_backup::retention::Policy;
use db_backup::{Series, Store};
use db_core::{Clock, SystemClock};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Work, present, store_to_change};
use crate::args::BackupPrune;
use crate::command::Context;
use crate::database::show_size;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document<'p> {
    dir: String,
    dry_run: bool,
    policy: Policy,
    #[serde(flatten)]
    pruning: &'p Pruning,
}

pub(super) fn run(context: &Context<'_>, options: &BackupPrune) -> Result<Code, Error> {
    let file = context.file()?;
    let policy = file.backup.policy(&options.keep);
    if policy.is_none() {
        return Err(Error::usage(
            "every rule is switched off (0), and without one nothing would be removed",
            "give at least one of --keep-days, --keep-last, … a number from 1; one backup is removed by \
             `bitcraps-db backup remove NAME`",
        ));
    }
    let store = store_to_change(context, &options.place, &file.backup)?;
    present(&*store)?;
    let now = SystemClock.now();
    let of = options.of.as_deref();
    let meant = |series: &Series| of.is_none_or(|text| series.is_called(text));
    refuse_nobody(&*store, (of, &meant), now)?;
    let rules: (&Policy, prune::Meant<'_>) = (&policy, &meant);
    let pruning = if options.dry_run {
        prune::plan_series(&*store, rules, now)?
    } else {
        let work = Work::begin(context)?;
        prune::prune_series(&*store, rules, now, (&work.interrupt, &mut |_| {}))?
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

/// Refuses a database that has no backup.
fn refuse_nobody(
    store: &dyn Store,
    (of, meant): (Option<&str>, prune::Meant<'_>),
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(of) = of else {
        return Ok(());
    };
    let status = db_backup::status(store, now)?;
    if status.series.iter().any(|one| meant(&one.series)) {
        return Ok(());
    }
    Err(Error::usage(
        format!("{} holds no backup of {of}", store.location()),
        "`backup list` shows the databases",
    ))
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

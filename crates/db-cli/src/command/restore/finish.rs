//! `restore --finish`: a file that an earlier restore has proven gets its place.

use std::path::Path;

use db_backup::RestoreOptions;
use db_core::{DatabaseUrl, folder};

use super::{agree_to_replace, remark, target, tell};
use crate::args::Restore;
use crate::command::Context;
use crate::command::backup::{Work, invariants};
use crate::error::Error;
use crate::exit::Code;

pub(super) fn run(context: &Context<'_>, options: &Restore, waiting: &Path) -> Result<Code, Error> {
    let settings = &context.file()?.backup;
    let given = options.target.as_deref().map(target).transpose()?;
    let given = match &given {
        None => None,
        Some(DatabaseUrl::SqliteFile(path)) => Some(path.as_path()),
        Some(url) => {
            return Err(Error::usage(
                format!("{} is a SQLite file, and {url} is none", waiting.display()),
                "name a file with --target",
            ));
        }
    };
    let place = db_backup::place_of_waiting(waiting, given)?;
    let is_agreed = agree_to_replace(context, options, &place, &waiting.display().to_string())?;
    let restore = RestoreOptions::new()
        .with_key(context.job_beside()?.key)
        .with_level(options.check.or(settings.check).unwrap_or_default().into())
        .with_accept_unsound(options.accept_unsound)
        .with_invariants(invariants::of_copy())
        .with_replace(is_agreed);
    let mut work = Work::begin(context)?;
    let restore = restore.with_interrupt(work.interrupt.clone());
    let done =
        db_backup::finish_restore(waiting, Some(&place), &restore, &mut |p| work.phases.at(p));
    work.phases.finish();
    remark(context, options, &done);
    tell(
        context,
        folder::of(waiting).display().to_string(),
        (done?, None),
    )?;
    Ok(Code::Done)
}

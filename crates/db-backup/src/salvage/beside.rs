//! What lies over the pages of a damaged file: its write-ahead log, or else the journal of a
//! transaction that did not end.

use std::fs::{self, File};
use std::path::Path;

use db_core::Interrupt;

use super::copy::Copy;
use super::pages::Overlay;
use super::{journal, wal};
use crate::Error;

/// A file, and what in it is to be read in place of the database's own pages.
type Over = (File, Overlay);

/// What is to be read in place of the file's own pages, and what is to be said of its journal;
/// `by_sql` if it is SQLite that reads them, and rolls back what it is let see.
pub(super) fn lies_over(
    copied: &Copy,
    by_sql: bool,
    interrupt: &Interrupt,
) -> Result<(Option<Over>, Option<String>), Error> {
    let log = match &copied.log {
        Some(log) => {
            let file = open(log)?;
            wal::read(&file, interrupt)?.map(|overlay| (file, overlay))
        }
        None => None,
    };
    let (journal, told) = before_the_end(copied, log.is_some(), by_sql)?;
    Ok((log.or(journal), told))
}

/// The pages that a transaction which did not end has changed, as they were before it, and what is
/// to be said of the journal. One that SQLite must not see is put out of its way.
fn before_the_end(
    copied: &Copy,
    has_log: bool,
    by_sql: bool,
) -> Result<(Option<Over>, Option<String>), Error> {
    let Some(path) = &copied.journal else {
        return Ok((None, None));
    };
    let file = open(path)?;
    let hide = || {
        let hidden = path.with_file_name("damaged.journal");
        fs::rename(path, &hidden).map_err(|e| Error::io("rename", path, e))
    };
    let said = match journal::read(&file)? {
        journal::Found::Ended => return Ok((None, None)),
        journal::Found::EndedTogether => {
            hide()?;
            "not used: the transaction has ended, in all of its files"
        }
        journal::Found::Damaged => {
            hide()?;
            "not used: it is damaged; what a transaction that did not end has changed is as it left it"
        }
        journal::Found::Hot(_) if has_log => {
            hide()?;
            "not used: the write-ahead log is newer"
        }
        journal::Found::Hot(hot) if by_sql && hot.has_super => {
            hide()?;
            "not used: it names a journal of several files, which SQLite would open; what a \
             transaction that did not end has changed is as it left it"
        }
        journal::Found::Hot(hot) => {
            if hot.has_super {
                hide()?;
            }
            let mut said = format!(
                "rolled back: {} pages of a transaction that did not end",
                hot.overlay.content.len()
            );
            if hot.is_cut {
                said.push_str(", as far as it is whole");
            }
            return Ok((Some((file, hot.overlay)), Some(said)));
        }
    };
    Ok((None, Some(said.to_owned())))
}

pub(super) fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|e| Error::io("open", path, e))
}

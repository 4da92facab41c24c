//! Reading what is readable of a damaged SQLite file into a new one.
//!
//! The damaged file is never written, and opened only when nobody else has it open; all reading is
//! done on a private copy beside the target. Pages are read as they lie in the file: from the roots
//! down, and where the way is broken, leaves that nobody points to are given to the one table that
//! misses them. Rows that fit nowhere, or that their table refuses, go into `lost_and_found`, with
//! where they were found. A page that is free holds deleted rows, and is left out. Over the file lies
//! its write-ahead log, or the journal of a transaction that did not end.
//!
//! An encrypted file cannot be read so: SQLite reads it, row by row from both ends of each table and
//! around what is damaged.

mod beside;
mod copy;
mod definition;
mod journal;
mod pages;
mod record;
mod report;
mod schema;
mod scratch;
mod sql;
mod target;
mod tree;
mod wal;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use db_core::{Access, Connection, DatabaseUrl, EncryptionKey, Interrupt};

pub use report::{Failed, Report, TableReport, Unreadable};

use crate::Error;
use crate::store::draft::{rename_new, sync_folder};
use beside::open;
use pages::{Pages, TABLE_INTERIOR, TABLE_LEAF};
use record::{Budget, leaf};
use schema::{Entry, Kind, Schema};
use scratch::Scratch;
use target::{Stray, Table, Target};
use tree::{Forest, Others, Root};

/// Rows between two looks at an interrupt.
const ROWS_BETWEEN_LOOKS: usize = 1_000;

/// What to salvage, and into what.
#[derive(Debug, Clone)]
pub struct Options<'o> {
    /// The damaged file.
    pub database: PathBuf,
    /// The new file; it must not exist.
    pub to: PathBuf,
    /// The key of an encrypted file; the new one is encrypted with it, too.
    pub key: Option<&'o EncryptionKey>,
    /// Let SQLite read the file, as for an encrypted one.
    pub by_sql: bool,
}

/// How far a salvage has come: pages with rows that are read, of all pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pages that are done.
    pub done: u64,
    /// Pages of the file.
    pub total: u64,
}

/// Salvages a file.
///
/// # Errors
/// [`Error::Refused`] if the target exists, [`Error::Locked`] if somebody has the file open,
/// [`Error::Interrupted`], [`Error::Io`]; [`Error::Unsound`] if the new file does not pass its own
/// check. There is no target then.
pub fn salvage(
    options: &Options<'_>,
    interrupt: &Interrupt,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let start = Instant::now();
    if options.to.symlink_metadata().is_ok() {
        return Err(Error::refused(
            format!("{} exists", options.to.display()),
            "name a file that does not exist yet",
        ));
    }
    let scratch = Scratch::new_in(db_core::folder::of(&options.to))?;
    let source = options
        .database
        .canonicalize()
        .map_err(|e| Error::io("find", &options.database, e))?;
    let copied = copy::take(&source, scratch.path(), interrupt)?;
    let by_sql = options.key.is_some() || options.by_sql;
    let (over, journal) = beside::lies_over(&copied, by_sql, interrupt)?;
    let draft = scratch.path().join("salvaged.db");
    let mut report = if by_sql {
        // SQLite reads the log and the journal by itself.
        sql::read(&copied.database, &draft, options.key, interrupt)?
    } else {
        let file = open(&copied.database)?;
        let pages = Pages::open(file, over, interrupt)?;
        Run {
            pages: &pages,
            interrupt,
            on_progress,
            read: 0,
        }
        .read(&draft)?
    };
    report.journal = journal;
    report.unreadable_bytes = copied.unreadable_bytes;
    report.unreadable.clone_from(&copied.unreadable);
    // The copy is not needed any more, and may be changed.
    report.damage = diagnose(&copied.database, options.key, interrupt);
    if report.damage.is_empty() && report.is_empty_file() {
        report.damage.push("the file is empty".to_owned());
    }
    publish(&draft, &options.to)?;
    report.source = options.database.display().to_string();
    report.target = options.to.display().to_string();
    report.duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// What SQLite itself says of a file; nothing if it finds it sound.
fn diagnose(path: &Path, key: Option<&EncryptionKey>, interrupt: &Interrupt) -> Vec<String> {
    let url = DatabaseUrl::SqliteFile(path.to_owned());
    let found = Connection::open_encrypted(&url, Access::ReadWrite, interrupt, key)
        .map_err(|e| Error::database("open", e))
        .and_then(|mut connection| sql::findings(&mut connection));
    match found {
        Ok(lines) => lines,
        Err(Error::Database { error, .. }) => {
            let scratch = path.display().to_string();
            let said = error
                .message()
                .replace(&format!("sqlite://{scratch}"), &scratch);
            vec![said.replace(&scratch, "the file")]
        }
        Err(error) => vec![error.to_string()],
    }
}

/// One salvage, page by page.
struct Run<'r> {
    pages: &'r Pages,
    interrupt: &'r Interrupt,
    on_progress: &'r mut dyn FnMut(Progress),
    read: u64,
}

/// A table of the old schema, and what it is in the new one.
struct Planned<'p> {
    entry: &'p Entry,
    table: Option<Table>,
}

impl Run<'_> {
    fn read(mut self, draft: &Path) -> Result<Report, Error> {
        let header = self.pages.header;
        let Schema {
            entries,
            is_whole,
            pages: schema_pages,
        } = schema::read(self.pages)?;
        let mut report = Report {
            page_size: header.page_size,
            pages: self.pages.count(),
            header_is_intact: header.is_intact,
            schema_is_whole: is_whole,
            ..Report::default()
        };
        let mut target = Target::create(draft, &header, None, self.interrupt)?;
        let planned = define_tables(&mut target, &entries, &mut report)?;
        let roots = planned
            .iter()
            .map(|planned| root(self.pages, planned))
            .collect::<Result<Vec<Root>, Error>>()?;
        let indexes: Vec<u32> = entries
            .iter()
            .filter(|e| e.kind == Kind::Index && e.root > 0)
            .map(|e| e.root)
            .collect();
        let others = Others {
            indexes: &indexes,
            schema: &schema_pages,
            with_keyed: !is_whole,
        };
        let forest = tree::explore(self.pages, &roots, &others)?;
        report.freelist_is_whole = forest.freelist_is_whole;
        self.pour_tables(&mut target, &planned, &forest, &mut report)?;
        self.pour_orphans(&mut target, &forest, &mut report)?;
        define_rest(&mut target, &entries, &mut report)?;
        finish(target, &mut report)?;
        Ok(report)
    }

    fn pour_tables(
        &mut self,
        target: &mut Target,
        planned: &[Planned<'_>],
        forest: &Forest,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut budget = Budget::of(self.pages);
        for (planned, found) in planned.iter().zip(&forest.tables) {
            let name = &planned.entry.name;
            if is_internal(name) && name != SEQUENCE {
                // ANALYZE makes them anew.
                continue;
            }
            let mut told = TableReport {
                name: name.clone(),
                lost_pages: found.lost_pages,
                adopted_pages: found.adopted,
                damaged_cells: found.damaged_cells,
                ..TableReport::default()
            };
            for &number in &found.pages {
                let stray = Stray {
                    root: planned.entry.root,
                    page: number,
                    table: Some(name),
                    reason: "",
                };
                let table = planned.table.as_ref();
                self.pour(target, (table, stray), &mut budget, &mut told)?;
            }
            report.lost_and_found_rows += told.refused_rows;
            if !is_internal(name) {
                report.tables.push(told);
            }
        }
        Ok(())
    }

    fn pour_orphans(
        &mut self,
        target: &mut Target,
        forest: &Forest,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut budget = Budget::of(self.pages);
        for orphan in &forest.orphans {
            let stray = Stray {
                root: orphan.root,
                page: orphan.page,
                table: None,
                reason: if forest.freelist_is_whole {
                    "nothing leads to its page"
                } else {
                    "nothing leads to its page; it may have been deleted"
                },
            };
            let mut told = TableReport::default();
            self.pour(target, (None, stray), &mut budget, &mut told)?;
            report.lost_and_found_rows += told.refused_rows;
        }
        Ok(())
    }

    /// Puts the rows of one page where they belong.
    fn pour(
        &mut self,
        target: &mut Target,
        (table, stray): (Option<&Table>, Stray<'_>),
        budget: &mut Budget,
        told: &mut TableReport,
    ) -> Result<(), Error> {
        self.read += 1;
        (self.on_progress)(Progress {
            done: self.read,
            total: self.pages.count().into(),
        });
        let Some(page) = self.pages.read(stray.page)? else {
            return Ok(());
        };
        let found = leaf(self.pages, stray.page, &page, budget)?;
        told.damaged_cells += found.damaged;
        for (at, row) in found.rows.iter().enumerate() {
            if at % ROWS_BETWEEN_LOOKS == 0 && self.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            let refused = match table {
                Some(table) if is_internal(&table.name) => set_sequence(target, row)?,
                Some(table) => target.insert(table, row)?,
                None => Some(stray.reason.to_owned()),
            };
            match refused {
                None => told.rows += 1,
                Some(reason) => {
                    told.refused_rows += 1;
                    let reason = reason.as_str();
                    target.keep_stray(Stray { reason, ..stray }, row)?;
                }
            }
        }
        Ok(())
    }
}

fn root(pages: &Pages, planned: &Planned<'_>) -> Result<Root, Error> {
    let page = planned.entry.root;
    let has_rowid = match &planned.table {
        Some(table) => table.has_rowid,
        // Its definition is damaged; its root tells.
        None => pages.read(page)?.is_none_or(|content| {
            matches!(record::kind(page, &content), TABLE_LEAF | TABLE_INTERIOR)
        }),
    };
    Ok(Root {
        page,
        columns: planned
            .table
            .as_ref()
            // Any row of two values would look like one of its.
            .filter(|table| !is_internal(&table.name))
            .map_or(0, Table::width),
        has_rowid,
    })
}

/// Makes the tables; one whose definition is damaged has no rows of its own, they are strays.
fn define_tables<'e>(
    target: &mut Target,
    entries: &'e [Entry],
    report: &mut Report,
) -> Result<Vec<Planned<'e>>, Error> {
    let mut planned = Vec::new();
    let tables = entries.iter().filter(|e| e.kind == Kind::Table);
    for entry in tables {
        if entry.root == 0 {
            report.fail(entry, "a virtual table; its content is in its own tables");
            continue;
        }
        if is_internal(&entry.name) {
            // Statistics are planned so that their pages belong to somebody; their rows stay behind.
            planned.push((entry, false));
            continue;
        }
        match target.define(entry)? {
            None => planned.push((entry, true)),
            Some(reason) => {
                report.fail(entry, &reason);
                planned.push((entry, false));
            }
        }
    }
    planned
        .into_iter()
        .map(|(entry, is_defined)| {
            let table = if is_defined || entry.name == SEQUENCE {
                let table = target.table(&entry.name)?;
                (table.width() > 0).then_some(table)
            } else {
                None
            };
            Ok(Planned { entry, table })
        })
        .collect()
}

/// Makes indexes, views and triggers, when no row can trip over them any more.
fn define_rest(target: &mut Target, entries: &[Entry], report: &mut Report) -> Result<(), Error> {
    for kind in [Kind::Index, Kind::View, Kind::Trigger] {
        let wanted = entries.iter().filter(|e| e.kind == kind);
        // What a constraint makes is there already.
        for entry in wanted.filter(|e| !is_internal(&e.name)) {
            if let Some(reason) = target.define(entry)? {
                report.fail(entry, &reason);
            }
        }
    }
    Ok(())
}

/// Ends the new file, which has to be in order.
fn finish(mut target: Target, report: &mut Report) -> Result<(), Error> {
    let (unsound, orphans) = target.finish()?;
    report.foreign_keys = orphans;
    report.lost_and_found = target.lost_table().map(ToOwned::to_owned);
    if unsound.is_empty() {
        return Ok(());
    }
    Err(Error::Unsound {
        name: "the new file".to_owned(),
        findings: unsound,
    })
}

const SEQUENCE: &str = "sqlite_sequence";

/// Whether SQLite makes it by itself.
fn is_internal(name: &str) -> bool {
    name.get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
}

/// Takes over what AUTOINCREMENT has given away; `Some` is why it cannot.
fn set_sequence(target: &mut Target, row: &record::Row) -> Result<Option<String>, Error> {
    let refused = || Ok(Some("it is no row of sqlite_sequence".to_owned()));
    let [record::Value::Text(name), record::Value::Integer(last)] = row.values.as_slice() else {
        return refused();
    };
    let Ok(name) = std::str::from_utf8(name) else {
        return refused();
    };
    if name.contains('\0') {
        return refused();
    }
    let name = name.replace('\'', "''");
    target.execute(&format!(
        "UPDATE sqlite_sequence SET seq = max(seq, {last}) WHERE name = '{name}';
         INSERT INTO sqlite_sequence (name, seq) SELECT '{name}', {last}
         WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '{name}')
           AND EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '{name}')"
    ))?;
    Ok(None)
}

/// Puts the finished file under its name, durably and without replacing anything.
fn publish(draft: &Path, to: &Path) -> Result<(), Error> {
    let failed = |e| Error::io("write", to, e);
    File::open(draft)
        .and_then(|f| f.sync_all())
        .map_err(failed)?;
    rename_new(draft, to).map_err(failed)?;
    sync_folder(to)
}

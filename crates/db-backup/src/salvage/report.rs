//! What was salvaged, and what is lost.

use serde::Serialize;

use super::schema::{Entry, Kind};

/// The outcome of a salvage.
#[derive(Debug, Clone, Default, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The damaged file.
    pub source: String,
    /// The new one.
    pub target: String,
    /// What SQLite says is wrong with the damaged file, the first lines; nothing if it is sound.
    pub damage: Vec<String>,
    /// Bytes.
    pub page_size: u32,
    /// Pages of the damaged file; 0 if SQLite read it.
    pub pages: u32,
    /// Whether the file begins as it should.
    pub header_is_intact: bool,
    /// Whether every definition could be read.
    pub schema_is_whole: bool,
    /// Whether it is known which pages are free. If not, rows without a table may have been deleted.
    pub freelist_is_whole: bool,
    /// Table by table, in the order of the schema.
    pub tables: Vec<TableReport>,
    /// The table of rows that fit nowhere.
    pub lost_and_found: Option<String>,
    /// How many it has.
    pub lost_and_found_rows: u64,
    /// What could not be made.
    pub failed: Vec<Failed>,
    /// What the disk did not give back, as many as fit here.
    pub unreadable: Vec<Unreadable>,
    /// How many bytes these and others are.
    pub unreadable_bytes: u64,
    /// What became of the rollback journal beside the file, if there was one.
    pub journal: Option<String>,
    /// Rows whose parent is lost.
    pub foreign_keys: Vec<String>,
    /// The whole time.
    pub duration_ms: u64,
}

/// What became of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// Rows that are in the new file.
    pub rows: u64,
    /// Rows that the table refused; they are in `lost_and_found`.
    pub refused_rows: u64,
    /// Rows, and ways to pages, that make no sense any more: lost.
    pub damaged_cells: usize,
    /// Pages that cannot be read or reached.
    pub lost_pages: usize,
    /// Pages that nobody led to and that fit only here. They make up for lost ones.
    pub adopted_pages: usize,
}

impl TableReport {
    /// Whether nothing of it can be missing.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.refused_rows == 0 && self.damaged_cells == 0 && self.lost_pages == 0
    }
}

/// A part of a file that could not be read: an error of the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Unreadable {
    /// `database`, `log` or `journal`.
    pub file: &'static str,
    /// Where it begins.
    pub from: u64,
    /// How long it is.
    pub bytes: u64,
}

/// Something of the schema that is not in the new file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct Failed {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// Whether nothing can be missing, as far as the file tells.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.schema_is_whole
            && self.lost_and_found_rows == 0
            && self.unreadable_bytes == 0
            && self.failed.is_empty()
            && self.tables.iter().all(TableReport::is_whole)
    }

    /// Whether there is nothing in the file at all, which SQLite takes for a database without a table.
    pub(super) const fn is_empty_file(&self) -> bool {
        self.pages == 0 && self.tables.is_empty() && !self.header_is_intact
    }

    pub(super) fn fail(&mut self, entry: &Entry, reason: &str) {
        self.failed.push(Failed {
            kind: match entry.kind {
                Kind::Table => "table",
                Kind::Index => "index",
                Kind::View => "view",
                Kind::Trigger => "trigger",
            },
            name: entry.name.clone(),
            reason: reason.to_owned(),
        });
    }
}

//! The schema of a damaged file.

use std::collections::HashSet;

use super::pages::{Encoding, Pages};
use super::record::{Budget, Row, Value, leaf};
use super::tree::{self, Root};
use crate::Error;

/// A table, index, view or trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) root: u32,
    /// Empty for an index that a constraint makes.
    pub(super) sql: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Index,
    View,
    Trigger,
}

/// What could be read of the schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) entries: Vec<Entry>,
    /// Whether all of it could be read.
    pub(super) is_whole: bool,
    /// The leaves that it lies on.
    pub(super) pages: Vec<u32>,
}

/// The columns of `sqlite_schema`: type, name, `tbl_name`, rootpage, sql.
const COLUMNS: usize = 5;

pub(super) fn read(pages: &Pages) -> Result<Schema, Error> {
    let root = Root {
        page: 1,
        columns: COLUMNS,
        has_rowid: true,
    };
    let mut budget = Budget::of(pages);
    let mut rows = Vec::new();
    let found = tree::below(pages, root)?;
    let mut is_whole = found.lost_pages == 0 && found.damaged_cells == 0;
    let mut own = Vec::new();
    for &number in &found.pages {
        let Some(page) = pages.read(number)? else {
            continue;
        };
        let found = leaf(pages, number, &page, &mut budget)?;
        is_whole &= found.damaged == 0;
        if is_mostly_entries(&found.rows) {
            own.push(number);
        }
        rows.extend(found.rows);
    }
    if !is_whole {
        for (page, stray) in tree::stray_schema(pages)? {
            own.push(page);
            rows.extend(stray);
        }
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut names = HashSet::new();
    for row in &rows {
        match entry(row, pages.header.encoding) {
            Some(entry) if names.insert(entry.name.clone()) => entries.push(entry),
            Some(_) => {}
            None => is_whole = false,
        }
    }
    Ok(Schema {
        entries,
        is_whole,
        pages: own,
    })
}

/// Whether a page with these rows is one of the schema.
pub(super) fn is_mostly_entries(rows: &[Row]) -> bool {
    let entries = rows.iter().filter(|row| is_entry(&row.values));
    !rows.is_empty() && entries.count() * 2 > rows.len()
}

/// Whether a row can be one of the schema.
fn is_entry(values: &[Value]) -> bool {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    let [kind, name, table, root, sql] = values else {
        return false;
    };
    is_text(kind)
        && is_text(name)
        && is_text(table)
        && matches!(root, Value::Integer(page) if *page >= 0)
        && matches!(sql, Value::Null | Value::Text(_))
        && [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be]
            .into_iter()
            .any(|encoding| kind_of(&text(kind, encoding)).is_some())
}

fn entry(row: &Row, encoding: Encoding) -> Option<Entry> {
    let [kind, name, _, root, sql] = row.values.as_slice() else {
        return None;
    };
    let kind = kind_of(&text(kind, encoding))?;
    let root = match root {
        Value::Integer(page) => u32::try_from(*page).ok()?,
        // Views and triggers have none.
        Value::Null => 0,
        _ => return None,
    };
    Some(Entry {
        kind,
        name: text(name, encoding),
        root,
        sql: text(sql, encoding),
    })
}

fn kind_of(word: &str) -> Option<Kind> {
    match word {
        "table" => Some(Kind::Table),
        "index" => Some(Kind::Index),
        "view" => Some(Kind::View),
        "trigger" => Some(Kind::Trigger),
        _ => None,
    }
}

/// Text in the encoding of the file; what is no character becomes a replacement.
pub(super) fn text(value: &Value, encoding: Encoding) -> String {
    let Value::Text(bytes) = value else {
        return String::new();
    };
    let units = |from: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2).map(|pair| from([pair[0], pair[1]]));
        char::decode_utf16(pairs)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect()
    };
    match encoding {
        Encoding::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Encoding::Utf16Le => units(u16::from_le_bytes),
        Encoding::Utf16Be => units(u16::from_be_bytes),
    }
}

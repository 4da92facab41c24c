//! One row as a file has it: its values, and where each of them stands.

use std::fmt;

/// A place in a file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The character in the line.
    pub column: u64,
}

impl Place {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value as a form can tell it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Nothing: an empty field of CSV, `null` of JSON.
    Null,
    /// A field of CSV without quotes; never empty.
    Bare(&'a [u8]),
    /// A field of CSV that stood in quotes, without them.
    Quoted(&'a [u8]),
    /// `true` or `false` of JSON.
    Bool(bool),
    /// A number of JSON, as it is written.
    Number(&'a [u8]),
    /// A string of JSON; through `{"$text": ..}` it may be no UTF-8.
    Text(&'a [u8]),
    /// `{"$blob": ..}`.
    Blob(&'a [u8]),
    /// `{"$real": ..}`: what is no number in JSON.
    Special(f64),
    /// An object or array of JSON, as compact JSON.
    Json(&'a [u8]),
}

impl Value<'_> {
    /// The value for a message, shortened.
    pub fn shown(&self) -> String {
        const MOST: usize = 60;
        let bytes = match *self {
            Self::Null => return "NULL".to_owned(),
            Self::Bool(value) => return value.to_string(),
            Self::Special(value) => return value.to_string(),
            Self::Blob(bytes) => return format!("a blob of {} bytes", bytes.len()),
            Self::Number(bytes) | Self::Json(bytes) => {
                return cut(&String::from_utf8_lossy(bytes), MOST);
            }
            Self::Bare(bytes) | Self::Quoted(bytes) | Self::Text(bytes) => bytes,
        };
        let start = &bytes[..bytes.len().min(MOST * 4 + 4)];
        format!("{:?}", cut(&String::from_utf8_lossy(start), MOST))
    }
}

/// A text of at most so many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    /// NULL, of which the row does not speak.
    Absent,
    Bare,
    Quoted,
    False,
    True,
    Number,
    Text,
    Blob,
    NotANumber,
    Infinity,
    NegativeInfinity,
    Json,
}

/// Where a cell stands.
#[derive(Debug, Clone, Copy)]
enum At {
    /// So many bytes behind the start of the record, whose text is kept.
    Offset(usize),
    /// There.
    Place(Place),
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    kind: Kind,
    start: usize,
    end: usize,
    at: At,
}

/// A row of a file. It is filled again and again, so that its memory is used again.
#[derive(Debug, Default)]
pub struct Record {
    /// The bytes that cells are made of. CSV keeps its text here first, as it stands in the file.
    pub(crate) bytes: Vec<u8>,
    cells: Vec<Cell>,
    line: u64,
}

impl Record {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The line on which it begins.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// One of its values; what is not there is NULL.
    #[must_use]
    pub fn value(&self, index: usize) -> Value<'_> {
        let Some(cell) = self.cells.get(index) else {
            return Value::Null;
        };
        let bytes = &self.bytes[cell.start..cell.end];
        match cell.kind {
            Kind::Null | Kind::Absent => Value::Null,
            Kind::Bare => Value::Bare(bytes),
            Kind::Quoted => Value::Quoted(bytes),
            Kind::False => Value::Bool(false),
            Kind::True => Value::Bool(true),
            Kind::Number => Value::Number(bytes),
            Kind::Text => Value::Text(bytes),
            Kind::Blob => Value::Blob(bytes),
            Kind::NotANumber => Value::Special(f64::NAN),
            Kind::Infinity => Value::Special(f64::INFINITY),
            Kind::NegativeInfinity => Value::Special(f64::NEG_INFINITY),
            Kind::Json => Value::Json(bytes),
        }
    }

    /// Whether the row does not speak of a value that other rows have, which reads as NULL.
    #[must_use]
    pub fn is_absent(&self, index: usize) -> bool {
        let cell = self.cells.get(index);
        cell.is_some_and(|cell| cell.kind == Kind::Absent)
    }

    /// Where a value stands.
    #[must_use]
    pub fn place(&self, index: usize) -> Place {
        match self.cells.get(index).map(|cell| cell.at) {
            Some(At::Place(place)) => place,
            Some(At::Offset(offset)) => {
                let before = &self.bytes[..offset];
                let lines = memchr::memchr_iter(b'\n', before).count();
                let line = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
                let characters = String::from_utf8_lossy(&before[line..]).chars().count();
                Place {
                    line: self.line + lines as u64,
                    column: characters as u64 + 1,
                }
            }
            None => Place {
                line: self.line,
                column: 1,
            },
        }
    }

    pub(crate) fn clear(&mut self, line: u64) {
        self.bytes.clear();
        self.cells.clear();
        self.line = line;
    }

    /// A cell of CSV, whose text begins `offset` bytes behind the start of the record.
    pub(crate) fn push_field(&mut self, kind: Kind, start: usize, end: usize, offset: usize) {
        self.cells.push(Cell {
            kind,
            start,
            end,
            at: At::Offset(offset),
        });
    }

    pub(crate) fn push(&mut self, kind: Kind, start: usize, place: Place) {
        self.cells.push(Cell {
            kind,
            start,
            end: self.bytes.len(),
            at: At::Place(place),
        });
    }

    /// Makes room for `columns` cells that are set in any order; those that are not are absent from
    /// what begins at `place`.
    pub(crate) fn absent(&mut self, columns: usize, place: Place) {
        let cell = Cell {
            kind: Kind::Absent,
            start: 0,
            end: 0,
            at: At::Place(place),
        };
        self.cells.resize(columns, cell);
    }

    /// Moves the last cell, which [`push`](Self::push) added, to its place.
    pub(crate) fn put_last_at(&mut self, index: usize) {
        if let Some(cell) = self.cells.pop()
            && let Some(slot) = self.cells.get_mut(index)
        {
            *slot = cell;
        }
    }

    /// Writes quoted fields anew that hold quotes, each given as cell, start and end.
    pub(crate) fn unquote(&mut self, fields: &[(usize, usize, usize)]) {
        for &(index, start, end) in fields {
            let from = self.bytes.len();
            let mut at = start;
            while let Some(found) = memchr::memchr(b'"', &self.bytes[at..end]) {
                self.bytes.extend_from_within(at..=at + found);
                at += found + 2;
            }
            self.bytes.extend_from_within(at.min(end)..end);
            if let Some(cell) = self.cells.get_mut(index) {
                (cell.start, cell.end) = (from, self.bytes.len());
            }
        }
    }
}

//! Reads comma-separated values, in constant memory.

use std::io::Read;

use memchr::{memchr, memchr3};

use crate::format::buffer::Buffer;
use crate::format::limits::Limits;
use crate::format::malformed::ReadError;
use crate::format::record::{Kind, Place, Record, Value};

const BOM: &[u8] = &[0xef, 0xbb, 0xbf];
const DELIMITER: u8 = b',';

/// Reads records of RFC 4180, the header among them.
///
/// Line ends are CRLF or LF, a byte order mark is passed over, and an empty line is no record where
/// there are several columns. What stands in quotes may hold line ends.
pub struct CsvReader<R> {
    buffer: Buffer<R>,
    limits: Limits,
    line: u64,
    begun: bool,
    /// Fields of each record; 0 until the first is read.
    columns: usize,
}

/// How far the attempt to read one record came.
enum Attempt {
    /// It takes so many bytes and lines, its line end included.
    Record { bytes: usize, lines: u64 },
    /// The window ends before the record does.
    Short {
        /// Where the field that is not finished begins, in bytes from the start of the record.
        field: usize,
        /// Whether that field stands in quotes.
        quoted: bool,
    },
    /// Something is wrong so many bytes behind the start.
    Wrong { at: usize, problem: &'static str },
}

impl<R: Read> CsvReader<R> {
    /// Reads from the start of a file.
    pub fn new(from: R, limits: Limits) -> Self {
        Self {
            buffer: Buffer::new(from),
            limits,
            line: 1,
            begun: false,
            columns: 0,
        }
    }

    /// Reads the next record; false at the end.
    ///
    /// # Errors
    /// [`ReadError`]; after one that is resumable the next call goes on with the next record.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        if !self.begun {
            self.begin()?;
        }
        loop {
            if self.buffer.rest().is_empty() {
                if self.buffer.is_done() {
                    return Ok(false);
                }
                self.buffer.more()?;
                continue;
            }
            if self.columns > 1 && self.empty_line()? {
                continue;
            }
            record.clear(self.line);
            let last = self.buffer.is_done();
            match attempt(self.buffer.rest(), last, self.limits.columns, record) {
                Attempt::Record { bytes, lines } => {
                    // The window may have held the whole of it at once.
                    if bytes > self.limits.value {
                        self.fits(record, bytes)?;
                    }
                    self.buffer.consume(bytes);
                    self.line += lines;
                    return self.counted(record);
                }
                Attempt::Short { field, quoted } => {
                    self.within_limits(field)?;
                    if last && quoted {
                        let problem = "the quotes that begin here never end";
                        return Err(ReadError::at(self.place(field), problem));
                    }
                    self.buffer.more()?;
                }
                Attempt::Wrong { at, problem } => {
                    return Err(ReadError::at(self.place(at), problem));
                }
            }
        }
    }

    /// Passes over a byte order mark, and refuses what is no UTF-8 at all.
    fn begin(&mut self) -> Result<(), ReadError> {
        self.begun = true;
        self.buffer.more()?;
        let start = self.buffer.rest();
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            let problem = "this is UTF-16; save it as UTF-8";
            return Err(ReadError::at(Place::START, problem));
        }
        if start.starts_with(BOM) {
            self.buffer.consume(BOM.len());
        }
        Ok(())
    }

    /// Passes over a line without anything, which is no record of several columns.
    fn empty_line(&mut self) -> Result<bool, ReadError> {
        if self.buffer.rest() == b"\r" && !self.buffer.is_done() {
            self.buffer.more()?;
        }
        let length = match self.buffer.rest() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return Ok(false),
        };
        self.buffer.consume(length);
        self.line += 1;
        Ok(true)
    }

    fn within_limits(&self, field: usize) -> Result<(), ReadError> {
        let length = self.buffer.rest().len();
        let problem = if length - field > self.limits.value {
            self.long_field()
        } else if length > self.limits.row {
            self.long_row()
        } else {
            return Ok(());
        };
        Err(ReadError::at(self.place(field), problem))
    }

    /// The same of a record that was read.
    fn fits(&self, record: &Record, bytes: usize) -> Result<(), ReadError> {
        let long = |index: &usize| match record.value(*index) {
            Value::Bare(text) | Value::Quoted(text) => text.len() > self.limits.value,
            _ => false,
        };
        if let Some(index) = (0..record.len()).find(long) {
            return Err(ReadError::at(record.place(index), self.long_field()));
        }
        if bytes > self.limits.row {
            let last = record.len().saturating_sub(1);
            return Err(ReadError::at(record.place(last), self.long_row()));
        }
        Ok(())
    }

    fn long_field(&self) -> String {
        let most = self.limits.value;
        format!("the field that begins here is longer than {most} bytes")
    }

    fn long_row(&self) -> String {
        let most = self.limits.row;
        format!("the row that ends here is longer than {most} bytes")
    }

    /// The first record says how many fields each has.
    fn counted(&mut self, record: &Record) -> Result<bool, ReadError> {
        if self.columns == 0 {
            self.columns = record.len();
        }
        if record.len() == self.columns {
            return Ok(true);
        }
        let place = Place {
            line: record.line(),
            column: 1,
        };
        let problem = format!(
            "{} where the header has {}",
            fields(record.len()),
            fields(self.columns)
        );
        Err(ReadError::of_row(place, problem))
    }

    /// The place so many bytes behind the start of the record.
    fn place(&self, at: usize) -> Place {
        let before = self.buffer.rest().get(..at).unwrap_or_default();
        let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        Place {
            line: self.line + memchr::memchr_iter(b'\n', before).count() as u64,
            column: String::from_utf8_lossy(&before[start..]).chars().count() as u64 + 1,
        }
    }
}

fn fields(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        _ => format!("{count} fields"),
    }
}

/// Reads one record from the start of `text`; `last` says that nothing comes behind it.
fn attempt(text: &[u8], last: bool, most: usize, record: &mut Record) -> Attempt {
    let mut at = 0;
    let mut lines = 0;
    // Quoted fields with quotes in them are written anew, behind the text of the record.
    let mut rewritten = Vec::new();
    let mut fields = 0;
    loop {
        if fields == most {
            let problem = "the row has more columns than any table; is this CSV?";
            return Attempt::Wrong { at, problem };
        }
        fields += 1;
        let end = if text.get(at) == Some(&b'"') {
            let Quoted { end, doubled } = match quoted(text, at + 1, last) {
                Ok(found) => found,
                Err(None) => {
                    return Attempt::Short {
                        field: at,
                        quoted: true,
                    };
                }
                Err(Some(place)) => {
                    let problem = "quotes end here, and the field goes on; write a quote inside a \
                                   field twice";
                    return Attempt::Wrong { at: place, problem };
                }
            };
            let inner = &text[at + 1..end];
            lines += memchr::memchr_iter(b'\n', inner).count() as u64;
            if doubled {
                let index = record.len();
                rewritten.push((index, at + 1, end));
            }
            record.push_field(Kind::Quoted, at + 1, end, at);
            end + 1
        } else {
            let Some(end) = bare(text, at, last) else {
                return Attempt::Short {
                    field: at,
                    quoted: false,
                };
            };
            if text.get(end) == Some(&b'"') {
                let problem = "a quote inside a field that does not begin with one; put the field \
                               into quotes and write the quote twice";
                return Attempt::Wrong { at: end, problem };
            }
            let ends_line = text.get(end) != Some(&DELIMITER);
            let shown = if ends_line && text[at..end].ends_with(b"\r") {
                end - 1
            } else {
                end
            };
            let kind = if shown == at { Kind::Null } else { Kind::Bare };
            record.push_field(kind, at, shown, at);
            end
        };
        match &text[end..] {
            [DELIMITER, ..] => at = end + 1,
            rest => {
                let bytes = end
                    + match rest {
                        [b'\r', b'\n', ..] => 2,
                        [b'\n', ..] | [b'\r'] => 1,
                        _ => 0,
                    };
                record.bytes.extend_from_slice(&text[..end]);
                record.unquote(&rewritten);
                return Attempt::Record {
                    bytes,
                    lines: lines + 1,
                };
            }
        }
    }
}

/// Where a field without quotes ends: at a comma, a line end, the end of the text, or a quote, which
/// must not be there.
fn bare(text: &[u8], from: usize, last: bool) -> Option<usize> {
    match memchr3(DELIMITER, b'\n', b'"', &text[from..]) {
        Some(found) => Some(from + found),
        None => last.then_some(text.len()),
    }
}

struct Quoted {
    /// Where the closing quote stands.
    end: usize,
    /// Whether quotes stand inside.
    doubled: bool,
}

/// Finds the closing quote: one that no other follows.
///
/// `Err(None)` if the text ends before it is sure, `Err(Some(place))` if something stands behind it.
fn quoted(text: &[u8], from: usize, last: bool) -> Result<Quoted, Option<usize>> {
    let (mut at, mut doubled) = (from, false);
    loop {
        let Some(found) = memchr(b'"', &text[at..]) else {
            return Err(None);
        };
        let end = at + found;
        let found = Ok(Quoted { end, doubled });
        match &text[end + 1..] {
            [b'"', ..] => {
                doubled = true;
                at = end + 2;
            }
            [DELIMITER | b'\n', ..] | [b'\r', b'\n', ..] => return found,
            [] | [b'\r'] => return if last { found } else { Err(None) },
            _ => return Err(Some(end + 1)),
        }
    }
}

//! A row of COPY's text format, taken apart.
//! <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2>

use std::ops::Range;

/// The fields of one row; used again for the next, for its memory.
#[derive(Debug, Default)]
pub struct Fields {
    /// The row with its escapes undone.
    bytes: Vec<u8>,
    fields: Vec<Option<Range<usize>>>,
}

impl Fields {
    /// Takes a row apart, with or without its line end.
    pub fn read(&mut self, row: &[u8]) {
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        self.bytes.clear();
        self.fields.clear();
        for field in row.split(|byte| *byte == b'\t') {
            if field == b"\\N" {
                self.fields.push(None);
                continue;
            }
            let start = self.bytes.len();
            unescape(field, &mut self.bytes);
            self.fields.push(Some(start..self.bytes.len()));
        }
    }

    /// How many fields there are; a row without columns has one, which is empty.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether no row was read yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// A field; none where it is NULL, or not there.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let range = self.fields.get(at)?.clone()?;
        self.bytes.get(range)
    }
}

fn unescape(mut field: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr::memchr(b'\\', field) {
        let (plain, rest) = field.split_at(at);
        out.extend_from_slice(plain);
        // The server writes no octal or hexadecimal escapes.
        let (byte, used) = match rest.get(1) {
            Some(b'b') => (b'\x08', 2),
            Some(b'f') => (b'\x0c', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'v') => (b'\x0b', 2),
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        out.push(byte);
        field = rest.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_null_is_no_text() {
        let mut fields = Fields::default();
        fields.read(b"a\\tb\t\\N\t\t\\\\N\tx\\ny\\r\\b\\f\\v\\\\\n");
        let all: Vec<_> = (0..fields.len()).map(|at| fields.get(at)).collect();
        let expected: [Option<&[u8]>; 5] = [
            Some(b"a\tb"),
            None,
            Some(b""),
            Some(b"\\N"),
            Some(b"x\ny\r\x08\x0c\x0b\\"),
        ];
        assert_eq!(all, expected);
        assert_eq!(fields.get(5), None);
        fields.read(b"\n");
        assert_eq!((fields.len(), fields.get(0)), (1, Some(&b""[..])));
    }
}

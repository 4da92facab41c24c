//! A hash of a table's rows that does not depend on their order.
//!
//! Each row is written down in one form, hashed with SHA-256, and the first 128 bits are added up
//! modulo 2^128. A row that is lost, doubled or changed changes the sum.

use sha2::{Digest as _, Sha256};

use crate::convert::{CellRef, Form, json};

/// The rows so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RowsHash {
    pub(super) rows: u64,
    sum: u128,
    row: Vec<u8>,
}

impl RowsHash {
    /// Adds a cell to the row.
    pub(super) fn cell(&mut self, form: Form, cell: CellRef<'_>) {
        let row = &mut self.row;
        match cell {
            CellRef::Null => row.push(0),
            CellRef::Integer(number) => {
                row.push(1);
                row.extend_from_slice(&number.to_le_bytes());
            }
            CellRef::Real(number) => {
                row.push(2);
                // SQLite stores -0.0 as 0.0.
                row.extend_from_slice(&(number + 0.0).to_bits().to_le_bytes());
            }
            CellRef::Text(text) if form == Form::Jsonb => {
                let mut normal = Vec::with_capacity(text.len());
                match json::normal(text, &mut normal) {
                    Ok(()) => bytes(3, &normal, row),
                    // It equals no document, only itself.
                    Err(_) => bytes(5, text, row),
                }
            }
            CellRef::Text(text) => bytes(3, text, row),
            CellRef::Blob(blob) => bytes(4, blob, row),
        }
    }

    /// Adds something that cannot be read: it equals only itself.
    pub(super) fn unreadable(&mut self, raw: &[u8]) {
        bytes(6, raw, &mut self.row);
    }

    /// Ends the row.
    pub(super) fn end_row(&mut self) {
        let digest = Sha256::digest(&self.row);
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(first));
        self.rows += 1;
        self.row.clear();
    }

    /// 32 hexadecimal digits.
    pub(super) fn hex(&self) -> String {
        format!("{:032x}", self.sum)
    }
}

fn bytes(tag: u8, bytes: &[u8], row: &mut Vec<u8>) {
    row.push(tag);
    row.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    row.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&[CellRef<'_>]]) -> String {
        let mut hash = RowsHash::default();
        for row in rows {
            for cell in *row {
                hash.cell(Form::Text, *cell);
            }
            hash.end_row();
        }
        hash.hex()
    }

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let (a, b): (&[_], &[_]) = (
            &[CellRef::Integer(1), CellRef::Text(b"ab")],
            &[CellRef::Integer(2), CellRef::Text(b"")],
        );
        assert_eq!(of(&[a, b]), of(&[b, a]));
        let rows = [a, b];
        for other in [
            &[a][..],
            &[a, b, b],
            &[a, a],
            &[a, &[CellRef::Integer(2), CellRef::Null]],
            &[a, &[CellRef::Integer(2), CellRef::Blob(b"")]],
            &[a, &[CellRef::Real(2.0), CellRef::Text(b"")]],
            &[&[CellRef::Text(b"a"), CellRef::Text(b"b1")], b],
        ] {
            assert_ne!(of(&rows), of(other));
        }
    }

    #[test]
    fn a_zero_has_no_sign() {
        assert_eq!(of(&[&[CellRef::Real(-0.0)]]), of(&[&[CellRef::Real(0.0)]]));
    }

    #[test]
    fn documents_are_compared_by_what_they_say() {
        let of = |text: &[u8]| {
            let mut hash = RowsHash::default();
            hash.cell(Form::Jsonb, CellRef::Text(text));
            hash.end_row();
            hash.hex()
        };
        assert_eq!(of(br#"{"b":1.0,"a":2}"#), of(br#"{ "a": 2, "b": 1 }"#));
        assert_ne!(of(br#"{"a":1}"#), of(br#"{"a":"1"}"#));
    }
}

//! What the reader of CSV makes of texts.

use std::io::{self, Read};

use proptest::prelude::*;

use super::CsvReader;
use crate::format::{Limits, Place, ReadError, Record, Value};

/// Gives a few bytes at a time, so that every window ends somewhere else.
struct Drops<'a>(&'a [u8], usize);

impl Read for Drops<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn told(value: Value<'_>) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bare(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Quoted(bytes) => format!("<{}>", String::from_utf8_lossy(bytes)),
        other => format!("{other:?}"),
    }
}

fn read(text: &[u8]) -> Result<Vec<Vec<String>>, ReadError> {
    let mut reader = CsvReader::new(text, Limits::default());
    let (mut record, mut rows) = (Record::new(), Vec::new());
    while reader.read(&mut record)? {
        rows.push((0..record.len()).map(|i| told(record.value(i))).collect());
    }
    Ok(rows)
}

fn refused(text: &[u8]) -> (Place, String) {
    match read(text) {
        Err(ReadError::Malformed { place, problem, .. }) => (place, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn null_the_empty_text_and_quotes_are_told_apart() {
    let rows = read(b"a,b,c\r\n,\"\",\"x\"\r\n\"a \"\"b\"\"\",\"1,2\",\"l1\r\nl2\"").unwrap();
    assert_eq!(rows[1], ["-", "<>", "<x>"]);
    assert_eq!(rows[2], ["<a \"b\">", "<1,2>", "<l1\r\nl2>"]);
}

#[test]
fn line_ends_marks_and_empty_lines_are_as_people_write_them() {
    let rows = read(b"\xef\xbb\xbfa,b\n1,2\r\n\r\n\n3,\n").unwrap();
    assert_eq!(rows, [["a", "b"], ["1", "2"], ["3", "-"]]);
    // The only field of a row may be NULL.
    assert_eq!(read(b"a\n\n\"\"\n").unwrap(), [["a"], ["-"], ["<>"]]);
    assert!(read(b"").unwrap().is_empty());
}

#[test]
fn a_formula_is_text_like_any_other() {
    let rows = read(b"a,b\n=1+1,@SUM(A1)\n\"=cmd|' /C calc'!A0\",+1\n").unwrap();
    assert_eq!(rows[1], ["=1+1", "@SUM(A1)"]);
    assert_eq!(rows[2], ["<=cmd|' /C calc'!A0>", "+1"]);
}

#[test]
fn what_is_wrong_is_shown_where_it_begins() {
    let (place, problem) = refused(b"a,b\n1,\"x\ny\nz");
    assert_eq!((place.line, place.column), (2, 3));
    assert!(problem.contains("never end"), "{problem}");
    let (place, _) = refused("a,b\nä,x\"y\n".as_bytes());
    assert_eq!((place.line, place.column), (2, 4));
    let (place, _) = refused(b"a,b\n\"l1\nl2\"x,2\n");
    assert_eq!((place.line, place.column), (3, 4));
    let (place, problem) = refused(b"a,b\n1,2\n1,2,3\n");
    assert_eq!((place.line, place.column), (3, 1));
    assert_eq!(problem, "3 fields where the header has 2 fields");
    assert!(refused(b"\xff\xfea\0").1.contains("UTF-16"));
}

#[test]
fn a_row_of_the_wrong_length_is_passed_over_if_the_caller_goes_on() {
    let mut reader = CsvReader::new(&b"a,b\n1\n3,4\n"[..], Limits::default());
    let mut record = Record::new();
    assert!(reader.read(&mut record).unwrap());
    let error = reader.read(&mut record).unwrap_err();
    assert!(matches!(
        error,
        ReadError::Malformed {
            resumable: true,
            ..
        }
    ));
    assert!(reader.read(&mut record).unwrap());
    assert_eq!((told(record.value(0)), record.line()), ("3".to_owned(), 3));
}

#[test]
fn a_field_or_row_beyond_the_limits_is_refused_though_the_window_holds_it() {
    let limits = Limits {
        value: 100,
        row: 150,
        ..Limits::default()
    };
    let row = |fields: &[usize]| {
        let fields: Vec<_> = fields.iter().map(|n| "x".repeat(*n)).collect();
        let text = format!("a,b\n{}\n3,4\n", fields.join(","));
        let (mut record, mut count) = (Record::new(), 0);
        let mut reader = CsvReader::new(text.as_bytes(), limits);
        while reader.read(&mut record)? {
            count += 1;
        }
        Ok::<_, ReadError>(count)
    };
    assert_eq!(row(&[40, 100]).unwrap(), 3);
    let told = |fields: &[usize]| row(fields).unwrap_err().to_string();
    assert_eq!(
        told(&[1, 101]),
        "2:3: the field that begins here is longer than 100 bytes"
    );
    assert_eq!(
        told(&[100, 100]),
        "2:102: the row that ends here is longer than 150 bytes"
    );
}

#[test]
fn a_field_or_row_beyond_the_limits_is_refused_before_it_is_held() {
    let limits = Limits {
        value: 1 << 20,
        columns: 3,
        ..Limits::default()
    };
    let endless = io::repeat(b'x').take(1 << 40);
    let mut reader = CsvReader::new((&b"a\n\""[..]).chain(endless), limits);
    let mut record = Record::new();
    assert!(reader.read(&mut record).unwrap());
    let error = reader.read(&mut record).unwrap_err().to_string();
    assert!(
        error.starts_with("2:1: the field that begins here is longer"),
        "{error}"
    );
    let error = CsvReader::new(&b"a,b,c,d\n"[..], limits).read(&mut record);
    assert!(error.unwrap_err().to_string().contains("more columns"));
}

#[test]
fn places_count_lines_and_characters_inside_quotes_too() {
    let mut reader = CsvReader::new("a,b,c\n\"ü\"\"\n\",ö,x\n".as_bytes(), Limits::default());
    let mut record = Record::new();
    reader.read(&mut record).unwrap();
    reader.read(&mut record).unwrap();
    let places: Vec<_> = (0..3).map(|i| record.place(i).to_string()).collect();
    assert_eq!(places, ["2:1", "3:3", "3:5"]);
}

fn encode(rows: &[Vec<Option<String>>], crlf: bool, always: bool) -> String {
    let mut text = String::new();
    for row in rows {
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            match value {
                None => {}
                Some(value)
                    if !always && !value.is_empty() && !value.contains([',', '"', '\r', '\n']) =>
                {
                    text.push_str(value);
                }
                Some(value) => {
                    text.push('"');
                    text.push_str(&value.replace('"', "\"\""));
                    text.push('"');
                }
            }
        }
        text.push_str(if crlf { "\r\n" } else { "\n" });
    }
    text
}

proptest! {
    /// What was written is read, wherever the windows end.
    #[test]
    fn what_is_written_is_read(
        rows in (2_usize..5).prop_flat_map(|n| prop::collection::vec(
            prop::collection::vec(prop::option::of("[a-c,\"\r\n é=]{0,6}"), n), 1..8)),
        crlf: bool,
        always: bool,
        drop in 1_usize..9,
    ) {
        let text = encode(&rows, crlf, always);
        let mut reader = CsvReader::new(Drops(text.as_bytes(), drop), Limits::default());
        let mut record = Record::new();
        for row in &rows {
            prop_assert!(reader.read(&mut record).unwrap());
            let read: Vec<_> = (0..record.len()).map(|i| match record.value(i) {
                Value::Bare(text) | Value::Quoted(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                _ => None,
            }).collect();
            prop_assert_eq!(&read, row);
        }
        prop_assert!(!reader.read(&mut record).unwrap());
    }

    /// Whatever comes, it is read or refused; it never stops short, and never panics.
    #[test]
    fn any_bytes_are_read_or_refused(text in prop::collection::vec(
        prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200)) {
        let mut reader = CsvReader::new(&text[..], Limits::default());
        let mut record = Record::new();
        loop {
            match reader.read(&mut record) {
                Ok(true) => {
                    for i in 0..record.len() {
                        prop_assert!(record.place(i).line > 0 && !record.value(i).shown().is_empty());
                    }
                }
                Err(ReadError::Malformed { resumable: true, .. }) => {}
                Ok(false) | Err(_) => break,
            }
        }
    }
}

//! What the reader of JSON makes of texts.

use std::io::{self, Read};

use proptest::prelude::*;

use super::{JsonReader, Section};
use crate::format::{Limits, Place, ReadError, Record, Value};

fn told(value: Value<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(bytes) => format!("{:?}", text(bytes)),
        Value::Number(bytes) => text(bytes),
        Value::Json(bytes) => format!("json {}", text(bytes)),
        other => format!("{other:?}"),
    }
}

type Rows = Vec<(Option<String>, Vec<String>, Vec<Vec<String>>)>;

fn read(mut reader: JsonReader<&[u8]>) -> Result<Rows, ReadError> {
    let mut all = Vec::new();
    let mut record = Record::new();
    while let Some(Section { table, columns, .. }) = reader.next_section()? {
        let mut rows = Vec::new();
        while reader.read(&mut record)? {
            rows.push((0..record.len()).map(|i| told(record.value(i))).collect());
        }
        all.push((table, columns, rows));
    }
    Ok(all)
}

fn document(text: &str) -> Result<Rows, ReadError> {
    read(JsonReader::new(text.as_bytes(), Limits::default()))
}

fn lines(text: &str) -> Result<Rows, ReadError> {
    read(JsonReader::of_lines(text.as_bytes(), Limits::default()))
}

fn refused(text: &str) -> (Place, String) {
    match document(text) {
        Err(ReadError::Malformed { place, problem, .. }) => (place, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_document_of_ours_gives_its_tables_and_every_kind_of_value() {
    let rows = document(
        r#"{"format":"bitcraps-db","version":1,"engine":"sqlite","note":{"a":[1]},"tables":[
        {"name":"a","columns":[{"name":"x","type":"INTEGER","nullable":true},"y"],"rows":[
          [1,"\u00e9\ud83d\ude00\n"],[-1.5e-3,{"$blob":"00fF"}],
          [null,{"$real":"-Infinity"}],[true,{"a":[1,{"b":"\""}],"c":{}}],[[],{"$json":null}]]},
        {"name":"empty","columns":["x"]},
        {"name":"b","columns":["z"],"rows":[[9007199254740993123]],"more":1}]}"#,
    )
    .unwrap();
    assert_eq!(rows.len(), 2);
    let (table, columns, found) = &rows[0];
    assert_eq!((table.as_deref(), columns.len()), (Some("a"), 2));
    assert_eq!(found[0], ["1", "\"é😀\\n\""]);
    assert_eq!(found[1], ["-1.5e-3", "Blob([0, 255])"]);
    assert_eq!(found[2], ["null", "Special(-inf)"]);
    assert_eq!(
        found[3],
        ["Bool(true)", r#"json {"a":[1,{"b":"\""}],"c":{}}"#]
    );
    assert_eq!(found[4], ["json []", "json null"]);
    assert_eq!(rows[1].2, [["9007199254740993123"]]);
}

/// `json` of PostgreSQL keeps how a document is spelled, and a mark is one only as we write it.
#[test]
fn documents_stay_as_they_are_spelled() {
    let rows = document(
        r#"{"format":"bitcraps-db","tables":[{"name":"t","columns":["a"],"rows":[
        [{"$json":"\u00e9\n\/\uD83D\uDE00"}],[ {"\u00e9" : ["\u0041", "é"]} ],
        [{"\u0024blob":"00"}],[{"$json":{"$blob":"\u0030"}}],[{"$text":"c3a9"}]]}]}"#,
    )
    .unwrap();
    assert_eq!(
        rows[0].2,
        [
            [r#"json "\u00e9\n\/\uD83D\uDE00""#],
            [r#"json {"\u00e9":["\u0041","é"]}"#],
            [r#"json {"\u0024blob":"00"}"#],
            [r#"json {"$blob":"\u0030"}"#],
            ["\"é\""],
        ]
    );
}

#[test]
fn objects_are_put_in_order_by_their_names() {
    let expected = vec![(
        None,
        vec!["a".to_owned(), "b".to_owned()],
        vec![
            vec!["1".to_owned(), "2".to_owned()],
            vec!["4".to_owned(), "3".to_owned()],
            vec!["null".to_owned(), "5".to_owned()],
        ],
    )];
    assert_eq!(
        document(r#"[{"a":1,"b":2},{"b":3,"a":4},{"b":5}]"#).unwrap(),
        expected
    );
    assert_eq!(
        lines("{\"a\":1,\"b\":2}\n{\"b\":3,\"a\":4}\r\n{\"b\":5}\n").unwrap(),
        expected
    );
    assert!(document("[]").unwrap().is_empty());
    assert!(lines("").is_err() && lines(" \n").is_err());
    assert!(lines("{\"$table\":null}\n").unwrap().is_empty());
    assert_eq!(
        lines("{\"$table\":null}\n{\"a\":1,\"b\":2}\n{\"a\":4,\"b\":3}\n{\"b\":5}").unwrap(),
        expected
    );
}

#[test]
fn lines_with_headers_are_tables() {
    let rows = lines(
        "{\"$table\":\"t\",\"columns\":[\"a\"]}\n{\"a\":1}\n{\"$table\":\"u\",\"columns\":[{\"name\":\"b\"}]}\n\
         {\"$table\":\"v\",\"columns\":[\"c\"]}\n{\"c\":2}\n{\"c\":3}\n",
    )
    .unwrap();
    let shapes: Vec<_> = rows
        .iter()
        .map(|(t, _, r)| (t.as_deref().unwrap(), r.len()))
        .collect();
    assert_eq!(shapes, [("t", 1), ("u", 0), ("v", 2)]);
}

/// However many there are, none takes from the stack.
#[test]
fn headers_and_tables_without_rows_by_the_hundred_thousand_are_read() {
    let many = 200_000;
    let Err(ReadError::Malformed { place, .. }) = lines(&"{\"$table\":null}\n".repeat(many)) else {
        panic!("only a first line can say that there is no table");
    };
    assert_eq!((place.line, place.column), (2, 1));
    let tables = vec!["{\"name\":\"t\",\"columns\":[]}"; many].join(",");
    let text = format!("{{\"format\":\"bitcraps-db\",\"tables\":[{tables}]}}");
    assert!(document(&text).unwrap().is_empty());
}

#[test]
fn tables_can_be_passed_over() {
    let of = |mut reader: JsonReader<&[u8]>| {
        let mut names = Vec::new();
        while let Some(section) = reader.next_section().unwrap() {
            names.push(section.table.unwrap_or_default());
        }
        names.join(" ")
    };
    let text = "{\"$table\":\"t\",\"columns\":[\"a\"]}\n{\"a\":1}\n{\"b\":1}\n{\"$table\":\"u\",\"columns\":[\"a\"]}\n{\"a\":1}";
    assert_eq!(
        of(JsonReader::of_lines(text.as_bytes(), Limits::default())),
        "t u"
    );
    let text = r#"{"format":"bitcraps-db","tables":[{"name":"t","columns":["a"],"rows":[[1],[2,3]]},{"name":"u","columns":["a"],"rows":[]}]}"#;
    assert_eq!(
        of(JsonReader::new(text.as_bytes(), Limits::default())),
        "t u"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let (place, problem) = refused("[{\"a\":1},\n {\"a\":01}]");
    assert_eq!((place.line, place.column), (2, 7));
    assert!(problem.contains("no number"), "{problem}");
    let (place, problem) = refused("[{\"a\":1},\n {\"ä\":1, \"b\":\"x}]");
    assert_eq!((place.line, place.column), (2, 14), "{problem}");
    for text in [
        "{",
        "[",
        "[1]",
        "[{\"a\":1,}]",
        "[{\"a\" 1}]",
        "[{\"a\":nul}]",
        "[{\"a\":1}] x",
        "{}",
        "[{\"a\":\"\\x\"}]",
        "[{\"a\":\"\\ud800\"}]",
        "[{\"a\":\"\u{1}\"}]",
        "[{\"a\":{\"$blob\":\"0\"}}]",
        "[{\"a\":1 \"b\":2}]",
        "[{a:1}]",
        "[{\"a\":1.}]",
        "[{\"a\":-}]",
        "[{\"a\":1,\"a\":2}]",
        "{\"format\":\"other\"}",
        "{\"format\":\"bitcraps-db\",\"version\":2}",
        "{\"format\":\"bitcraps-db\",\"tables\":[{\"rows\":[]}]}",
        "[{\"a\":1}]]",
        "nonsense",
    ] {
        document(text).expect_err(text);
    }
}

#[test]
fn a_row_that_does_not_fit_is_passed_over_if_the_caller_goes_on() {
    let text = "[{\"a\":1},{\"b\":[{}]},{\"a\":1,\"a\":2},{\"a\":3}]";
    let mut reader = JsonReader::new(text.as_bytes(), Limits::default());
    reader.next_section().unwrap().unwrap();
    let (mut record, mut seen) = (Record::new(), Vec::new());
    loop {
        match reader.read(&mut record) {
            Ok(false) => break,
            Ok(true) => seen.push(told(record.value(0))),
            Err(
                error @ ReadError::Malformed {
                    resumable: true, ..
                },
            ) => seen.push(error.to_string()),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(
        (seen.len(), seen[0].as_str(), seen[3].as_str()),
        (4, "1", "3")
    );
    assert!(
        seen[1].contains("\"b\"") && seen[2].contains("twice"),
        "{seen:?}"
    );
}

#[test]
fn depth_and_length_are_limited() {
    let deep = format!("[{{\"a\":{}1", "[".repeat(100_000));
    assert!(refused(&deep).1.contains("deeper than 128"));
    let limits = Limits {
        value: 1 << 20,
        ..Limits::default()
    };
    for start in [&b"[{\"a\":\""[..], b"[{\"a\":1", b"[{\"", b"{\"x\":\""] {
        let digits = start.ends_with(b"1");
        let endless = io::repeat(if digits { b'1' } else { b'x' }).take(1 << 40);
        let mut reader = JsonReader::new(start.chain(endless), limits);
        let error = reader.next_section().unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
    }
    let mut reader = JsonReader::new((&b"[{\"a\":["[..]).chain(Ones(false)), limits);
    let error = reader.next_section().unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

struct Ones(bool);

impl Read for Ones {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            self.0 = !self.0;
            *byte = if self.0 { b'1' } else { b',' };
        }
        Ok(buffer.len())
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[a-c\"]{0,2}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever JSON is a value arrives as the same JSON.
    #[test]
    fn every_value_arrives(value in any_json(), pretty: bool) {
        let document = serde_json::json!([{ "a": value }]);
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let text = text.unwrap();
        let mut reader = JsonReader::new(text.as_bytes(), Limits::default());
        reader.next_section().unwrap().unwrap();
        let mut record = Record::new();
        prop_assert!(reader.read(&mut record).unwrap());
        let read: serde_json::Value = match record.value(0) {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Number(bytes) | Value::Json(bytes) => serde_json::from_slice(bytes).unwrap(),
            Value::Text(bytes) => String::from_utf8(bytes.to_vec()).unwrap().into(),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(read, value);
        prop_assert!(!reader.read(&mut record).unwrap());
    }

    /// A file with a change in it is read or refused; what is read would be read by others too.
    #[test]
    fn a_changed_file_is_read_or_refused(
        value in any_json(), at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let mut text = serde_json::to_vec(&serde_json::json!([{ "a": value }, { "a": 1 }])).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        let read = read(JsonReader::new(&text, Limits::default()));
        if read.is_ok() && !text.starts_with(b"{") {
            let others = serde_json::from_slice::<serde_json::Value>(&text);
            // Ours keeps numbers as they are written, also those that are too large for a double.
            let is_read = match others {
                Ok(_) => true,
                Err(error) => error.to_string().starts_with("number out of range"),
            };
            prop_assert!(text.is_empty() || is_read);
        }
    }
}

//! Files that were changed by chance or on purpose: read whole or not at all, and never a panic.

use db_core::Engine;
use db_testkit::{TestDb, both_engines, size};
use db_transfer::Error;
use db_transfer::format::{Form, Input, Limits};
use db_transfer::import::Import;

use super::Place;

const SCHEMA: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT, n INTEGER);
    CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a (id))";

const CSV: &str = "id,t,n\r\n1,\"a \"\"b\"\"\r\nc\",5\r\n2,,\r\n3,=1+1,-7\r\n4,\"\",0\r\n";
const JSON: &str = r#"{"format":"bitcraps-db","version":1,"tables":[{"name":"a","columns":[{"name":"id"},{"name":"t"},{"name":"n"}],
    "rows":[[1,"x\u00e9",5],[2,null,null]]},{"name":"b","columns":["id","a_id"],"rows":[[1,1],[2,2]]}]}"#;
const NDJSON: &str = "{\"$table\":\"a\",\"columns\":[\"id\",\"t\"]}\n{\"id\":1,\"t\":\"x\"}\n{\"t\":\"y\",\"id\":2}\n\
    {\"$table\":\"b\",\"columns\":[\"id\",\"a_id\"]}\n{\"id\":1,\"a_id\":2}\n";
const SQL: &str = "INSERT INTO a VALUES (1, 'it''s', 2);\nINSERT INTO a (id) VALUES (2); -- c\nINSERT INTO b VALUES (1, 2);\n";

/// A generator of numbers, which is all that a mutator needs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, faces: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % faces.max(1)
    }
}

fn mutated(text: &str, dice: &mut Dice) -> Vec<u8> {
    const MARKS: &[u8] = b"\",\r\n{}[]:;'\\\0\xff()0-$.e x";
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len());
        match dice.roll(6) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => {
                bytes.remove(at);
            }
            2 if !bytes.is_empty() => bytes[at] = MARKS[dice.roll(MARKS.len())],
            3 => bytes.insert(at, MARKS[dice.roll(MARKS.len())]),
            4 => {
                let piece = bytes[at..(at + dice.roll(20)).min(bytes.len())].to_vec();
                let to = dice.roll(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            _ if !bytes.is_empty() => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
            _ => {}
        }
    }
    bytes
}

both_engines! {
    fn changed_files_come_whole_or_not_at_all(db: TestDb) {
        let place = Place::new(db, SCHEMA);
        let mut dice = Dice(size("SEED", 36));
        let files = size("MUTATED_FILES", 400);
        let mut whole = 0;
        for number in 0..files {
            let (form, text, table) = match number % 4 {
                0 => (Form::Csv, CSV, Some("a")),
                1 => (Form::Json, JSON, None),
                2 => (Form::Ndjson, NDJSON, None),
                _ => (Form::Sql, SQL, None),
            };
            let bytes = mutated(text, &mut dice);
            let path = place.file("mutant", &bytes);
            let import = Import::new(Input::File(path)).form(Some(form)).tables(table.map(str::to_owned));
            let before = (place.count("a"), place.count("b"));
            match place.run(&import) {
                // What was taken is taken in full, and taken away again for the next one.
                Ok(report) => {
                    whole += 1;
                    if form != Form::Sql {
                        let stored = |name: &str| place.count(name).parse::<u64>().unwrap();
                        assert_eq!(stored("a") + stored("b"), report.rows());
                    }
                    place.execute("DELETE FROM b; DELETE FROM a");
                }
                Err(Error::BadInput { faults }) => {
                    assert!(!faults.is_empty());
                    assert_eq!((place.count("a"), place.count("b")), before, "{:?}", String::from_utf8_lossy(&bytes));
                }
                Err(Error::Usage(_)) => assert_eq!((place.count("a"), place.count("b")), before),
                Err(other) => panic!("{other:?} of {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
        // A mutator that leaves nothing sound, or everything, would prove nothing.
        assert!(whole > files / 50 && whole < files * 19 / 20, "{whole} of {files}");
    }
}

#[test]
fn a_bomb_is_met_by_the_limits_and_not_by_memory() {
    let place = Place::new(TestDb::sqlite(), "CREATE TABLE t (a TEXT)");
    let limits = Limits {
        value: 1 << 20,
        ..Limits::default()
    };
    // 1 GiB of one letter in a few kilobytes.
    let mut bomb = zstd::Encoder::new(Vec::new(), 1).unwrap();
    std::io::Write::write_all(&mut bomb, b"a\n\"").unwrap();
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..1024 {
        std::io::Write::write_all(&mut bomb, &chunk).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let faults = place.faults(&place.import("t.csv.zst", bomb).limits(limits));
    assert!(faults[0].problem.contains("longer than"), "{faults:?}");
    assert_eq!(place.engine(), Engine::Sqlite);
}

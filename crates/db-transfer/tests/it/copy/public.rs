//! Public sample databases: they come back from every form, and from the other engine.
//!
//! Where they come from is said beside them, in `tests/samples`.

use std::path::Path;

use db_core::{Engine, Interrupt};
use db_testkit::TestDb;
use db_transfer::copy::CopyReport;
use db_transfer::export::{Content, Form, Options};
use db_transfer::format::Input;
use db_transfer::import::Import;

use super::support::{self, Journey, contents, copied, lines, types};
use crate::export::{exported_with, url};
use crate::import::generated::{comes_back, comes_back_sorted};

/// What the authors give out: `sqlite3` and `pg_dump` have written it.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples");

/// A shop for music.
const CHINOOK: (&str, u64) = ("chinook.sqlite.sql.zst", 15_607);
/// A shop that rents films, in a file.
const SAKILA: (&str, u64) = ("sakila.sqlite.sql.zst", 46_273);
/// The same on a server.
const PAGILA: (&str, u64) = ("sakila.postgres.sql.zst", 46_273);

/// A database that one of them was imported into.
#[track_caller]
fn loaded((file, rows): (&str, u64)) -> TestDb {
    let engine = if file.contains(".postgres.") {
        Engine::Postgres
    } else {
        Engine::Sqlite
    };
    let db = TestDb::new(engine);
    // A file is there from the first connection on.
    drop(db.connect());
    let import = Import::new(Input::File(Path::new(SAMPLES).join(file)));
    let done = import.run(&url(&db), &Interrupt::default(), &mut |_| {});
    done.unwrap();
    assert_eq!(data(&db).1, rows, "{file}");
    db
}

/// All rows by their keys, and how many there are.
fn data(db: &TestDb) -> (String, u64) {
    let options = Options {
        form: Some(Form::Ndjson),
        content: Content::Data,
        sorted: true,
        ..Options::default()
    };
    let (bytes, report) = exported_with(db, &options);
    (String::from_utf8(bytes).unwrap(), report.rows)
}

/// Kind and number of what does not go along.
fn left(report: &CopyReport) -> Vec<(&str, usize)> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    let mut kinds: Vec<&str> = report.not_translated.iter().map(|l| l.kind).collect();
    kinds.sort_unstable();
    for kind in kinds {
        match found.last_mut() {
            Some((last, count)) if *last == kind => *count += 1,
            _ => found.push((kind, 1)),
        }
    }
    found
}

/// There and back, and the server holds the same rows after the first copy and the last.
#[track_caller]
fn there_and_back(before: &TestDb) -> Journey {
    let journey = support::there_and_back(before);
    assert_eq!(data(&journey.middle), data(&journey.again));
    journey
}

#[test]
fn chinook_comes_back_from_every_form() {
    comes_back(&loaded(CHINOOK), true).unwrap();
}

#[test]
fn sakila_comes_back_from_every_form() {
    comes_back(&loaded(SAKILA), true).unwrap();
}

#[test]
fn chinook_comes_back_from_every_form_postgres() {
    let there = TestDb::postgres();
    copied(&loaded(CHINOOK), &there);
    comes_back_sorted(&there).unwrap();
}

#[test]
fn pagila_comes_back_from_every_form_postgres() {
    comes_back_sorted(&loaded(PAGILA)).unwrap();
}

#[test]
fn a_copy_of_a_sample_has_its_whole_schema() {
    for sample in [CHINOOK, SAKILA] {
        let (before, after) = (loaded(sample), TestDb::sqlite());
        let report = copied(&before, &after);
        assert_eq!((report.rows, left(&report)), (sample.1, vec![]));
        assert_eq!(contents(&before), contents(&after));
        let schema = "SELECT sql AS line FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name";
        assert_eq!(lines(&before, schema), lines(&after, schema));
    }
}

#[test]
fn chinook_goes_there_and_back_postgres() {
    let Journey { middle, report, .. } = there_and_back(&loaded(CHINOOK));
    assert_eq!(left(&report), []);
    assert_eq!(
        types(&middle, "\"Track\""),
        [
            "TrackId bigint",
            "Name text",
            "AlbumId bigint",
            "MediaTypeId bigint",
            "GenreId bigint",
            "Composer text",
            "Milliseconds bigint",
            "Bytes bigint",
            "UnitPrice numeric",
        ]
    );
    let keys = "SELECT contype::text || count(*) AS line FROM pg_constraint \
        WHERE contype IN ('p', 'f') AND connamespace = 'public'::regnamespace GROUP BY contype ORDER BY 1";
    assert_eq!(lines(&middle, keys), ["f11", "p11"]);
}

#[test]
fn sakila_goes_there_and_back_postgres() {
    let Journey { middle, report, .. } = there_and_back(&loaded(SAKILA));
    assert_eq!(
        left(&report),
        [
            ("default", 1),
            ("part of a constraint", 1),
            ("trigger", 30),
            ("view", 5)
        ]
    );
    // SQLite takes `BLOB SUB_TYPE TEXT` for a text.
    assert_eq!(types(&middle, "film")[2], "description text");
}

#[test]
fn pagila_goes_there_and_back_postgres() {
    let before = loaded(PAGILA);
    let same = TestDb::postgres();
    copied(&before, &same);
    assert_eq!(data(&before), data(&same));
    let (there, back, again) = (TestDb::sqlite(), TestDb::postgres(), TestDb::sqlite());
    let report = copied(&before, &there);
    copied(&there, &back);
    copied(&back, &again);
    assert_eq!(contents(&there), contents(&again));
    assert_eq!(
        left(&report),
        [
            ("default", 14),
            ("function", 10),
            ("index", 1),
            ("inheritance", 6),
            ("rule", 6),
            ("sequence", 19),
            ("trigger", 15),
            ("type", 2),
            ("view", 7)
        ]
    );
}

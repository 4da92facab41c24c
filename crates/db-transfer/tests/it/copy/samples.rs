//! Schemas of the kind that people have, with what is odd about them.

use db_testkit::TestDb;

use super::support::{contents, copied, lines, tables, types};
use crate::import::generated::comes_back;

/// A shop for music: NVARCHAR, NUMERIC(10,2), DATETIME as text, names in capitals, a table that refers
/// to itself, a table of pairs.
const MUSIC: &str = "
CREATE TABLE [Artist] ([ArtistId] INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, [Name] NVARCHAR(120));
CREATE TABLE [Track] ([TrackId] INTEGER NOT NULL, [ArtistId] INTEGER, [Milliseconds] INTEGER NOT NULL,
  [UnitPrice] NUMERIC(10,2) NOT NULL, [Cover] BLOB,
  CONSTRAINT [PK_Track] PRIMARY KEY ([TrackId]),
  FOREIGN KEY ([ArtistId]) REFERENCES [Artist] ([ArtistId]) ON DELETE NO ACTION ON UPDATE NO ACTION);
CREATE TABLE [Employee] ([EmployeeId] INTEGER PRIMARY KEY, [ReportsTo] INTEGER REFERENCES [Employee],
  [BirthDate] DATETIME, [Active] BOOLEAN DEFAULT 1);
CREATE TABLE [PlaylistTrack] ([PlaylistId] INTEGER NOT NULL, [TrackId] INTEGER NOT NULL,
  CONSTRAINT [PK_PlaylistTrack] PRIMARY KEY ([PlaylistId], [TrackId]),
  FOREIGN KEY ([TrackId]) REFERENCES [track] ([trackid]));
CREATE UNIQUE INDEX [IPK_PlaylistTrack] ON [PlaylistTrack]([PlaylistId], [TrackId]);
CREATE INDEX [IFK_TrackArtistId] ON [Track] ([ArtistId]);
INSERT INTO Artist VALUES (1, 'AC/DC'), (2, 'Antônio Carlos Jobim'), (3, NULL), (9, 'gone');
DELETE FROM Artist WHERE ArtistId = 9;
INSERT INTO Track VALUES (1, 1, 343719, 0.99, x'00ff'), (2, 2, 0, 1, NULL), (3, NULL, -5, 1.99, x'');
INSERT INTO Employee VALUES (1, NULL, '1962-02-18 00:00:00', 1), (2, 1, NULL, 0), (3, 2, '1958-12-08 00:00:00', 1);
INSERT INTO PlaylistTrack VALUES (1, 1), (1, 2), (2, 1);
";

/// A trader: names with blanks and reserved words, prices, checks, pictures, a view, a default, a
/// computed column, a table without rowids.
const TRADE: &str = "
CREATE TABLE \"order\" (\"id\" INTEGER PRIMARY KEY, \"select\" TEXT DEFAULT 'it''s', \"Ship Name\" TEXT,
  freight REAL DEFAULT 0, required TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE \"Order Details\" (\"order id\" INTEGER NOT NULL, line INTEGER NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity > 0), price REAL NOT NULL CHECK (price >= 0),
  discount REAL CHECK (typeof(discount) <> 'text'), total REAL AS (quantity * price) STORED,
  PRIMARY KEY (\"order id\", line), FOREIGN KEY (\"order id\") REFERENCES \"order\" (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE category (code TEXT PRIMARY KEY NOT NULL, \"größe\" REAL, picture, UNIQUE (picture, code)) STRICT;
";

/// What STRICT tables do not take.
const TRADE_ROWS: &str = "
CREATE VIEW \"Sums\" AS SELECT \"order id\", sum(total) FROM \"Order Details\" GROUP BY 1;
CREATE INDEX \"by ship\" ON \"order\" (\"Ship Name\" DESC, freight) WHERE freight > 10;
CREATE INDEX lowered ON \"order\" (lower(\"Ship Name\"));
INSERT INTO \"order\" VALUES (1, 'a', 'Tab\there', 32.38, '1996-07-04'), (2, NULL, 'back\\slash', -0.0, 'x'),
  (3, '', '\\N', 1e300, NULL), (-4, 'line
end', '🎲', 4.9e-324, '\r');
INSERT INTO \"Order Details\" (\"order id\", line, quantity, price, discount)
  VALUES (1, 1, 12, 14.0, 0.05), (1, 2, 10, 9.8, NULL), (3, 1, 5, 34.8, 0.15);
INSERT INTO category VALUES ('a', 1.5, x'89504e47'), ('ä', NULL, NULL);
";

/// Rentals: tables that refer to each other, triggers, times in microseconds, JSON, whole numbers that
/// are as long as they get.
const RENTAL: &str = "
CREATE TABLE store (store_id INTEGER PRIMARY KEY, manager_id INT REFERENCES staff (staff_id));
CREATE TABLE staff (staff_id INTEGER PRIMARY KEY, store_id BIGINT REFERENCES store,
  settings JSON, rating VARCHAR(10) DEFAULT 'G' CHECK (rating IN ('G', 'PG', 'R')), last_update INTEGER);
CREATE TABLE film_text (film_id SMALLINT NOT NULL, title TEXT COLLATE NOCASE, n DECIMAL(4,2));
CREATE TRIGGER staff_touched AFTER UPDATE ON staff BEGIN UPDATE staff SET last_update = 1; END;
CREATE TRIGGER staff_made AFTER INSERT ON staff BEGIN INSERT INTO film_text VALUES (1, 'twice', 1); END;
INSERT INTO store VALUES (1, NULL), (2, NULL);
INSERT INTO staff VALUES (1, 1, '{\"b\": [1, 2.50],  \"a\": null}', 'PG', 9223372036854775807),
  (2, 2, NULL, NULL, -9223372036854775808);
UPDATE store SET manager_id = store_id;
DELETE FROM film_text;
INSERT INTO film_text VALUES (1, 'A', 1.5), (2, NULL, 12345678901234567), (2, 'a', 0.1);
";

#[track_caller]
fn there_and_back(sql: &str) -> (TestDb, TestDb, TestDb) {
    let (before, middle, after) = (TestDb::sqlite(), TestDb::postgres(), TestDb::sqlite());
    before.connect().execute(sql);
    let there = copied(&before, &middle);
    let back = copied(&middle, &after);
    assert_eq!(there.rows, back.rows);
    assert_eq!(contents(&before), contents(&after));
    // A second journey has the same hashes: nothing was lost on the first.
    let again = TestDb::postgres();
    let report = copied(&after, &again);
    assert_eq!(back.rows, report.rows);
    (before, middle, after)
}

/// The samples, as SQLite takes them.
fn samples() -> [String; 3] {
    // STRICT knows five types and no column without one.
    let trade = TRADE.replace("picture, UNIQUE", "picture BLOB, UNIQUE") + TRADE_ROWS;
    [MUSIC.to_owned(), trade, RENTAL.to_owned()]
}

#[test]
fn samples_come_back_from_every_form() {
    for sample in samples() {
        let db = TestDb::sqlite();
        db.connect().execute(&sample);
        comes_back(&db, true).unwrap();
    }
}

#[test]
fn samples_come_back_from_every_form_postgres() {
    for sample in samples() {
        let (db, there) = (TestDb::sqlite(), TestDb::postgres());
        db.connect().execute(&sample);
        copied(&db, &there);
        comes_back(&there, true).unwrap();
    }
}

#[test]
fn a_shop_for_music_goes_there_and_back_postgres() {
    let (_before, middle, after) = there_and_back(MUSIC);
    assert_eq!(
        types(&middle, "\"Track\""),
        [
            "TrackId bigint",
            "ArtistId bigint",
            "Milliseconds bigint",
            "UnitPrice numeric",
            "Cover bytea"
        ]
    );
    assert_eq!(
        types(&middle, "\"Employee\"")[2..],
        ["BirthDate text", "Active boolean"]
    );
    let keys = lines(
        &middle,
        "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) AS line FROM pg_constraint \
         WHERE contype IN ('p', 'f') AND connamespace = 'public'::regnamespace ORDER BY 1",
    );
    assert_eq!(
        keys,
        [
            "\"Artist\" PRIMARY KEY (\"ArtistId\")",
            "\"Employee\" FOREIGN KEY (\"ReportsTo\") REFERENCES \"Employee\"(\"EmployeeId\")",
            "\"Employee\" PRIMARY KEY (\"EmployeeId\")",
            "\"PlaylistTrack\" FOREIGN KEY (\"TrackId\") REFERENCES \"Track\"(\"TrackId\")",
            "\"PlaylistTrack\" PRIMARY KEY (\"PlaylistId\", \"TrackId\")",
            "\"Track\" FOREIGN KEY (\"ArtistId\") REFERENCES \"Artist\"(\"ArtistId\")",
            "\"Track\" PRIMARY KEY (\"TrackId\")",
        ]
    );
    // Numbering goes on behind the row that is gone.
    middle
        .connect()
        .execute("INSERT INTO \"Artist\" (\"Name\") VALUES ('next')");
    let next = "SELECT max(\"ArtistId\")::text AS line FROM \"Artist\"";
    assert_eq!(lines(&middle, next), ["10"]);
    middle
        .connect()
        .execute("INSERT INTO \"Employee\" (\"EmployeeId\") VALUES (DEFAULT)");
    let made = "SELECT concat(\"EmployeeId\", \"Active\") AS line FROM \"Employee\" ORDER BY 1 DESC LIMIT 1";
    assert_eq!(lines(&middle, made), ["4t"]);
    let indexes = "SELECT name AS line FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
    assert_eq!(
        lines(&after, indexes),
        ["IFK_TrackArtistId", "IPK_PlaylistTrack"]
    );
}

#[test]
fn a_trader_goes_there_and_back_postgres() {
    let [_, sql, _] = samples();
    let (before, middle, _after) = there_and_back(&sql);
    let report = {
        let other = TestDb::postgres();
        copied(&before, &other)
    };
    let left: Vec<String> = report
        .not_translated
        .iter()
        .map(|left| format!("{} {}", left.kind, left.name))
        .collect();
    for expected in [
        "default order.required",
        "generated column Order Details.total",
        "view Sums",
    ] {
        assert!(left.contains(&expected.to_owned()), "{left:?}");
    }
    // PostgreSQL does not know `typeof`.
    assert!(
        left.iter().any(|l| l.starts_with("check Order Details.")),
        "{left:?}"
    );
    let checks = "SELECT pg_get_constraintdef(oid) AS line FROM pg_constraint \
        WHERE contype = 'c' AND connamespace = 'public'::regnamespace ORDER BY 1";
    assert_eq!(
        lines(&middle, checks),
        [
            "CHECK ((price >= (0)::double precision))",
            "CHECK ((quantity > 0))"
        ]
    );
    let indexes = "SELECT indexdef AS line FROM pg_indexes WHERE indexname IN ('by ship', 'lowered') ORDER BY 1";
    assert_eq!(lines(&middle, indexes).len(), 2);
}

#[test]
fn rentals_go_there_and_back_postgres() {
    let (before, middle, _after) = there_and_back(RENTAL);
    assert_eq!(
        types(&middle, "staff")[2..4],
        ["settings json", "rating text"]
    );
    let triggers = copied(&before, &TestDb::postgres()).not_translated;
    assert_eq!(
        triggers
            .iter()
            .filter(|left| left.kind == "trigger")
            .count(),
        2
    );
}

#[test]
fn a_copy_of_a_file_has_its_whole_schema() {
    let (before, after) = (TestDb::sqlite(), TestDb::sqlite());
    before.connect().execute(
        &(MUSIC.to_owned()
            + &TRADE.replace("picture, UNIQUE", "picture BLOB, UNIQUE")
            + TRADE_ROWS
            + RENTAL),
    );
    before
        .connect()
        .execute("PRAGMA user_version = 7; CREATE VIRTUAL TABLE words USING fts5(w)");
    let report = copied(&before, &after);
    assert_eq!(contents(&after).len() as u64, report.rows);
    let schema = "SELECT coalesce(sql, name) AS line FROM sqlite_schema \
        WHERE name NOT LIKE 'words%' AND name NOT LIKE 'sqlite_stat%' ORDER BY 1";
    assert_eq!(lines(&before, schema), lines(&after, schema));
    assert_eq!(
        lines(
            &after,
            "SELECT CAST(user_version AS TEXT) AS line FROM pragma_user_version"
        ),
        ["7"]
    );
    assert_eq!(
        lines(
            &after,
            "SELECT CAST(seq AS TEXT) AS line FROM sqlite_sequence"
        ),
        ["9"]
    );
    let left: Vec<_> = report
        .not_translated
        .iter()
        .map(|l| (l.kind, l.name.as_str()))
        .collect();
    assert_eq!(left, [("virtual table", "words")]);
    assert!(!tables(&after).contains(&"words".to_owned()));
}

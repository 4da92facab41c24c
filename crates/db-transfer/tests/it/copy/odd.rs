//! What no public sample has: odd names, keys, values and parts of a schema.

use db_testkit::TestDb;

use super::support::{Journey, contents, copied, lines, tables, there_and_back, types};
use crate::import::generated::comes_back;

/// Numbering that has gone on behind a row which is gone, references without a column or in other letters,
/// an index over what a key covers already, blobs, truth.
const KEYS: &str = "
CREATE TABLE [Artist] ([ArtistId] INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, [Name] TEXT);
CREATE TABLE [Track] ([TrackId] INTEGER PRIMARY KEY, [ArtistId] INTEGER REFERENCES [Artist], [Cover] BLOB);
CREATE TABLE [Employee] ([EmployeeId] INTEGER PRIMARY KEY, [ReportsTo] INTEGER REFERENCES [Employee],
  [Active] BOOLEAN DEFAULT 1);
CREATE TABLE [PlaylistTrack] ([PlaylistId] INTEGER NOT NULL, [TrackId] INTEGER NOT NULL,
  PRIMARY KEY ([PlaylistId], [TrackId]), FOREIGN KEY ([TrackId]) REFERENCES [track] ([trackid]));
CREATE UNIQUE INDEX [IPK_PlaylistTrack] ON [PlaylistTrack]([PlaylistId], [TrackId]);
CREATE INDEX [IFK_TrackArtistId] ON [Track] ([ArtistId]);
INSERT INTO Artist VALUES (1, 'AC/DC'), (2, 'Antônio Carlos Jobim'), (3, NULL), (9, 'gone');
DELETE FROM Artist WHERE ArtistId = 9;
INSERT INTO Track VALUES (1, 1, x'00ff'), (2, 2, NULL), (3, NULL, x'');
INSERT INTO Employee VALUES (1, NULL, 1), (2, 1, 0), (3, 2, 1);
INSERT INTO PlaylistTrack VALUES (1, 1), (1, 2), (2, 1);
";

/// Names with blanks and reserved words, checks, a computed column, defaults, tables without rowids and with
/// types that are kept to.
const NAMES: &str = "
CREATE TABLE \"order\" (\"id\" INTEGER PRIMARY KEY, \"select\" TEXT DEFAULT 'it''s', \"Ship Name\" TEXT,
  freight REAL DEFAULT 0, required TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE \"Order Details\" (\"order id\" INTEGER NOT NULL, line INTEGER NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity > 0), price REAL NOT NULL CHECK (price >= 0),
  discount REAL CHECK (typeof(discount) <> 'text'), total REAL AS (quantity * price) STORED,
  PRIMARY KEY (\"order id\", line), FOREIGN KEY (\"order id\") REFERENCES \"order\" (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE category (code TEXT PRIMARY KEY NOT NULL, \"größe\" REAL, picture BLOB, UNIQUE (picture, code)) STRICT;
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

/// JSON, whole numbers that are as long as they get, a table without a key, letters whose case does not
/// count.
const VALUES: &str = "
CREATE TABLE staff (staff_id INTEGER PRIMARY KEY, settings JSON,
  rating VARCHAR(10) DEFAULT 'G' CHECK (rating IN ('G', 'PG', 'R')), last_update INTEGER);
CREATE TABLE film_text (film_id SMALLINT NOT NULL, title TEXT COLLATE NOCASE, n DECIMAL(4,2));
INSERT INTO staff VALUES (1, '{\"b\": [1, 2.50],  \"a\": null}', 'PG', 9223372036854775807),
  (2, NULL, NULL, -9223372036854775808);
INSERT INTO film_text VALUES (1, 'A', 1.5), (2, NULL, 12345678901234567), (2, 'a', 0.1);
";

const ALL: [&str; 3] = [KEYS, NAMES, VALUES];

fn holding(sql: &str) -> TestDb {
    let db = TestDb::sqlite();
    db.connect().execute(sql);
    db
}

#[test]
fn they_come_back_from_every_form() {
    for sql in ALL {
        comes_back(&holding(sql), true).unwrap();
    }
}

#[test]
fn they_come_back_from_every_form_postgres() {
    for sql in ALL {
        let there = TestDb::postgres();
        copied(&holding(sql), &there);
        comes_back(&there, true).unwrap();
    }
}

#[test]
fn keys_and_numbering_go_there_and_back_postgres() {
    let Journey { middle, after, .. } = there_and_back(&holding(KEYS));
    assert_eq!(
        types(&middle, "\"Track\""),
        ["TrackId bigint", "ArtistId bigint", "Cover bytea"]
    );
    assert_eq!(types(&middle, "\"Employee\"")[2], "Active boolean");
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
fn names_and_checks_go_there_and_back_postgres() {
    let Journey { middle, report, .. } = there_and_back(&holding(NAMES));
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
fn values_go_there_and_back_postgres() {
    let Journey { middle, .. } = there_and_back(&holding(VALUES));
    assert_eq!(
        types(&middle, "staff")[1..3],
        ["settings json", "rating text"]
    );
}

#[test]
fn a_copy_of_a_file_has_its_whole_schema() {
    let (before, after) = (holding(&ALL.concat()), TestDb::sqlite());
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

//! `schema show`, `schema diagram`, `schema diff`.

use db_core::Engine;
use db_testkit::{TestDb, both_engines};

use crate::support::Place;

both_engines! {
    fn show_says_what_there_is(db: TestDb) {
        let place = Place::migrated(db);
        let shown = place.ok(&["schema", "show", "games"]).out;
        for part in ["games", "winner", "foreign key", "to users (id)", "index idx_games_winner (winner)"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("name"), "{shown}");
        let document = place.json(0, &["schema", "show"]);
        let names: Vec<_> = document["tables"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["games", "users"]);
        assert_eq!(document["engine"], place.engine().name());
    }

    fn a_table_that_is_not_there_is_named_with_the_nearest(db: TestDb) {
        let place = Place::migrated(db);
        let done = place.ends(2, &["schema", "show", "gamse"]);
        assert!(done.err.contains("there is no table gamse") && done.err.contains("did you mean games?"), "{}", done.err);
    }

    fn a_diagram_has_all_tables_and_keys(db: TestDb) {
        let place = Place::migrated(db);
        let mermaid = place.ok(&["schema", "diagram"]).out;
        assert!(mermaid.starts_with("erDiagram\n"), "{mermaid}");
        assert!(mermaid.contains(r#""users" |o--o{ "games" : "winner""#), "{mermaid}");
        let dot = place.ok(&["schema", "diagram", "--format", "dot"]).out;
        assert!(dot.contains(r#""games" -> "users" [label="winner"];"#), "{dot}");
        let svg = place.ok(&["schema", "diagram", "--format", "svg"]).out;
        assert!(svg.contains("<svg") && svg.contains("winner") && svg.trim_end().ends_with("</svg>"), "{svg}");
        let document = place.json(0, &["schema", "diagram", "users"]);
        assert_eq!(document["format"], "mermaid");
        assert!(!document["diagram"].as_str().unwrap().contains("games"), "{document}");
    }
}

#[test]
fn two_files_are_compared_object_by_object() {
    let (place, other) = (
        Place::migrated(TestDb::sqlite()),
        Place::migrated(TestDb::sqlite()),
    );
    let (a, b) = (place.db.url(), other.db.url());
    let same = place.ok(&["schema", "diff", &a, &b]);
    assert_eq!(same.out, "the schemas are the same\n");
    other
        .db
        .connect()
        .conn()
        .batch_execute("ALTER TABLE users ADD COLUMN nickname TEXT")
        .unwrap();
    let differ = place.ends(5, &["schema", "diff", &a, &b]);
    assert_eq!(differ.out, "column users.nickname: added: nickname text\n");
    let document = place.json(5, &["schema", "diff", &a, &b]);
    assert_eq!(document["same"], false);
    assert_eq!(document["differences"][0]["change"], "added");
}

#[test]
fn two_engines_are_compared_by_what_both_have_sqlite_and_postgres() {
    let (ours, theirs) = (
        Place::migrated(TestDb::sqlite()),
        Place::migrated(TestDb::postgres()),
    );
    assert_eq!(theirs.engine(), Engine::Postgres);
    let (a, b) = (ours.db.url(), theirs.db.url());
    theirs
        .db
        .connect()
        .conn()
        .batch_execute("ALTER TABLE users ALTER COLUMN name DROP NOT NULL")
        .unwrap();
    let done = ours.ends(5, &["schema", "diff", &a, &b]);
    let line = "column users.name: the first has text, not null, the second text, nullable\n";
    assert!(done.out.contains(line), "{}", done.out);
    let document = ours.json(5, &["schema", "diff", &a, &b]);
    assert_eq!(document["second"]["engine"], "postgres");
    assert!(document["disparities"].is_array(), "{document}");
}

/// Our own schema, where each engine has some things in its own way.
#[test]
fn our_own_schema_is_the_same_on_both_engines_sqlite_and_postgres() {
    let (ours, theirs) = (Place::new(TestDb::sqlite()), Place::new(TestDb::postgres()));
    ours.db.migrate();
    theirs.db.migrate();
    let (a, b) = (ours.db.url(), theirs.db.url());
    for sides in [[&a, &b], [&b, &a]] {
        let done = ours.ok(&["schema", "diff", sides[0], sides[1]]);
        let (head, rest) = done.out.split_once('\n').unwrap();
        assert_eq!(
            head,
            "the schemas are the same, but for what differs on purpose"
        );
        let line = "on purpose, PostgreSQL hands over who did it in settings of the transaction: table audit_context\n";
        assert!(rest.contains(line), "{rest}");
        let document = ours.json(0, &["schema", "diff", sides[0], sides[1]]);
        assert_eq!(document["same"], true);
        assert_eq!(document["disparities"], serde_json::json!([]));
        let intended = document["intended"].as_array().unwrap();
        assert!(intended.iter().all(|one| one["reason"].is_string()));
    }
    // What has no reason still is a difference.
    theirs
        .db
        .connect()
        .conn()
        .batch_execute("CREATE INDEX idx_bets_json ON bets (id)")
        .unwrap();
    let done = ours.ends(5, &["schema", "diff", &a, &b]);
    let line = "index bets.idx_bets_json: only the second has it\n";
    assert!(done.out.starts_with(line), "{}", done.out);
}

/// The first block of Mermaid in a document.
fn picture(document: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(document)).unwrap();
    let (_, block) = text
        .split_once("```mermaid\n")
        .unwrap_or_else(|| panic!("no picture in {document}"));
    block.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_pictures_in_the_documents_are_of_this_schema() {
    let place = Place::new(TestDb::sqlite());
    place.db.migrate();
    let few = [
        "schema",
        "diagram",
        "users",
        "games",
        "bets",
        "transactions",
        "token_balances",
    ];
    assert_eq!(place.ok(&few).out, picture("README.md"));
    assert_eq!(place.ok(&few[..2]).out, picture("docs/schema.md"));
}

#[test]
fn keys_that_one_engine_does_not_name_are_the_same_sqlite_and_postgres() {
    let (ours, theirs) = (Place::new(TestDb::sqlite()), Place::new(TestDb::postgres()));
    let many: Vec<String> = (0..400).map(|n| (n * 7 + 1_000).to_string()).collect();
    for place in [&ours, &theirs] {
        let sql = format!(
            "CREATE TABLE p (a INTEGER NOT NULL, b TEXT UNIQUE, PRIMARY KEY (a)); \
             CREATE TABLE c (id INTEGER NOT NULL PRIMARY KEY, a INTEGER REFERENCES p (a), \
             n INTEGER, CONSTRAINT ck CHECK (n IN (1, 2{})))",
            if place.engine() == Engine::Sqlite {
                String::new()
            } else {
                format!(", {}", many.join(", "))
            }
        );
        place.db.connect().execute(&sql);
    }
    let (a, b) = (ours.db.url(), theirs.db.url());
    let done = ours.ends(5, &["schema", "diff", &a, &b]);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines.len(), 1, "{done:?}");
    assert!(
        lines[0].starts_with("check c.ck: the first has"),
        "{done:?}"
    );
    assert!(
        lines[0].contains(" … ") && lines[0].chars().count() < 320,
        "{done:?}"
    );
}

#[test]
fn a_copy_has_the_schema_that_it_was_made_from_sqlite_and_postgres() {
    let (ours, theirs) = (Place::new(TestDb::sqlite()), Place::new(TestDb::postgres()));
    ours.db.connect().execute(
        "CREATE TABLE dt (id INTEGER PRIMARY KEY, b BOOLEAN NOT NULL DEFAULT 1, \
         n INTEGER DEFAULT -5 CHECK (n > -9), t TEXT CHECK (t IN ('x', 'y')), CHECK (n < 5 OR t IS NULL)); \
         INSERT INTO dt (t) VALUES ('x')",
    );
    let (a, b) = (ours.db.url(), theirs.db.url());
    ours.ok(&["copy", "--from", &a, "--to", &b]);
    let same = ours.ok(&["schema", "diff", &a, &b]);
    assert!(same.out.contains("the same"), "{same:?}");
    // A check that one side alone has, and another kind of value, still show.
    let change = "ALTER TABLE dt ADD CONSTRAINT more CHECK (n < 4); ALTER TABLE dt ALTER COLUMN b DROP DEFAULT; \
        ALTER TABLE dt ALTER COLUMN b TYPE text; ALTER TABLE dt ALTER COLUMN n SET DEFAULT 5";
    theirs.db.connect().execute(change);
    let lines = ours.ends(5, &["schema", "diff", &a, &b]).out;
    assert!(
        lines.contains("check dt.more") && lines.contains("column dt.b"),
        "{lines}"
    );
    assert!(lines.contains("column dt.n"), "{lines}");
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

/// What `copy` makes of types is no difference; what it has left out is.
#[test]
fn what_copy_makes_of_types_is_the_same_sqlite_and_postgres() {
    const THERE: &str = "CREATE SCHEMA shop; CREATE DOMAIN price AS numeric(10, 2) CHECK (VALUE >= 0); \
        CREATE TABLE shop.kinds (id serial PRIMARY KEY, name varchar(9) NOT NULL DEFAULT 'none'); \
        CREATE TABLE dt (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, at timestamptz, day date, \
          cost price, code char(3), b bytea DEFAULT '\\x00ff', u uuid, words text[], n numeric DEFAULT 0.50, \
          flag boolean DEFAULT true, kind int REFERENCES shop.kinds); \
        CREATE INDEX dt_abc ON dt (day) WHERE code = 'abc'; \
        INSERT INTO dt (at, cost, code, n) VALUES (now(), 1.5, 'x', 0.1)";
    const HERE: &str = "CREATE TABLE p (code TEXT PRIMARY KEY); \
        CREATE TABLE dt (id INTEGER PRIMARY KEY, at DATETIME, b BOOLEAN DEFAULT 'true', x, y DEFAULT 5, \
          z DEFAULT 'z', n NUMERIC(10, 2) DEFAULT 1.50, t TEXT DEFAULT NULL, p TEXT REFERENCES p); \
        INSERT INTO dt (at, b, x, y, z) VALUES ('2024-01-01 00:00:00', 1, 1, 5, 'a')";
    for (engine, sql) in [(Engine::Postgres, THERE), (Engine::Sqlite, HERE)] {
        let ours = Place::new(TestDb::new(engine));
        let theirs = Place::new(match engine {
            Engine::Sqlite => TestDb::postgres(),
            Engine::Postgres => TestDb::sqlite(),
        });
        ours.db.connect().execute(sql);
        let (a, b) = (ours.db.url(), theirs.db.url());
        let copied = ours.ok(&["copy", "--from", &a, "--to", &b]);
        assert!(!copied.out.contains("not copied: default"), "{copied:?}");
        for sides in [[&a, &b], [&b, &a]] {
            let same = ours.ok(&["schema", "diff", sides[0], sides[1]]);
            let line = "on purpose, as `copy` maps it: ";
            assert!(
                same.out.contains(line) && same.out.contains("column dt.at"),
                "{same:?}"
            );
        }
        let document = ours.json(0, &["schema", "diff", &a, &b]);
        assert_eq!(document["same"], true);
        // Another type than any copy makes, and another length, still show.
        let change = match engine {
            Engine::Postgres => {
                "ALTER TABLE shop.kinds ALTER COLUMN name TYPE varchar(10); \
                ALTER TABLE dt ALTER COLUMN day TYPE bytea USING NULL"
            }
            Engine::Sqlite => "ALTER TABLE dt DROP COLUMN x; ALTER TABLE dt ADD COLUMN x REAL",
        };
        ours.db.connect().execute(change);
        let lines = ours.ends(5, &["schema", "diff", &a, &b]).out;
        let expected: &[&str] = match engine {
            Engine::Postgres => &["column dt.day: ", "check shop.kinds."],
            Engine::Sqlite => &["column dt.x: ", "table dt: "],
        };
        for line in expected {
            assert!(lines.contains(line), "{lines}");
        }
    }
}

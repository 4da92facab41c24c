//! Where scripts are cut.

use db_core::Engine;
use proptest::prelude::*;

use super::SqlReader;
use crate::format::{Limits, ReadError};

fn cut(engine: Engine, script: &str) -> Result<Vec<(u64, String)>, ReadError> {
    let mut reader = SqlReader::new(script.as_bytes(), engine, Limits::default());
    let (mut text, mut all) = (Vec::new(), Vec::new());
    while let Some(statement) = reader.next(&mut text)? {
        all.push((
            statement.place.line,
            String::from_utf8(text.clone()).unwrap(),
        ));
        let words: Vec<_> = statement.words.iter().map(String::as_str).collect();
        if words.starts_with(&["COPY"]) && words.ends_with(&["FROM", "STDIN"]) {
            reader.begin_copy()?;
            while reader.copy_line(&mut text)? {
                all.push((0, String::from_utf8(text.clone()).unwrap()));
            }
        }
    }
    Ok(all)
}

fn texts(engine: Engine, script: &str) -> Vec<String> {
    cut(engine, script)
        .unwrap()
        .into_iter()
        .map(|(_, text)| text)
        .collect()
}

#[test]
fn statements_of_sqlite_are_cut_where_its_shell_cuts_them() {
    let script = "-- c;\n CREATE TABLE t (a TEXT DEFAULT ';', \"b;\" , [c;'] , `d;`);;\n/* ; /* */\n\
                  CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; \
                  SELECT 'END'; /* c */ END;\nINSERT INTO t VALUES('it''s;','\\'); SELECT 1";
    let found = texts(Engine::Sqlite, script);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[1].ends_with("END"));
    assert_eq!(found[3], "SELECT 1");
    let lines: Vec<_> = cut(Engine::Sqlite, script)
        .unwrap()
        .iter()
        .map(|(line, _)| *line)
        .collect();
    assert_eq!(lines, [2, 4, 5, 5]);
}

#[test]
fn statements_of_postgres_are_cut_where_psql_cuts_them() {
    let found = texts(
        Engine::Postgres,
        "\\restrict abc\nSET a = 'x;\\';\nSELECT E'\\';', $1, $a$ ; $b$ $a$, $$;$$, \"q;\"\"\";\n/* /* ; */ ; */\n\
         CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\n\
         CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END;\n\
         COPY public.t (a, b) FROM stdin;\n1\t;'\n2\t\\\\.\n\\.\nSELECT 3;\n\\unrestrict abc\n",
    );
    assert_eq!(found.len(), 8, "{found:#?}");
    assert_eq!(
        (found[5].as_str(), found[6].as_str()),
        ("1\t;'\n", "2\t\\\\.\n")
    );
    assert_eq!(found[7], "SELECT 3");
}

/// Otherwise the words behind it would be hidden in one that means nothing.
#[test]
fn a_byte_order_mark_is_white_space_to_sqlite_where_a_word_could_begin() {
    let first = |engine, script: &str| {
        let mut reader = SqlReader::new(script.as_bytes(), engine, Limits::default());
        let (mut text, mut first) = (Vec::new(), Vec::new());
        while let Some(statement) = reader.next(&mut text).unwrap() {
            first.push(statement.words[0].clone());
        }
        first
    };
    let script = "\u{feff}\u{feff}SELECT 1;\n\u{feff}COMMIT;END\u{feff};\
        CREATE \u{feff}TRIGGER g BEGIN SELECT 1; \u{feff}END;ROLLBACK";
    let words = ["SELECT", "COMMIT", "END\u{feff}", "CREATE", "ROLLBACK"];
    assert_eq!(first(Engine::Sqlite, script), words);
    assert_eq!(
        first(Engine::Postgres, "SELECT 1; \u{feff}END"),
        ["SELECT", "\u{feff}END"]
    );
}

#[test]
fn commands_of_the_shells_and_what_never_ends_are_refused() {
    for (engine, script, part) in [
        (
            Engine::Sqlite,
            "SELECT 1;\n.shell rm -rf /\n",
            "2:1: a command of the sqlite3 shell",
        ),
        (
            Engine::Postgres,
            "SELECT 1;\n\\! rm -rf /\n",
            "2:1: a command of psql",
        ),
        (Engine::Postgres, "\\restrictx\n", "1:1: a command of psql"),
        (
            Engine::Postgres,
            "\\restrict a\nSELECT 1;\n",
            "1:1: the script that begins here has no \\unrestrict",
        ),
        (
            Engine::Postgres,
            "SELECT 1 \\gexec\n",
            "1:10: a command of psql",
        ),
        (Engine::Postgres, "\\copy t from x\n", "a command of psql"),
        (
            Engine::Sqlite,
            "\nSELECT 'a;",
            "2:8: the quotes that begin here never end",
        ),
        (
            Engine::Postgres,
            "SELECT $a$;",
            "1:8: the text that begins here never ends",
        ),
        (Engine::Postgres, "/* /* */", "1:1: the comment"),
        (
            Engine::Postgres,
            "COPY t FROM stdin;\n1\n",
            "never end with \\.",
        ),
        (
            Engine::Postgres,
            "SELECT (1",
            "1:1: the statement that begins here is not finished",
        ),
        (Engine::Sqlite, "SELECT '\0'", "NUL"),
    ] {
        let error = cut(engine, script).unwrap_err().to_string();
        assert!(error.contains(part), "{script:?}: {error}");
    }
}

#[test]
fn a_statement_beyond_the_limit_is_refused_before_it_is_held() {
    let limits = Limits {
        row: 1 << 20,
        ..Limits::default()
    };
    for start in [
        "SELECT '",
        "SELECT ",
        "SELECT $$",
        "/*",
        "COPY t FROM stdin;\n",
    ] {
        let endless = std::io::Read::chain(start.as_bytes(), std::io::repeat(b'x'));
        let mut reader = SqlReader::new(endless, Engine::Postgres, limits);
        let mut text = Vec::new();
        let mut result = reader.next(&mut text).map(|_| ());
        if start.starts_with("COPY") {
            result = reader
                .begin_copy()
                .and_then(|()| reader.copy_line(&mut text))
                .map(|_| ());
        }
        let error = result.unwrap_err().to_string();
        assert!(error.contains("long"), "{start}: {error}");
    }
}

proptest! {
    /// db-migrate cuts the same way, where it takes the script at all.
    #[test]
    fn the_other_splitter_agrees(
        sqlite: bool,
        parts in prop::collection::vec(prop_oneof![
            Just("CREATE TABLE t (a)"), Just(";"), Just("'a;''b'"), Just("\"q;\""), Just("-- c;\n"),
            Just("/* ; */"), Just("("), Just(")"), Just(" SELECT 1 "), Just("\n"), Just("e'x'"),
            Just("CREATE TRIGGER t BEGIN SELECT 1; END"), Just("END"), Just("$a$;$a$"), Just("é"),
        ], 0..12)
    ) {
        let engine = if sqlite { Engine::Sqlite } else { Engine::Postgres };
        let script: String = parts.concat();
        if let (Ok(theirs), Ok(ours)) = (db_migrate::sql::split(engine, &script), cut(engine, &script)) {
            let theirs: Vec<_> = theirs.iter().map(|s| (s.line as u64, s.text.len())).collect();
            let ours: Vec<_> = ours.iter().map(|(line, text)| (*line, text.len())).collect();
            prop_assert_eq!(ours.len(), theirs.len(), "{:?}", script);
        }
    }

    #[test]
    fn any_bytes_are_cut_or_refused(bytes in prop::collection::vec(
        prop_oneof![Just(b'\''), Just(b';'), Just(b'$'), Just(b'/'), Just(b'*'), Just(b'-'), Just(b'\\'),
                    Just(b'('), Just(b'"'), Just(b'\n'), any::<u8>()], 0..150), sqlite: bool) {
        let engine = if sqlite { Engine::Sqlite } else { Engine::Postgres };
        let mut reader = SqlReader::new(&bytes[..], engine, Limits::default());
        let mut text = Vec::new();
        while let Ok(Some(statement)) = reader.next(&mut text) {
            prop_assert!(statement.place.line > 0);
        }
    }
}

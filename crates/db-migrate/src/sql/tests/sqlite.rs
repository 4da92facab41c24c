//! Scripts of SQLite: where statements end, and where they may not.

use db_core::Engine;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use crate::sql::{ScriptProblem, Statement, split};

fn texts(script: &str) -> Vec<&str> {
    split(Engine::Sqlite, script)
        .unwrap()
        .iter()
        .map(|statement| statement.text)
        .collect()
}

fn problem(script: &str) -> (usize, ScriptProblem) {
    let error = split(Engine::Sqlite, script).unwrap_err();
    (error.line, error.problem)
}

#[test]
fn nothing_but_comments_is_no_statement() {
    for script in [
        "",
        " \r\n\t",
        "-- a;\n/* b; */;;\n;",
        "/* open",
        "\u{feff}",
        "--",
    ] {
        assert_eq!(texts(script), [""; 0], "{script:?}");
    }
}

#[test]
fn a_statement_knows_its_place() {
    let script =
        "\u{feff}-- é;\r\n\r\nSELECT\r\n  'ü' ; /* x */ SELECT 2 -- end\r\n;\nSELECT 3\r\n";
    let statements = split(Engine::Sqlite, script).unwrap();
    let expected = [
        ("SELECT\r\n  'ü'", 3),
        ("SELECT 2 -- end", 4),
        ("SELECT 3", 6),
    ];
    for (index, (text, line)) in expected.into_iter().enumerate() {
        let offset = script.find(text).unwrap();
        assert_eq!(
            statements[index],
            Statement {
                text,
                offset,
                line,
                number: index + 1
            }
        );
    }
    assert_eq!(statements.len(), 3);
    assert_eq!(statements[0].line_of_byte(12), 4);
    assert_eq!(statements[0].line_of_character(1), 3);
    assert_eq!(statements[0].line_of_character(99), 4);
}

#[test]
fn semicolons_in_literals_names_and_comments_do_not_count() {
    for statement in [
        "SELECT 'a;''b;'",
        "SELECT \"a;\"\"b;\"",
        "SELECT `a;``b;`",
        "SELECT [a;'b\";]",
        "SELECT x';'",
        "SELECT 1 /* ; /* ' */ + 2",
        "SELECT 1 -- ; '\r\n + 2",
        "SELECT 1 - -2 / 3 * 4",
        "SELECT $a, ?1, :b, @c, #d",
        "SELECT 1.5e-3, .5, 1e+5, 0xfF-1, 1_000",
        "SELECT größe, 表 FROM übersicht",
    ] {
        let script = format!("{statement};{statement}\n;;{statement}");
        assert_eq!(texts(&script), [statement; 3], "{script}");
    }
}

#[test]
fn a_trigger_ends_after_its_end() {
    for head in [
        "CREATE TRIGGER",
        "create temp\ttrigger",
        "CREATE /* ; */ TEMPORARY TRIGGER IF NOT EXISTS",
        "EXPLAIN CREATE TRIGGER",
        "EXPLAIN QUERY PLAN CREATE TEMP TRIGGER",
    ] {
        let trigger = format!(
            "{head} t AFTER UPDATE ON a WHEN CASE WHEN NEW.x THEN 1 ELSE 0 END BEGIN\n \
             UPDATE a SET y = CASE x WHEN 1 THEN ';' END;\n \
             SELECT CASE WHEN 1 THEN 2 END; -- END;\n \
             INSERT INTO b VALUES ('END;'); /* ;END; */ ; end"
        );
        let script = format!("{trigger}\n ;\nSELECT 1;{trigger}");
        assert_eq!(
            texts(&script),
            [trigger.as_str(), "SELECT 1", trigger.as_str()]
        );
    }
}

#[test]
fn only_a_trigger_keeps_its_semicolons() {
    let script = "CREATE TABLE trigger_log (a); SELECT 1; END; CREATE INDEX trigger ON a (b);\
                  CREATE TEMP VIEW v AS SELECT 1; EXPLAIN SELECT 1; END";
    assert_eq!(texts(script).len(), 7);
}

#[test]
fn a_trigger_without_end_is_the_last_statement() {
    let script = "SELECT 1; CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2; ";
    let last = "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; SELECT 2;";
    assert_eq!(texts(script), ["SELECT 1", last]);
}

#[test]
fn what_never_ends_is_refused_with_its_line() {
    use ScriptProblem as P;
    assert_eq!(
        problem("SELECT 1;\nSELECT 'a''"),
        (2, P::UnterminatedString)
    );
    assert_eq!(problem("SELECT x'1"), (1, P::UnterminatedString));
    assert_eq!(problem("\n\nSELECT \"a"), (3, P::UnterminatedName));
    assert_eq!(problem("SELECT `a"), (1, P::UnterminatedName));
    assert_eq!(problem("SELECT [a"), (1, P::UnterminatedName));
    assert_eq!(problem("SELECT 1;\n'\0'"), (2, P::NulByte));
}

#[test]
fn postgres_rules_do_not_apply() {
    let script = "SELECT (1; /* a /* b */ SELECT $$; COPY t FROM STDIN; SELECT \\ ;";
    assert_eq!(texts(script).len(), 4);
}

/// Every entry of the schema, in the order in which it was made.
fn schema(run: impl FnOnce(&mut SqliteConnection)) -> Vec<(String, Option<String>)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Nullable<Text>)]
        sql: Option<String>,
    }
    let mut conn = memory();
    run(&mut conn);
    let rows = diesel::sql_query("SELECT name, sql FROM sqlite_schema ORDER BY rowid");
    let rows = rows.load::<Row>(&mut conn).unwrap();
    rows.into_iter().map(|row| (row.name, row.sql)).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a bare database in memory, without our pragmas"
)]
fn memory() -> SqliteConnection {
    SqliteConnection::establish(":memory:").unwrap()
}

#[test]
fn statements_one_by_one_build_what_the_whole_script_builds() {
    let scripts = [
        (
            "CREATE TABLE a (x TEXT DEFAULT ';', \"y;\" INTEGER, [z;] BLOB DEFAULT x'3b');\n\
          CREATE TRIGGER t1 AFTER UPDATE OF x ON a WHEN CASE WHEN NEW.x = ';' THEN 1 END BEGIN\n\
            UPDATE a SET x = CASE NEW.x WHEN 'END;' THEN 'a' ELSE 'b' END WHERE x = OLD.x;\n\
            -- END;\n\
            DELETE FROM a WHERE x IS NULL; /* END; */ END;\n\
          CREATE INDEX i ON a (x) WHERE x <> ';END;';\n\
          CREATE VIEW v AS SELECT CASE WHEN x THEN 1 END AS \"end\" FROM a /* ; */",
            4,
        ),
        (
            "\u{feff}CREATE TABLE `a;` (`b``;` INT, größe REAL CHECK (größe>-1.5e-3));;\r\n\
          CREATE VIEW v AS SELECT 1 -- one;\r\n;\
          CREATE TRIGGER IF NOT EXISTS \"end\" INSTEAD OF INSERT ON v BEGIN\r\n\
            SELECT 1; END;\r\n",
            3,
        ),
        (
            "CREATE TABLE a(x);CREATE TABLE b(x);CREATE TRIGGER t BEFORE DELETE ON a BEGIN \
          INSERT INTO b VALUES(OLD.x->>'$.a;');SELECT RAISE(ABORT, 'no;')WHERE OLD.x;end\n;\
          CREATE TEMP TABLE c(x);INSERT INTO a VALUES(1),(';');/* open",
            5,
        ),
    ];
    for (script, count) in scripts {
        let statements = split(Engine::Sqlite, script).unwrap();
        assert_eq!(statements.len(), count, "{script}");
        let whole = schema(|conn| conn.batch_execute(script).unwrap());
        let single = schema(|conn| {
            for statement in &statements {
                diesel::sql_query(statement.text).execute(conn).unwrap();
            }
        });
        assert!(!whole.is_empty());
        assert_eq!(whole, single, "{script}");
    }
}

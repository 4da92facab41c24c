//! Scripts of PostgreSQL: where statements end, and what cannot be sent.

use db_core::Engine;

use crate::sql::{ScriptProblem, split};

fn texts(script: &str) -> Vec<&str> {
    split(Engine::Postgres, script)
        .unwrap()
        .iter()
        .map(|statement| statement.text)
        .collect()
}

fn problem(script: &str) -> (usize, ScriptProblem) {
    let error = split(Engine::Postgres, script).unwrap_err();
    (error.line, error.problem)
}

#[test]
fn nothing_but_comments_is_no_statement() {
    for script in [
        "",
        "\r\n",
        "-- a;\r\n/* b /* ; */ ; */;;\n;",
        "\u{feff}",
        "--",
    ] {
        assert_eq!(texts(script), [""; 0], "{script:?}");
    }
}

#[test]
fn semicolons_in_literals_names_and_comments_do_not_count() {
    for statement in [
        "SELECT 'a;''b;\\'",
        "SELECT E'a\\';''b;'",
        "SELECT e'\\\\', ';'",
        "SELECT E'a' -- c\n  'b\\';c'",
        "SELECT 'a'\n'b\\', ';'",
        "SELECT U&'\\0061;' UESCAPE '!', U&\"d;\"",
        "SELECT b'1;', x'3;', N'n;'",
        "SELECT \"a;\"\"b;\"",
        "SELECT $$a;'$x$;$$, $x$ $$; $y$ $x$",
        "SELECT $größe$;$größe$, a$$b, $1",
        "SELECT /* ; /* ' */ ; */ 1",
        "SELECT 1 -- ; '\r\n + 2",
        "SELECT a[1:2], b::text, 1.5e-3, 1_000",
        "CREATE RULE r AS ON UPDATE TO t DO ALSO (DELETE FROM a; INSERT INTO b VALUES (1))",
    ] {
        let script = format!("{statement};{statement}\n;;{statement}");
        assert_eq!(texts(&script), [statement; 3], "{script}");
    }
}

#[test]
fn the_body_of_a_routine_keeps_its_semicolons() {
    for statement in [
        "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC\n SELECT CASE a WHEN 1 THEN CASE WHEN \
         true THEN 2 END END;\n SELECT (CASE WHEN a > 0 THEN 1 END); SELECT a; END",
        "create or replace procedure p() begin atomic; insert into t values ('end;'); end",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT r.end, r.case FROM r; \
         SELECT 1 AS end; SELECT \"end\"; /* END; */ END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN RETURN 1; END; $f$",
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1;'",
        "CREATE PROCEDURE p() BEGIN ATOMIC END",
    ] {
        let script = format!("{statement} ;\nBEGIN; SELECT 1; END;{statement}");
        assert_eq!(
            texts(&script),
            [statement, "BEGIN", "SELECT 1", "END", statement]
        );
    }
}

#[test]
fn begin_atomic_means_something_in_a_routine_only() {
    assert_eq!(
        texts("CREATE TABLE begin (atomic int); BEGIN ATOMIC; END").len(),
        3
    );
    assert_eq!(texts("SELECT begin atomic FROM t; SELECT 1").len(), 2);
}

#[test]
fn lines_are_counted_through_literals_and_line_ends() {
    let script = "\u{feff}SELECT $$\r\n\r\n$$;\r\n\n SELECT 'é\n' , x;SELECT 3";
    let statements = split(Engine::Postgres, script).unwrap();
    let places: Vec<_> = statements
        .iter()
        .map(|s| (s.number, s.offset, s.line))
        .collect();
    assert_eq!(places, [(1, 3, 1), (2, 23, 5), (3, 40, 6)]);
    // `x` is the 15th character of its statement, and its 16th byte.
    assert_eq!(statements[1].text.chars().nth(14), Some('x'));
    assert_eq!(statements[1].line_of_character(15), 6);
    assert_eq!(statements[1].line_of_character(10), 5);
}

#[test]
fn what_never_ends_is_refused_with_its_line() {
    use ScriptProblem as P;
    for (script, line, expected) in [
        ("SELECT 1;\nSELECT 'a''", 2, P::UnterminatedString),
        ("SELECT E'a\\'", 1, P::UnterminatedString),
        ("SELECT E'a'\n'b\\'", 2, P::UnterminatedString),
        ("SELECT U&'a", 1, P::UnterminatedString),
        ("SELECT b'0", 1, P::UnterminatedString),
        ("\n\nSELECT \"a", 3, P::UnterminatedName),
        ("SELECT U&\"a", 1, P::UnterminatedName),
        ("SELECT $a$ $A$", 1, P::UnterminatedDollarQuote),
        ("SELECT $$ $", 1, P::UnterminatedDollarQuote),
        ("SELECT 1;\n/* /* */", 2, P::UnterminatedComment),
        ("SELECT 1;\n\0", 2, P::NulByte),
    ] {
        assert_eq!(problem(script), (line, expected), "{script:?}");
    }
}

#[test]
fn rows_in_a_script_are_refused_before_they_are_read() {
    for copy in [
        "COPY t FROM stdin",
        "copy public.t (a, b) /* x */ from STDIN WITH (FORMAT csv)",
        "COPY (SELECT 1) TO STDOUT",
        "COPY BINARY t FROM STDIN",
    ] {
        let script = format!("SELECT 1;\n{copy};\nit's\t\"1\\n\n\\.\n");
        assert_eq!(problem(&script), (2, ScriptProblem::CopyStream), "{copy}");
        assert_eq!(problem(copy), (1, ScriptProblem::CopyStream), "{copy}");
    }
    for copy in [
        "COPY t FROM '/tmp/stdin'",
        "COPY (SELECT 1 FROM stdin) TO '/tmp/x'",
    ] {
        assert_eq!(texts(copy), [copy]);
    }
}

#[test]
fn commands_of_psql_are_refused() {
    for script in ["\\restrict abc\nSELECT 1;", "SELECT 1 \\gexec\n", "\\"] {
        assert_eq!(problem(script), (1, ScriptProblem::PsqlCommand), "{script}");
    }
    assert_eq!(texts("SELECT '\\a', $$\n\\b\n$$ -- \\c\n").len(), 1);
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let error = split(Engine::Postgres, "SELECT 1;\n\\restrict x").unwrap_err();
    assert_eq!(error.offset, 10);
    assert_eq!(
        error.to_string(),
        "line 2: a backslash starts a command of psql, which the server does not know; remove \
         the line (\\restrict and \\connect of a dump are not needed), or replace it by plain SQL"
    );
}

#[test]
fn unbalanced_parentheses_leave_the_error_to_the_server() {
    assert_eq!(
        texts("SELECT 1); SELECT (2; SELECT 3;"),
        ["SELECT 1)", "SELECT (2; SELECT 3;"]
    );
}

//! Which edits are cosmetic, and which are not.

use db_core::Engine::{self, Postgres, Sqlite};

use crate::sql::{checksum, same_meaning};

#[track_caller]
fn assert_same(engine: Engine, a: &str, b: &str) {
    assert!(
        same_meaning(engine, a, b),
        "{engine}: {a:?} and {b:?} should be equal"
    );
}

#[track_caller]
fn assert_different(engine: Engine, a: &str, b: &str) {
    assert!(
        !same_meaning(engine, a, b),
        "{engine}: {a:?} and {b:?} should differ"
    );
}

#[test]
fn comments_space_case_and_empty_statements_are_cosmetic() {
    let plain = "CREATE TABLE a (b TEXT DEFAULT 'X' CHECK (b >= 'A')); SELECT \"C\" FROM a";
    for engine in Engine::ALL {
        for edited in [
            "create table A(B text default 'X'check(B>='A'));select\"C\"from A;",
            "\u{feff}-- why\r\nCREATE TABLE a\r\n  (b TEXT DEFAULT 'X' /* x */ CHECK (b >= 'A'))\
             ;;\r\n-- c\r\n;SELECT \"C\"\tFROM a ; -- end",
        ] {
            assert_same(engine, plain, edited);
            assert_ne!(checksum(engine, plain).raw, checksum(engine, edited).raw);
        }
    }
}

#[test]
fn line_ends_are_cosmetic_inside_literals_too() {
    for engine in Engine::ALL {
        assert_same(
            engine,
            "SELECT 'a\nb', \"c\nd\";",
            "SELECT 'a\r\nb', \"c\r\nd\";",
        );
        assert_different(engine, "SELECT 'a\nb'", "SELECT 'a\rb'");
        assert_different(engine, "SELECT 'a\nb'", "SELECT 'a\n\nb'");
        // A script that cannot be split is compared as text.
        assert_same(engine, "SELECT 1;\nSELECT 'a", "SELECT 1;\r\nSELECT 'a");
        assert_different(engine, "SELECT 'a", "select 'a");
    }
    assert_same(Postgres, "DO $$\nBEGIN\nEND $$", "DO $$\r\nBEGIN\r\nEND $$");
}

#[test]
fn everything_else_is_not() {
    for engine in Engine::ALL {
        for (a, b) in [
            ("SELECT a b", "SELECT ab"),
            ("SELECT a, b", "SELECT a b"),
            ("SELECT 'a' 'b'", "SELECT 'a''b'"),
            ("SELECT 'a'", "SELECT 'A'"),
            ("SELECT 'a '", "SELECT 'a'"),
            ("SELECT 'a -- b'", "SELECT 'a'"),
            ("SELECT \"a\"", "SELECT \"A\""),
            ("SELECT \"a\"", "SELECT a"),
            ("SELECT 'a'", "SELECT \"a\""),
            ("SELECT 1", "SELECT 1.0"),
            ("SELECT 1; SELECT 2", "SELECT 2; SELECT 1"),
            ("SELECT 1; SELECT 2", "SELECT 1 SELECT 2"),
            ("SELECT 1 <= 2", "SELECT 1 < = 2"),
            ("SELECT 1 - -2", "SELECT 1 -2"),
            ("SELECT größe", "SELECT GRÖßE"),
            ("SELECT 1", ""),
        ] {
            assert_different(engine, a, b);
        }
    }
}

#[test]
fn postgres_operators_are_cut_as_the_server_cuts_them() {
    assert_same(Postgres, "SELECT a =-1", "SELECT a = - 1");
    assert_same(Postgres, "SELECT a*-b", "SELECT a * - b");
    assert_same(Postgres, "SELECT a::int[]", "SELECT a :: int [ ]");
    // `@-` may be an operator of its own, so a space inside it matters.
    assert_different(Postgres, "SELECT @-1", "SELECT @ - 1");
    assert_different(Postgres, "SELECT a->>'b'", "SELECT a -> > 'b'");
    assert_different(Postgres, "SELECT a::int", "SELECT a : : int");
}

#[test]
fn postgres_strings_on_two_lines_are_one_string() {
    assert_same(Postgres, "SELECT 'a'\n'b'", "SELECT 'a' -- c\r\n\r\n  'b'");
    assert_different(Postgres, "SELECT 'a'\n'b'", "SELECT 'a' 'b'");
    assert_different(Postgres, "SELECT 'a'\n'b'", "SELECT 'a' /* \n */ 'b'");
    assert_same(Sqlite, "SELECT 'a'\n'b'", "SELECT 'a' 'b'");
}

#[test]
fn postgres_function_bodies_count_letter_by_letter() {
    let body = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$";
    assert_different(Postgres, body, &body.replace("SELECT 1", "select 1"));
    assert_different(Postgres, body, &body.replace("$$", "$x$"));
}

#[test]
fn stored_checksums_never_change() {
    // These stand in ledgers of running databases.
    let sums = checksum(Sqlite, "CREATE TABLE a (b TEXT DEFAULT 'x'); -- c\n");
    assert_eq!(
        sums.raw,
        "8d9034203e67e7ebecab438c684730b8ffb6a4727a28c65e55c1cc046faafafa"
    );
    assert_eq!(
        sums.tokens,
        "7b5ce61e7e163749bd7f8fd904a462b1b84bb9335f46c63437547a8f6c959c6d"
    );
    let other = checksum(Postgres, "create table A (b text default 'x')");
    assert_eq!(other.tokens, sums.tokens);
}

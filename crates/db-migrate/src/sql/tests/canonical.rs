//! The comparable forms of catalog texts.

use db_core::Engine::{Postgres, Sqlite};

use crate::sql::{canonical, loose};

#[test]
fn sqlite_names_have_one_spelling() {
    let written = "CREATE TABLE users (id INTEGER PRIMARY KEY, \"order\" TEXT, \"Big\" TEXT)";
    for stored in [
        "CREATE TABLE \"users\" (id INTEGER PRIMARY KEY, \"order\" TEXT, \"Big\" TEXT)",
        "create table [users]\n  (`id` integer primary key,\r\n [order] text, -- c\n [Big] text)",
    ] {
        assert_eq!(canonical(Sqlite, written), canonical(Sqlite, stored));
    }
    assert_eq!(
        canonical(
            Sqlite,
            "SELECT [a\"b], `c``d`, \"e\"\"f\", [order], \"9a\", \"\", [ok_1];"
        ),
        "select \"a\"\"b\" , \"c`d\" , \"e\"\"f\" , \"order\" , \"9a\" , \"\" , ok_1"
    );
    assert_ne!(
        canonical(Sqlite, "SELECT 'users'"),
        canonical(Sqlite, "SELECT \"users\"")
    );
}

#[test]
fn postgres_names_keep_their_quotes() {
    assert_eq!(
        canonical(Postgres, "SELECT \"a\", \"B\" ;; SELECT 2;"),
        "select \"a\" , \"B\" ; select 2"
    );
    assert_eq!(
        canonical(Postgres, "SELECT 'a'\n 'b' 'c'"),
        "select 'ab' 'c'"
    );
}

#[test]
fn a_text_that_cannot_be_split_stays() {
    assert_eq!(canonical(Postgres, " SELECT 'a\r\n"), "SELECT 'a");
    assert_eq!(loose(Sqlite, " SELECT 'a\r\n"), "SELECT 'a");
}

#[test]
fn a_dump_and_restore_is_invisible_to_the_loose_form() {
    let pairs = [
        // Seen on PostgreSQL 15: pg_get_constraintdef before a dump and after its restore.
        (
            "CHECK (((kind)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])\
             ::text[])))",
            "CHECK (((kind)::text = ANY (ARRAY[('a'::character varying)::text, \
             ('b'::character varying)::text])))",
        ),
        (
            "CHECK (((a > 0) AND (b > 0) AND (c > 0)))",
            "CHECK ((((a > 0) AND (b > 0)) AND (c > 0)))",
        ),
    ];
    for (before, after) in pairs {
        assert_eq!(loose(Postgres, before), loose(Postgres, after));
        assert_ne!(canonical(Postgres, before), canonical(Postgres, after));
    }
}

#[test]
fn casts_go_with_all_parts_of_their_type() {
    for cast in [
        "int",
        "int[]",
        "int[3][]",
        "text []",
        "character varying",
        "character varying(10)[]",
        "bit varying(3)",
        "national character varying(3)",
        "double precision",
        "numeric(10,2)",
        "timestamp(3) with time zone",
        "timestamp without time zone[]",
        "time with time zone",
        "interval day to second(3)",
        "public.mood",
        "\"Big\"",
        "public.\"Big\"[]",
        "regclass",
    ] {
        let text = format!("CHECK ((((a)::{cast} <> b) AND f(c::{cast}, d::{cast})))");
        assert_eq!(loose(Postgres, &text), "check a <> b and f c , d", "{cast}");
    }
    assert_eq!(loose(Postgres, "SELECT a::"), "select a");
    assert_eq!(loose(Postgres, "SELECT (a)::numeric(1"), "select a");
    assert_eq!(
        loose(Sqlite, "CHECK ((a > 0) AND (b))"),
        "check a > 0 and b"
    );
}

#[test]
fn the_loose_form_still_sees_other_changes() {
    let check = "CHECK (((kind)::text = ANY (ARRAY['a'::text, 'b'::text])))";
    for changed in [
        check.replace("'b'", "'c'"),
        check.replace("kind", "sort"),
        check.replace('=', "<>"),
        check.replace(", 'b'::text", ""),
    ] {
        assert_ne!(loose(Postgres, check), loose(Postgres, &changed));
    }
}

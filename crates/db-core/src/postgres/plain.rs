//! Whether a statement can be seen to leave the session as it was.
//!
//! What a closure did to its session must be undone before the next one gets it, and undoing costs
//! 10 µs of the server's time where a point read costs 25. So statements that plainly do nothing to
//! the session are told from the others, by their text: an ordinary query that calls nothing but
//! well-known functions. Whatever is not understood counts as not plain and costs the 10 µs.
//! A view, trigger, operator or policy that changes a *setting* or the role behind a plain statement
//! is caught all the same, because these are reset after every transaction (see `session`). One that
//! takes an advisory lock of the session is not: triggers take `pg_advisory_xact_lock`.
//!
//! `set_config` that ends with the word `true` is plain: whatever it sets ends with its transaction. So who
//! acts can be told to triggers without a message of its own afterwards.
//!
//! The statements with which Diesel nests transactions are plain too, and `nextval`: an INSERT into a
//! table with a sequence leaves the same behind.

/// Statements that read and write rows.
const VERBS: [&str; 7] = [
    "delete", "insert", "merge", "select", "update", "values", "with",
];

/// Words that make even a query change the session: `SELECT … INTO TEMP`.
const NEVER: [&str; 2] = ["temp", "temporary"];

/// What may stand before an opening parenthesis: keywords, types with a length, and functions that
/// have no effect on the session.
#[rustfmt::skip]
const BEFORE_PARENTHESIS: &[&str] = &[
    "abs", "all", "and", "any", "array", "array_agg", "as",
    "avg", "between", "bit", "bool_and", "bool_or", "btrim", "by",
    "case", "cast", "ceil", "char", "char_length", "character", "clock_timestamp",
    "coalesce", "concat", "conflict", "count", "cube", "date_part", "date_trunc",
    "decimal", "dense_rank", "distinct", "else", "encode", "except", "exists",
    "extract", "filter", "first_value", "floor", "from", "gen_random_uuid", "generate_series",
    "greatest", "group", "having", "in", "intersect", "interval", "join",
    "json_agg", "json_build_object", "jsonb_agg", "jsonb_build_object", "key", "lag", "last_value",
    "lateral", "lead", "least", "left", "length", "limit", "lower",
    "ltrim", "materialized", "max", "md5", "min", "mod", "nextval", "not",
    "now", "nullif", "numeric", "offset", "on", "or", "over",
    "position", "rank", "replace", "returning", "right", "round", "row",
    "row_number", "row_to_json", "rtrim", "select", "set", "some", "sum",
    "then", "time", "timestamp", "timestamptz", "to_char", "to_json", "to_jsonb",
    "to_timestamp", "trim", "union", "unnest", "upper", "using", "values",
    "varchar", "when", "where", "within",
];

/// What stood before the current character, as far as it matters.
#[derive(Clone, Copy, PartialEq)]
enum Before<'s> {
    Start,
    Word(&'s str),
    /// A quoted name, or one after a dot: no keyword, and no function that is known.
    Name,
    Dot,
    Other,
}

/// Whether `sql` is one query that plainly leaves its session as it was.
///
/// It is text as Diesel shows it: bind values follow in a `--` comment.
pub(super) fn is_plain(sql: &str) -> bool {
    if is_nesting(sql) {
        return true;
    }
    let bytes = sql.as_bytes();
    let mut before = Before::Start;
    // Inside `INTO schema.table`, where a parenthesis opens a list of columns.
    let mut target = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                // The server ends a comment at either.
                let end = bytes[at..].iter().position(|b| matches!(b, b'\n' | b'\r'));
                match end {
                    Some(length) => at += length,
                    None => break,
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => return false,
            b';' => return false,
            // A letter before a quote is E'…', U&'…' and the like: other rules of quoting.
            b'\'' if matches!(before, Before::Word(_)) && at > 0 && bytes[at - 1] != b' ' => {
                return false;
            }
            b'\'' | b'"' => {
                let Some(next) = after(bytes, at + 1, byte) else {
                    return false;
                };
                at = next;
                let is_name = byte == b'"';
                before = if is_name { Before::Name } else { Before::Other };
                target &= is_name;
            }
            b'$' => {
                let digits = bytes[at + 1..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                if digits == 0 {
                    return false;
                }
                at += 1 + digits;
                (before, target) = (Before::Other, false);
            }
            b'(' => {
                let Some(length) = opening(&sql[at..], before, target) else {
                    return false;
                };
                at += length;
                (before, target) = (Before::Other, false);
            }
            b'.' => {
                at += 1;
                before = Before::Dot;
            }
            _ if byte.is_ascii_alphabetic() || byte == b'_' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                    .count();
                let word = &sql[at..at + length];
                if before == Before::Start && !contains(&VERBS, word) || contains(&NEVER, word) {
                    return false;
                }
                at += length;
                if before == Before::Dot {
                    before = Before::Name;
                    continue;
                }
                if target && matches!(before, Before::Word(_)) {
                    // What comes after INTO is a table.
                    before = Before::Name;
                    continue;
                }
                target = word.eq_ignore_ascii_case("into");
                let writes =
                    matches!(before, Before::Word(verb) if contains(&["insert", "merge"], verb));
                if target && !writes {
                    // SELECT … INTO makes a table, which may be a temporary one.
                    return false;
                }
                before = Before::Word(word);
            }
            _ if byte.is_ascii() => {
                if before == Before::Start {
                    return false;
                }
                at += 1;
                (before, target) = (Before::Other, false);
            }
            _ => return false,
        }
    }
    before != Before::Start
}

/// How far to go on from an opening parenthesis, if what stands before it is known.
fn opening(sql: &str, before: Before<'_>, target: bool) -> Option<usize> {
    let opens = match before {
        Before::Word(word) if word.eq_ignore_ascii_case("set_config") => return local_setting(sql),
        Before::Word(word) => may_precede(word),
        Before::Name => target,
        Before::Start | Before::Dot => false,
        Before::Other => true,
    };
    opens.then_some(1)
}

/// The length of the arguments in parentheses, if they hold nothing but values and set for a transaction.
fn local_setting(sql: &str) -> Option<usize> {
    let bytes = sql.as_bytes();
    let mut at = 1;
    let mut commas = Vec::with_capacity(2);
    loop {
        match bytes.get(at)? {
            b')' => break,
            b',' => {
                commas.push(at);
                at += 1;
            }
            b'\'' if !bytes[at - 1].is_ascii_alphanumeric() => at = after(bytes, at + 1, b'\'')?,
            // A bind, and no text in dollars, which may hold anything.
            b'$' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => at += 1,
            b' ' | b'\n' | b'_' | b':' => at += 1,
            byte if byte.is_ascii_alphanumeric() => at += 1,
            _ => return None,
        }
    }
    let &[_, last] = commas.as_slice() else {
        return None;
    };
    let is_local = sql[last + 1..at].trim().eq_ignore_ascii_case("true");
    is_local.then_some(at + 1)
}

/// Whether it is one of the statements with which Diesel nests transactions.
fn is_nesting(sql: &str) -> bool {
    ["SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT "]
        .iter()
        .find_map(|verb| sql.strip_prefix(verb)?.strip_prefix("diesel_savepoint_"))
        .is_some_and(|depth| !depth.is_empty() && depth.bytes().all(|b| b.is_ascii_digit()))
}

/// Where it goes on after the next `end` at or behind `from`.
fn after(bytes: &[u8], from: usize, end: u8) -> Option<usize> {
    let found = bytes[from..].iter().position(|byte| *byte == end)?;
    Some(from + found + 1)
}

/// Whether an opening parenthesis after this word says nothing new.
fn may_precede(word: &str) -> bool {
    BEFORE_PARENTHESIS
        .binary_search_by(|known| {
            known
                .bytes()
                .cmp(word.bytes().map(|b| b.to_ascii_lowercase()))
        })
        .is_ok()
}

fn contains(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::{BEFORE_PARENTHESIS, is_plain, may_precede};

    #[test]
    fn a_binary_search_finds_every_word() {
        assert!(BEFORE_PARENTHESIS.is_sorted());
        assert!(BEFORE_PARENTHESIS.iter().all(|word| may_precede(word)));
        assert!(may_precede("COALESCE") && !may_precede("set_config"));
    }

    #[test]
    fn queries_are_plain() {
        for sql in [
            r#"SELECT "a"."id", "a"."v" FROM "a" WHERE ("a"."id" = $1) -- binds: ["set_config('x')"]"#,
            r#"INSERT INTO "a" ("id", "v") VALUES ($1, $2) RETURNING "a"."id" -- binds: [1]"#,
            r#"INSERT INTO "s"."a" ("id") VALUES ($1) ON CONFLICT ("id") DO UPDATE SET "v" = $2"#,
            "INSERT INTO a (id, v) VALUES ($1, $2) RETURNING id",
            "INSERT INTO s.a(id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET v = $2",
            "WITH b AS (INSERT INTO a (id) VALUES (1) RETURNING id) SELECT * FROM b",
            r#"UPDATE "a" SET "v" = ("a"."v" + $1) WHERE ("a"."id" = $2)"#,
            r#"SELECT count(*), coalesce(max("a"."v"), 0) FROM "a" WHERE "a"."id" IN ($1, $2)"#,
            r"SELECT 'it''s a set_config(''a'')'",
            "DELETE FROM a WHERE at < now() AND b::numeric(10, 2) > 1.5",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "SELECT 1 -- (\r+ 1",
            "SELECT nextval('s')",
            "SAVEPOINT diesel_savepoint_1",
            "RELEASE SAVEPOINT diesel_savepoint_12",
            "ROLLBACK TO SAVEPOINT diesel_savepoint_2",
            "SELECT set_config('app.user', $1, true), set_config('app.x', 'it''s, false', TRUE) -- b",
            "SELECT SET_CONFIG('app.user', $1::text,\n true ) FROM a",
        ] {
            assert!(is_plain(sql), "{sql}");
        }
    }

    #[test]
    fn what_may_change_the_session_is_not() {
        for sql in [
            "",
            "SET x = 1",
            "RESET ALL",
            "LISTEN a",
            "PREPARE p AS SELECT 1",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "CREATE TEMP TABLE t (a int)",
            "DO $$ BEGIN END $$",
            "SELECT set_config('a', 'b', false)",
            "SELECT set_config ('a', 'b', false)",
            "SELECT set_config('a', 'b', $1)",
            "SELECT set_config('a', 'b', true AND false)",
            "SELECT set_config('a', 'b', not true)",
            "SELECT set_config('a', ', true', false)",
            "SELECT set_config('a', f(1), true)",
            "SELECT set_config('a', 'b', 'c', true)",
            "SELECT set_config('a', e'\\', true)', false)",
            "SELECT set_config('a', 'b', true",
            "SELECT set_config('a', 'b' -- , true)\n, false)",
            "SELECT set_config('a', $$b, true) -- $$, false)",
            "SELECT set_config('a', $q$b, true) -- $q$, false)",
            "SELECT set_config('a', $1$$b, true) -- $$, false)",
            "SELECT set_config('a', 'b', true), set_config('a', 'b', false)",
            "SELECT app.set_config('a', 'b', true)",
            "SELECT \"set_config\"('a', 'b', true)",
            "SELECT pg_catalog.set_config('a', 'b', false)",
            "SELECT pg_advisory_lock(1)",
            r#"SELECT "set_config"('a', 'b', false)"#,
            r#"SELECT "app"."tenant"(1)"#,
            "SELECT app.lower(1)",
            "SELECT a INTO TEMPORARY t FROM b",
            "SELECT 1; SET x = 1",
            "SELECT /* ( */ set_tenant(1)",
            "SELECT $$a$$ || set_tenant(1)",
            r"SELECT E'\'' || set_tenant(1) --'",
            "SELECT 1 -- (\n, set_tenant(1)",
            "(SELECT set_tenant(1))",
            "SELECT größe(1)",
            "COMMIT",
            r#"INSERT INTO "a" SELECT * FROM f(1)"#,
            "INSERT INTO a SELECT * FROM f(1)",
            "INSERT INTO a SELECT f(1)",
            "INSERT INTO a (id) VALUES (f(1))",
            "INSERT INTO a.b AS c SELECT d.f(1)",
            "MERGE INTO a USING f(1) AS b ON true WHEN MATCHED THEN DO NOTHING",
            "SELECT 1 AS into, f(1)",
            "SELECT 1 AS into FROM f(1)",
            "SELECT 1 AS into UNION SELECT f(1)",
            "SELECT 1 AS into WHERE f(1)",
            "SELECT 1 INTO TEMP a",
            "SELECT 1 INTO pg_temp.a",
            "SELECT a INTO b FROM c",
            "SELECT 1 -- x\r, set_tenant(1)",
            "SAVEPOINT a",
            "ROLLBACK TO SAVEPOINT diesel_savepoint_1; COMMIT",
            "ROLLBACK TO SAVEPOINT diesel_savepoint_",
            "SELECT 'unterminated",
        ] {
            let sql = sql.replace("\\n", "\n");
            assert!(!is_plain(&sql), "{sql}");
        }
    }
}

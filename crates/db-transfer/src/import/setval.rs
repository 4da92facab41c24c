//! `SELECT setval(…)` of a script, in a form that a rollback undoes.

use db_core::bulk::PostgresBulk;

/// What a statement that seems to call `setval` is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// The query for the arguments.
    Arguments(String),
    /// It calls it in a way that is not understood.
    Unclear,
    /// It does not call it.
    Other,
}

pub(super) const UNCLEAR: &str = "a SELECT may call setval once, and nothing else, so that it can be \
                                  undone; make it several statements";

/// Takes the call out of a statement: `SELECT setval('s', max(id)) FROM t` asks for `'s', max(id)`.
pub(super) fn call(sql: &str) -> Call {
    let Some(rest) = word(sql, "SELECT") else {
        return Call::Other;
    };
    let rest = match word(rest, "PG_CATALOG").map(|rest| rest.strip_prefix('.')) {
        Some(Some(rest)) => rest.trim_start(),
        Some(None) => return Call::Other,
        None => rest,
    };
    let Some(rest) = word(rest, "SETVAL").and_then(|rest| rest.strip_prefix('(')) else {
        return Call::Other;
    };
    let Some(end) = closing(rest) else {
        return Call::Unclear;
    };
    let (arguments, behind) = (&rest[..end], rest[end + 1..].trim_start());
    if behind.starts_with(|c: char| !c.is_ascii_alphabetic()) {
        return Call::Unclear;
    }
    Call::Arguments(format!("SELECT {arguments} {behind}"))
}

/// Passes over a word and the white space behind it.
fn word<'s>(sql: &'s str, word: &str) -> Option<&'s str> {
    let first = sql.get(..word.len())?;
    let rest = &sql[word.len()..];
    let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
    (first.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_start())
}

/// Where the parenthesis is closed; none if that needs more than a look.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (1_usize, None);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (_, '\\') | (None, '$' | ';') => return None,
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some(at),
            (None, ')') => depth -= 1,
            (None, '-') if before == '-' => return None,
            (None, '*') if before == '/' => return None,
            _ => {}
        }
        before = c;
    }
    None
}

/// Restarts the sequences behind the numbers of such a query. What only `setval` can say, that a
/// sequence is used up, is put into `late`.
pub(super) fn run(
    bulk: &mut PostgresBulk,
    arguments: &str,
    late: &mut Vec<String>,
) -> Result<(), db_core::Error> {
    for row in bulk.rows_one(arguments)? {
        let mut row = row.into_iter();
        // Of arguments that are NULL the function makes nothing.
        let (Some(Some(sequence)), Some(Some(at))) = (row.next(), row.next()) else {
            continue;
        };
        let called = match row.next() {
            None => "t".to_owned(),
            Some(Some(called)) => called,
            Some(None) => continue,
        };
        let (sequence, at, called) = (literal(&sequence), literal(&at), literal(&called));
        let found = bulk.rows(&format!(
            "SELECT {sequence}::regclass::text, CASE WHEN NOT {called}::boolean OR v.at NOT BETWEEN seqmin AND \
             seqmax THEN v.at WHEN v.at + seqincrement BETWEEN seqmin AND seqmax THEN v.at + seqincrement \
             WHEN seqcycle AND seqincrement > 0 THEN seqmin WHEN seqcycle THEN seqmax END, \
             seqrelid IS NULL FROM (SELECT {at}::bigint::numeric AS at) AS v \
             LEFT JOIN pg_catalog.pg_sequence ON seqrelid = {sequence}::regclass"
        ))?;
        match found.concat().as_slice() {
            [Some(name), Some(next), _] => {
                bulk.execute(&format!("ALTER SEQUENCE {name} RESTART WITH {next}"))?;
            }
            // The server says what it is instead of a sequence.
            [Some(name), None, Some(other)] if other == "t" => {
                bulk.execute(&format!("ALTER SEQUENCE {name} RESTART"))?;
            }
            _ => late.push(format!(
                "SELECT pg_catalog.setval({sequence}::regclass, {at}::bigint, {called}::boolean)"
            )),
        }
    }
    Ok(())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found() {
        for (sql, found) in [
            (
                "SELECT pg_catalog.setval('public.s', 5, true)",
                "SELECT 'public.s', 5, true ",
            ),
            (
                "select SetVal ('a)''s', (SELECT max(id) FROM t))",
                "SELECT 'a)''s', (SELECT max(id) FROM t) ",
            ),
            (
                "SELECT setval('s', max(id)) FROM t",
                "SELECT 's', max(id) FROM t",
            ),
        ] {
            assert_eq!(call(sql), Call::Arguments(found.to_owned()), "{sql}");
        }
        for sql in [
            "SELECT setval('s', 1), setval('t', 2)",
            "SELECT setval('s', 1) + 1",
            "SELECT setval('s', 1; COMMIT; SELECT 2)",
            "SELECT setval($$s$$, 1)",
            "SELECT setval('s', 1 -- )\n)",
        ] {
            assert_eq!(call(sql), Call::Unclear, "{sql}");
        }
        for sql in ["SELECT setval FROM t", "SELECT setvalue(1)", "SELECT 1"] {
            assert_eq!(call(sql), Call::Other, "{sql}");
        }
    }
}

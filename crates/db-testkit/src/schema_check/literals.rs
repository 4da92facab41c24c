//! The part of an expression that both engines write alike: its literals.
//!
//! PostgreSQL stores `status IN ('a', 'b')` as `status = ANY (ARRAY['a'::text, 'b'::text])`, so
//! texts cannot be compared. But a word that one engine allows and the other does not, or another
//! bound, shows in the literals.

/// What stands for the present moment, however an engine says it.
const NOW: &str = "now";

/// The strings, numbers and truth values of an expression, sorted, each once.
///
/// `now()` and SQLite's way to say it, through the Julian day, count as the literal `now`.
pub(crate) fn literals(expression: &str) -> Vec<String> {
    let lower = expression.to_ascii_lowercase();
    if lower == "now()" {
        return vec![NOW.to_owned()];
    }
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => string(rest),
            c if c.is_alphanumeric() || c == '_' => word(rest),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        match first {
            '\'' => found.push(token.to_owned()),
            c if c.is_ascii_digit() => found.push(number(token)),
            _ if token.eq_ignore_ascii_case("true") => found.push("1".to_owned()),
            _ if token.eq_ignore_ascii_case("false") => found.push("0".to_owned()),
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    // The constants of this one formula, so that a slip in one of them shows.
    if lower.contains("julianday") && found == ["'now'", "2440587.5", "86400000000"] {
        return vec![NOW.to_owned()];
    }
    found
}

/// The length of the string that starts here; a doubled quote is inside.
fn string(text: &str) -> usize {
    let mut quotes = 0_usize;
    for (at, c) in text.char_indices() {
        if c == '\'' {
            quotes += 1;
        } else if quotes.is_multiple_of(2) {
            return at;
        }
    }
    text.len()
}

/// The length of the word or number that starts here.
fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
        .unwrap_or(text.len())
}

/// `0`, `0.0` and `20.00` as `0`, `0` and `20`.
fn number(token: &str) -> String {
    match token.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() {
                whole.to_owned()
            } else {
                format!("{whole}.{fraction}")
            }
        }
        None => token.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::literals;

    #[test]
    fn both_ways_to_write_an_expression_have_the_same_literals() {
        for (sqlite, postgres) in [
            (
                "status IN ('b', 'it''s')",
                "(status = ANY (ARRAY['it''s'::text, 'b'::text]))",
            ),
            (
                "x >= 0.1 AND x <= 20.0",
                "x >= (0.1)::double precision AND x <= 20",
            ),
            ("is_active = 1", "is_active = true"),
            ("'{}'", "'{}'::jsonb"),
            (
                "cast ( ( julianday ( 'now' ) - 2440587.5 ) * 86400000000 as integer )",
                "now()",
            ),
        ] {
            assert_eq!(literals(sqlite), literals(postgres), "{sqlite}");
        }
    }

    #[test]
    fn another_word_or_bound_shows() {
        assert_ne!(literals("s IN ('a', 'b')"), literals("s IN ('a', 'c')"));
        assert_ne!(literals("x > 0"), literals("x > 1"));
    }
}

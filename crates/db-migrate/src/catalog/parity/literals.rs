//! The parts of an expression that both engines write alike: literals, columns and operators.
//!
//! PostgreSQL stores `status IN ('a', 'b')` as `status = ANY (ARRAY['a'::text, 'b'::text])`, so
//! texts cannot be compared. But a word that one engine allows and the other does not, or another
//! bound, shows in the literals; another column or comparison in the rest.

/// What stands for the present moment, however an engine says it.
const NOW: &str = "now";

/// What operators are made of.
const OPERATOR: [char; 9] = ['<', '>', '=', '!', '+', '-', '*', '/', '|'];

/// Words and functions that both engines have, and that change what an expression means.
const LOGIC: [&str; 11] = [
    "and", "or", "not", "is", "null", "case", "when", "else", "abs", "length", "coalesce",
];

/// The strings, numbers and truth values of an expression, sorted, each once.
///
/// `now()` and SQLite's way to say it, through the Julian day, count as the literal `now`.
pub(super) fn literals(expression: &str) -> Vec<String> {
    let lower = expression.to_ascii_lowercase();
    if lower == "now()" {
        return vec![NOW.to_owned()];
    }
    let mut found = Vec::new();
    for token in tokens(expression) {
        match token.chars().next() {
            Some('\'') => found.push(match below_zero(token) {
                Some(digits) => number(digits),
                None => quoted_number(token).unwrap_or_else(|| token.to_owned()),
            }),
            Some(c) if c.is_ascii_digit() => found.push(number(token)),
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

/// The columns, operators and words of logic of an expression, sorted, each as often as it stands.
///
/// `IN` and `= ANY` both count as `=`, casts as nothing.
pub(super) fn parts(expression: &str, columns: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = "";
    for token in tokens(expression) {
        let lower = token.trim_matches('"').to_ascii_lowercase();
        let cast = std::mem::replace(&mut before, token) == "::";
        match lower.as_str() {
            "in" => found.push("=".to_owned()),
            "!=" => found.push("<>".to_owned()),
            "::" => {}
            _ if below_zero(token).is_some() => found.push("-".to_owned()),
            word if LOGIC.contains(&word) => found.push(lower),
            word if !cast && columns.contains(&word) => found.push(lower),
            sign if sign.starts_with(OPERATOR) => found.push(lower),
            _ => {}
        }
    }
    found.sort_unstable();
    found
}

/// Whether the expression holds `column <= n` with an `n` of `most` or less.
pub fn has_upper_bound(expression: &str, column: &str, most: i64) -> bool {
    let bounds = bounds(expression, column, "<=");
    bounds.iter().any(|bound| *bound <= most)
}

/// Whether the expression holds `column >= n`, or `column > n`.
pub fn has_lower_bound(expression: &str, column: &str) -> bool {
    let bounds = |sign| bounds(expression, column, sign);
    !(bounds(">=").is_empty() && bounds(">").is_empty())
}

/// What the column is compared with by this operator.
fn bounds(expression: &str, column: &str, sign: &str) -> Vec<i64> {
    let compared = |three: &[&str]| match three {
        [name, operator, bound] if *name == column && *operator == sign => bound.parse().ok(),
        _ => None,
    };
    tokens(expression).windows(3).filter_map(compared).collect()
}

/// Strings, words and numbers, operators, and single other characters; no white space.
fn tokens(expression: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' => string(rest),
            '"' => rest
                .match_indices('"')
                .nth(1)
                .map_or(rest.len(), |(at, quote)| at + quote.len()),
            c if c.is_alphanumeric() || c == '_' => word(rest),
            c if OPERATOR.contains(&c) || c == ':' => rest
                .find(|c: char| !(OPERATOR.contains(&c) || c == ':'))
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        if !first.is_whitespace() {
            found.push(token);
        }
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

/// A number that PostgreSQL put between quotes, as in `'1e+308'::double precision`.
fn quoted_number(token: &str) -> Option<String> {
    let inside = token.trim_matches('\'');
    let exponent = inside.contains("e+") && inside.starts_with(|c: char| c.is_ascii_digit());
    let plain = || inside.replace("e+", "e");
    exponent.then(plain)
}

/// The digits of a number below zero, which PostgreSQL puts between quotes, as in `'-5'::integer`.
fn below_zero(token: &str) -> Option<&str> {
    let digits = token.strip_prefix("'-")?.strip_suffix('\'')?;
    let is_number =
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.parse::<f64>().is_ok();
    is_number.then_some(digits)
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
    use super::{has_lower_bound, has_upper_bound, literals, parts};

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
            ("- 5.0", "'-5'::integer"),
            ("'{}'", "'{}'::jsonb"),
            ("abs(x) <= 1e308", "(abs(x) <= '1e+308'::double precision)"),
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

    #[test]
    fn both_ways_to_write_an_expression_have_the_same_parts() {
        let columns = ["status", "amount", "x", "text"];
        for (sqlite, postgres) in [
            (
                "status IN ('b', 'and')",
                "(status = ANY (ARRAY['and'::text, 'b'::text]))",
            ),
            (
                "x - amount = CASE status WHEN 'a' THEN amount ELSE 0 END",
                "((x - amount) = CASE status WHEN 'a'::text THEN amount ELSE (0)::bigint END)",
            ),
            ("x <> 1 OR x IS NULL", "((x != 1) OR (x IS NULL))"),
            ("x > - 9", "(x > '-9'::integer)"),
        ] {
            assert_eq!(
                parts(sqlite, &columns),
                parts(postgres, &columns),
                "{sqlite}"
            );
        }
        assert_ne!(parts("x > 0", &columns), parts("x >= 0", &columns));
        assert_ne!(parts("x > 0", &columns), parts("amount > 0", &columns));
        assert_ne!(parts("x > 0 AND x > 0", &columns), parts("x > 0", &columns));
    }

    #[test]
    fn a_bound_is_that_of_the_column() {
        let check = "x IS NULL OR ( x >= 0 AND x <= 23 )";
        assert!(has_lower_bound(check, "x") && has_upper_bound(check, "x", 23));
        assert!(!has_upper_bound(check, "x", 22));
        assert!(!has_lower_bound(check, "y") && !has_upper_bound(check, "y", 23));
    }
}

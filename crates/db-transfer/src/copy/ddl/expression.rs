//! Expressions of one engine as the other may understand them. Whether it does, it is asked.

use crate::convert::Form;

/// A default that means the same on both engines; `None` for what has to be left out.
pub(in super::super) fn literal(text: &str) -> Option<String> {
    let text = without_casts(text);
    let text = text.trim();
    let inner = match text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        Some(inner) => inner.trim(),
        None => text,
    };
    let word = inner.to_ascii_uppercase();
    // The catalog parts a sign from its number.
    let sign = inner.len() - inner.trim_start_matches(['+', '-']).len();
    let digits = inner[sign..].trim_start();
    let is_number = sign <= 1
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.parse::<f64>().is_ok();
    if is_number {
        return Some(format!("{}{digits}", &inner[..sign]));
    }
    let is_text = inner.len() >= 2
        && inner.starts_with('\'')
        && inner.ends_with('\'')
        && !inner[1..inner.len() - 1].replace("''", "").contains('\'');
    let is_word = ["NULL", "TRUE", "FALSE"].contains(&word.as_str());
    (is_text || is_word).then(|| inner.to_owned())
}

/// A literal of PostgreSQL for a column of SQLite with values of this form; `None` where it would be
/// another value there.
pub(in super::super) fn literal_of(form: Form, literal: String) -> Option<String> {
    if literal.eq_ignore_ascii_case("NULL") {
        return Some(literal);
    }
    match form {
        Form::Blob => {
            let digits = literal.strip_prefix("'\\x")?.strip_suffix('\'')?;
            let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            are_digits.then(|| format!("x'{digits}'"))
        }
        // Written in the zone and the way of the session that asks.
        Form::MomentText => None,
        _ => Some(literal),
    }
}

/// PostgreSQL's way to write an expression, in words that SQLite has.
pub(in super::super) fn for_sqlite(text: &str) -> String {
    let plain = without_casts(text);
    let plain = plain
        .replace("= ANY ((ARRAY[", "IN (")
        .replace("= ANY (ARRAY[", "IN (");
    if plain.contains("IN (") {
        plain.replace("]))", ")").replace("])", ")")
    } else {
        plain
    }
}

/// The text without `::type` outside of literals and quoted names.
fn without_casts(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ':' && bytes.get(at + 1) == Some(&b':') => {
                let end = at + 2 + type_length(&text[at + 2..]);
                out.push_str(&without_casts(&text[end..]));
                return out;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// How long the name of a type is: `character varying(20)[]`, `timestamp with time zone`.
fn type_length(text: &str) -> usize {
    const MANY: [&str; 6] = [
        "character varying",
        "double precision",
        "timestamp with time zone",
        "timestamp without time zone",
        "time with time zone",
        "time without time zone",
    ];
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let name = match MANY.iter().find(|name| text.starts_with(**name)) {
        Some(name) => name.len(),
        None => match text.strip_prefix('"').and_then(|rest| rest.find('"')) {
            Some(end) => end + 2,
            None => text.find(|c| !word(c)).unwrap_or(text.len()),
        },
    };
    let mut length = name;
    if text[length..].starts_with('(')
        && let Some(end) = text[length..].find(')')
    {
        length += end + 1;
    }
    while text[length..].starts_with("[]") {
        length += 2;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_go_and_lists_stay() {
        for (text, expected) in [
            ("(price > (0)::numeric)", "(price > (0))"),
            (
                "((state)::text = ANY ((ARRAY['a'::character varying, 'b::c'::character varying(3)])::text[]))",
                "((state) IN ('a', 'b::c'))",
            ),
            ("x = ANY (ARRAY[1, 2])", "x IN (1, 2)"),
            ("name ~ 'x'::text", "name ~ 'x'"),
            ("a[1] > 0", "a[1] > 0"),
        ] {
            assert_eq!(for_sqlite(text), expected, "{text}");
        }
    }

    #[test]
    fn only_plain_values_are_defaults_of_both() {
        for text in [
            "0",
            "-1.5",
            "'it''s'",
            "NULL",
            "true",
            "'a'::text",
            "('x')",
            "(-1)",
        ] {
            assert!(literal(text).is_some(), "{text}");
        }
        for (text, expected) in [("- 5", "-5"), ("(+ .5)", "+.5"), ("-1e3", "-1e3")] {
            assert_eq!(literal(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "now()",
            "CURRENT_TIMESTAMP",
            "nextval('a'::regclass)",
            "'a' || 'b'",
            "inf",
            "-inf",
            "- - 5",
            "\"x\"",
        ] {
            assert!(literal(text).is_none(), "{text}");
        }
    }

    #[test]
    fn bytes_stay_bytes() {
        for (form, text, expected) in [
            (Form::Blob, "'\\x00ff'", Some("x'00ff'")),
            (Form::Blob, "'\\x'", Some("x''")),
            (Form::Blob, "'\\000\\377'", None),
            (Form::Blob, "NULL", Some("NULL")),
            (Form::MomentText, "'2024-01-01 00:00:00+00'", None),
            (Form::Text, "'\\x00ff'", Some("'\\x00ff'")),
        ] {
            let found = literal_of(form, text.to_owned());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}

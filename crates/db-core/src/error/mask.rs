//! Values out of messages: what an application bound or stored must not get into its logs.
//!
//! Both engines quote values in some of their messages, mostly those about a value that cannot be
//! (SQLSTATE class 22). PostgreSQL keeps to a style there: a name stands in quotes inside the
//! sentence, a value after a colon at its end.

/// What stands for a value.
const MASK: &str = "…";

/// How messages of PostgreSQL begin that hold a value inside the sentence.
const VALUE_INSIDE: [&str; 9] = [
    "\"",
    "value \"",
    "invalid value \"",
    "invalid symbol \"",
    "invalid name syntax",
    "time zone \"",
    "interval units \"",
    "timestamp units \"",
    "timestamp with time zone units \"",
];

/// How those begin that end in the bytes of a value.
const BYTES: [&str; 2] = [
    "invalid byte sequence for encoding ",
    "character with byte sequence ",
];

/// How messages of SQLite begin that end in a value.
const SQLITE_VALUES: [&str; 6] = [
    "bad JSON path: ",
    "JSON path error near ",
    "fts5: ",
    "malformed MATCH expression: ",
    "unknown special query: ",
    "parse error in ",
];

/// What Diesel says of a value that it cannot read, without showing it.
const WITHOUT_VALUE: [&str; 3] = [
    "Unexpected null for non-null column",
    "Received more than ",
    "Received less than ",
];

/// The message without its values, if it holds any.
pub(super) fn postgres(message: &str) -> Option<String> {
    if BYTES.iter().any(|begin| message.starts_with(begin)) {
        let end = message.find("byte sequence")? + "byte sequence".len();
        return Some(format!("{} {MASK}", message.get(..end)?));
    }
    if VALUE_INSIDE.iter().any(|begin| message.starts_with(begin)) {
        let (first, last) = (message.find('"')?, message.rfind('"')?);
        return Some(quoted(message, first, last));
    }
    let first = message.find(": \"")? + 2;
    Some(quoted(message, first, message.rfind('"')?))
}

/// The message without its values, if it holds any.
pub(super) fn sqlite(message: &str) -> Option<String> {
    let begin = SQLITE_VALUES.iter().find(|b| message.starts_with(**b))?;
    Some(format!("{begin}{MASK}"))
}

/// Diesel's message of a value that it could not read or write, without that value.
pub(super) fn conversion(message: &str) -> Option<String> {
    let (field, said) = match message.split_once("': ") {
        Some((field, said)) if field.starts_with("Error deserializing field '") => {
            (Some(field), said)
        }
        _ => (None, message),
    };
    if WITHOUT_VALUE.iter().any(|begin| said.starts_with(begin)) {
        return None;
    }
    Some(match field {
        Some(field) => format!("{field}': {MASK}"),
        None => "a value is none of the type that was asked for".to_owned(),
    })
}

/// Masks what is between two quotes; from the first on, if there is no second.
fn quoted(message: &str, first: usize, last: usize) -> String {
    let before = message.get(..=first).unwrap_or_default();
    let after = if last > first {
        message.get(last..).unwrap_or_default()
    } else {
        "\""
    };
    format!("{before}{MASK}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_and_names_are_not() {
        for (said, shown) in [
            (
                "invalid input syntax for type integer: \"4111 \"1\" 1\"",
                Some("invalid input syntax for type integer: \"…\""),
            ),
            (
                "invalid input value for enum \"Mood\": \"sad\"",
                Some("invalid input value for enum \"Mood\": \"…\""),
            ),
            (
                "value \"99\" is out of range for type integer",
                Some("value \"…\" is out of range for type integer"),
            ),
            (
                "\"1e999\" is out of range for type double precision",
                Some("\"…\" is out of range for type double precision"),
            ),
            (
                "date/time field value out of range: \"2025-13-40\"",
                Some("date/time field value out of range: \"…\""),
            ),
            (
                "invalid value \"xx\" for \"MM\"",
                Some("invalid value \"…\""),
            ),
            (
                "time zone \"4111\" not recognized",
                Some("time zone \"…\" not recognized"),
            ),
            (
                "invalid byte sequence for encoding \"UTF8\": 0xff",
                Some("invalid byte sequence …"),
            ),
            (
                "malformed array literal: \"{",
                Some("malformed array literal: \"…\""),
            ),
            ("relation \"nope\" does not exist", None),
            ("syntax error at or near \"SELEC\"", None),
            ("division by zero", None),
            ("value too long for type character varying(3)", None),
        ] {
            assert_eq!(postgres(said).as_deref(), shown, "{said}");
        }
        for (said, shown) in [
            ("bad JSON path: '4111'", Some("bad JSON path: …")),
            ("fts5: syntax error near \"4111\"", Some("fts5: …")),
            ("no such column: nope", None),
            ("near \"SELEC\": syntax error", None),
        ] {
            assert_eq!(sqlite(said).as_deref(), shown, "{said}");
        }
        for (said, shown) in [
            (
                "Error deserializing field 'born': Invalid datetime 4111",
                Some("Error deserializing field 'born': …"),
            ),
            (
                "Error deserializing field 'born': Unexpected null for non-null column",
                None,
            ),
            (
                "Invalid time 4111",
                Some("a value is none of the type that was asked for"),
            ),
        ] {
            assert_eq!(conversion(said).as_deref(), shown, "{said}");
        }
    }
}

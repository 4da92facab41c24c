//! Input, checked at the door: the error names the field and the rule.

use std::ops::RangeInclusive;

use db_schema::types::UtcTime;
use serde_json::Value;

use crate::{Error, Result};

/// Longest key of a row that a caller chooses, in characters.
pub(crate) const KEY_LENGTH: usize = 128;

/// PostgreSQL has no text with this character.
const NO_NUL: &str = "must not hold U+0000";

fn invalid(field: &'static str, rule: impl Into<String>) -> Error {
    Error::Invalid {
        field,
        rule: rule.into(),
    }
}

/// The cursor is none of this list.
pub(crate) fn no_cursor() -> Error {
    invalid("after", "must be the cursor of a page of this list")
}

/// Something that has to hold.
pub(crate) fn rule(field: &'static str, holds: bool, rule: &'static str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(invalid(field, rule))
    }
}

/// A text of so many characters, none of them a control character.
pub(crate) fn text(field: &'static str, value: &str, length: RangeInclusive<usize>) -> Result<()> {
    let count = value.chars().count();
    if !length.contains(&count) {
        let rule = format!(
            "needs {} to {} characters, has {count}",
            length.start(),
            length.end()
        );
        return Err(invalid(field, rule));
    }
    rule(
        field,
        !value.chars().any(char::is_control),
        "must hold no control characters",
    )
}

/// A name by which people know something: one with white space around it reads as another's.
pub(crate) fn name(field: &'static str, value: &str, length: RangeInclusive<usize>) -> Result<()> {
    text(field, value, length)?;
    rule(
        field,
        value.trim() == value,
        "must not begin or end with white space",
    )
}

/// A text of at most so many characters that may have lines.
pub(crate) fn prose(field: &'static str, value: &str, most: usize) -> Result<()> {
    let count = value.chars().count();
    if count > most {
        let rule = format!("may have {most} characters, has {count}");
        return Err(invalid(field, rule));
    }
    rule(field, !value.contains('\0'), NO_NUL)
}

/// A key that a caller chooses.
pub(crate) fn key(field: &'static str, value: &str) -> Result<()> {
    text(field, value, 1..=KEY_LENGTH)
}

/// A text that a row is looked for by: whatever a row may have, but not what none can. SQLite would find
/// nothing, PostgreSQL refuses the statement and with it the transaction.
pub(crate) fn sought(field: &'static str, value: &str) -> Result<()> {
    rule(field, !value.contains('\0'), NO_NUL)
}

/// A moment that both engines can hold. Of the clock's own there is no doubt.
pub(crate) fn moment(field: &'static str, value: UtcTime) -> Result<()> {
    rule(
        field,
        value >= UtcTime::FIRST,
        "must not be before 24 November of 4714 BC",
    )
}

/// So many bytes.
pub(crate) fn bytes(
    field: &'static str,
    value: &[u8],
    length: RangeInclusive<usize>,
) -> Result<()> {
    if length.contains(&value.len()) {
        return Ok(());
    }
    let rule = format!(
        "needs {} to {} bytes, has {}",
        length.start(),
        length.end(),
        value.len()
    );
    Err(invalid(field, rule))
}

/// A number within bounds.
#[expect(clippy::needless_pass_by_value, reason = "it is a number")]
pub(crate) fn within<T>(field: &'static str, value: T, bounds: RangeInclusive<T>) -> Result<()>
where
    T: PartialOrd + std::fmt::Debug,
{
    if bounds.contains(&value) {
        return Ok(());
    }
    // Numbers look the same this way, but for 1e308, which would have 309 digits.
    let rule = format!(
        "must be from {:?} to {:?}, is {value:?}",
        bounds.start(),
        bounds.end()
    );
    Err(invalid(field, rule))
}

/// Money that moves: more than nothing.
pub(crate) fn amount(field: &'static str, value: i64) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(invalid(field, format!("must be above 0, is {value}")))
}

/// A number that is one.
pub(crate) fn finite(field: &'static str, value: f64) -> Result<()> {
    rule(
        field,
        value.abs() <= 1e308,
        "must be a finite number up to 1e308",
    )
}

/// Longest word of an open vocabulary, in characters.
const WORD_LENGTH: usize = 50;

/// A word of a vocabulary that the application keeps: it may be matched and counted, so it is no prose.
pub(crate) fn word(field: &'static str, value: &str) -> Result<()> {
    let mut letters = value.chars();
    let holds = value.len() <= WORD_LENGTH
        && letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    rule(
        field,
        holds,
        "must be a letter and up to 49 more letters, digits, _, - or .",
    )
}

/// Longest JSON document, in bytes as text.
pub(crate) const JSON_LENGTH: usize = 1 << 20;

/// Most arrays and objects of a JSON document within one another. What is written has to be read
/// again, and `serde_json` reads no more than 127.
pub(crate) const JSON_DEPTH: usize = 64;

/// A JSON document of bearable size and depth, whose texts both engines can hold.
pub(crate) fn json(field: &'static str, value: &Value) -> Result<()> {
    // First: to write what is too deep may take more of the stack than there is.
    let mut texts = true;
    rule(
        field,
        is_shallow(value, |text| texts &= !text.contains('\0')),
        "may have 64 arrays and objects within one another",
    )?;
    rule(field, texts, NO_NUL)?;
    let mut size = Size(0);
    let written = serde_json::to_writer(&mut size, value);
    rule(
        field,
        written.is_ok() && size.0 <= JSON_LENGTH,
        "must be JSON of at most 1 MiB as text",
    )
}

/// Whether no more arrays and objects lie within one another than may; shows each text, keys included.
/// Does not call itself.
fn is_shallow(value: &Value, mut text: impl FnMut(&str)) -> bool {
    let mut left = vec![(value, 0)];
    while let Some((value, depth)) = left.pop() {
        match value {
            Value::Array(_) | Value::Object(_) if depth == JSON_DEPTH => return false,
            Value::Array(items) => left.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                fields.keys().for_each(|key| text(key));
                left.extend(fields.values().map(|item| (item, depth + 1)));
            }
            Value::String(content) => text(content),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    true
}

/// A JSON object of bearable size.
pub(crate) fn object(field: &'static str, value: &Value) -> Result<()> {
    rule(field, value.is_object(), "must be a JSON object")?;
    json(field, value)
}

/// Counts what is written.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(result: Result<()>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_field_and_rule() {
        assert_eq!(
            said(text("username", "", 1..=64)),
            "username: needs 1 to 64 characters, has 0"
        );
        assert_eq!(
            said(text("username", "a\nb", 1..=64)),
            "username: must hold no control characters"
        );
        assert_eq!(said(amount("amount", -1)), "amount: must be above 0, is -1");
        assert_eq!(
            said(within("limit", 0, 1..=1000)),
            "limit: must be from 1 to 1000, is 0"
        );
        assert_eq!(
            said(within("multiplier", -0.5, 0.0..=1e308)),
            "multiplier: must be from 0.0 to 1e308, is -0.5"
        );
        assert_eq!(
            said(bytes("public_key", &[], 1..=4)),
            "public_key: needs 1 to 4 bytes, has 0"
        );
        assert_eq!(
            said(finite("reputation", f64::NAN)),
            "reputation: must be a finite number up to 1e308"
        );
    }

    #[test]
    fn a_name_has_no_white_space_around_it() {
        for right in ["a", "name of u1", "élan"] {
            assert!(name("username", right, 1..=64).is_ok(), "{right}");
        }
        for wrong in [" ", " lead", "trail ", "\u{a0}a", "a\u{3000}", " a "] {
            assert_eq!(
                said(name("username", wrong, 1..=64)),
                "username: must not begin or end with white space",
                "{wrong:?}"
            );
        }
        assert!(name("username", "", 1..=64).is_err());
    }

    #[test]
    fn a_word_is_no_prose() {
        for right in ["a", "PreToolUse", "tool.use-2_b"] {
            assert!(word("kind", right).is_ok(), "{right}");
        }
        for wrong in ["", "2a", "a b", "é", "a\0", &"a".repeat(51)] {
            assert!(word("kind", wrong).is_err(), "{wrong}");
        }
        assert!(prose("description", "two\nlines", 9).is_ok());
        assert!(prose("description", "two\nlines", 8).is_err());
        assert!(prose("description", "\0", 8).is_err());
        assert!(object("labels", &serde_json::json!({})).is_ok());
        assert!(object("labels", &serde_json::json!([])).is_err());
    }

    #[test]
    fn json_is_only_so_deep() {
        use serde_json::json;
        let deep = |depth: usize, wrap: fn(Value) -> Value| {
            (0..depth).fold(json!(1), |inner, _| wrap(inner))
        };
        for wrap in [|v| json!([v]), |v| json!({ "a": v, "b": 1 })] {
            assert!(json("payload", &deep(JSON_DEPTH, wrap)).is_ok());
            let refused = said(json("payload", &deep(JSON_DEPTH + 1, wrap)));
            assert_eq!(
                refused,
                "payload: may have 64 arrays and objects within one another"
            );
        }
        // As much beside one another as is wanted.
        assert!(json("payload", &json!(vec![json!([]); 1_000])).is_ok());
    }

    #[test]
    fn no_text_holds_what_postgresql_has_not() {
        use serde_json::json;
        for wrong in [
            json!("a\0"),
            json!([[], ["\0"]]),
            json!({"a": {"b": "\0"}}),
            json!({"a": {"b\0": 1}}),
        ] {
            let refused = said(json("payload", &wrong));
            assert_eq!(refused, "payload: must not hold U+0000", "{wrong}");
        }
        assert!(json("payload", &json!({"a\u{1}": "\n"})).is_ok());
        assert_eq!(said(sought("id", "\0")), "id: must not hold U+0000");
        assert!(sought("id", "").is_ok() && sought("id", &"x\n".repeat(999)).is_ok());
    }

    #[test]
    fn no_moment_is_before_postgresqls_first() {
        let first = UtcTime::FIRST;
        assert!(moment("created_at", first).is_ok());
        assert!(moment("created_at", UtcTime::LAST).is_ok());
        let before = first.checked_sub_signed(chrono::TimeDelta::microseconds(1));
        assert_eq!(
            said(moment("created_at", before.unwrap().into())),
            "created_at: must not be before 24 November of 4714 BC"
        );
    }

    #[test]
    fn what_is_right_passes() {
        assert!(text("username", "élan", 4..=4).is_ok());
        assert!(json("metadata", &serde_json::json!({"a": [1, null]})).is_ok());
        let long = Value::String("x".repeat(JSON_LENGTH));
        assert!(json("metadata", &long).is_err());
    }
}

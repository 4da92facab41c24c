//! Names of tables and columns: as the catalog has them, as SQL does, as a person writes them.

pub(super) use crate::shape::quoted as quote;

/// The name that the catalog gives to a table, as SQL has it.
///
/// The catalog quotes the parts of a name where they would be ambiguous, and separates them by a
/// point.
pub(super) fn sql_name(name: &str) -> String {
    let parts: Vec<_> = parts(name).iter().map(|part| quote(part)).collect();
    parts.join(".")
}

/// The parts of a name that the catalog gives, without quotes.
pub(super) fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut letters) = (false, name.chars().peekable());
    while let Some(letter) = letters.next() {
        let part = parts.last_mut();
        match (letter, quoted, part) {
            ('"', true, Some(part)) if letters.peek() == Some(&'"') => {
                letters.next();
                part.push('"');
            }
            ('"', true, _) => quoted = false,
            ('"', false, Some(part)) if part.is_empty() => quoted = true,
            ('.', false, _) => parts.push(String::new()),
            (letter, _, Some(part)) => part.push(letter),
            (_, _, None) => {}
        }
    }
    parts
}

/// A name in which `%` and two digits stand for a byte.
pub(super) fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match behind {
            [high, low, behind @ ..] if first == b'%' => {
                if !crate::format::unhex(&[*high, *low], &mut bytes) {
                    return None;
                }
                rest = behind;
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

/// A name in an example of a command.
pub(super) fn shell(name: &str) -> String {
    if name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_catalog_become_identifiers() {
        assert_eq!(sql_name("users"), "\"users\"");
        assert_eq!(sql_name("s.t"), "\"s\".\"t\"");
        assert_eq!(sql_name("\"a.b\""), "\"a.b\"");
        assert_eq!(sql_name("s.\"a\"\"; DROP\""), "\"s\".\"a\"\"; DROP\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}

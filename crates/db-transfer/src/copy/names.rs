//! Names of tables as the catalog's model writes them, and as SQL takes them.

pub(super) use crate::shape::quoted;

/// The longest name that PostgreSQL keeps whole, in bytes.
pub(super) const LONGEST: usize = 63;

/// A table's name, with its schema on PostgreSQL unless that is the home schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) table: String,
}

impl Name {
    /// Reads `table`, `"ta.ble"`, `schema.table`, `"sch.ema"."ta.ble"`.
    pub(super) fn parse(text: &str) -> Self {
        let (first, rest) = part(text);
        match rest {
            Some(rest) => Self {
                schema: Some(first),
                table: part(rest).0,
            },
            None => Self {
                schema: None,
                table: first,
            },
        }
    }

    /// As SQL takes it.
    pub(super) fn sql(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.table)),
            None => quoted(&self.table),
        }
    }

    /// For a person.
    pub(super) fn shown(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.table),
            None => self.table.clone(),
        }
    }
}

/// The first part without its quotes, and what follows its point.
fn part(text: &str) -> (String, Option<&str>) {
    let Some(inner) = text.strip_prefix('"') else {
        return match text.split_once('.') {
            Some((first, rest)) => (first.to_owned(), Some(rest)),
            None => (text.to_owned(), None),
        };
    };
    let mut name = String::new();
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            name.push('"');
        } else {
            return (name, inner[at + 1..].strip_prefix('.'));
        }
    }
    (name, None)
}

/// Names in quotes, with commas between them.
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}

/// A text as a literal of SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_at_their_own_points_only() {
        for (text, schema, table) in [
            ("users", None, "users"),
            ("\"a.b\"", None, "a.b"),
            ("\"a\"\"b c\"", None, "a\"b c"),
            ("audit.log", Some("audit"), "log"),
            ("\"a.b\".\"c\"\".d\"", Some("a.b"), "c\".d"),
        ] {
            let name = Name::parse(text);
            assert_eq!(
                (name.schema.as_deref(), name.table.as_str()),
                (schema, table),
                "{text}"
            );
        }
    }
}

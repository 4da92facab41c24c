//! A `CREATE TABLE` taken apart into columns, constraints and options.

use super::tokens::{Token, tokens};

/// What a table constraint can start with.
const CONSTRAINT_STARTS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];

/// The parts of one `CREATE TABLE`, as slices of its text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::catalog) struct TableText<'s> {
    /// The columns in order: name and whole definition.
    pub columns: Vec<(String, &'s str)>,
    /// The constraints that are written after the columns: name, if any, and whole definition.
    pub(in crate::catalog) constraints: Vec<(Option<String>, &'s str)>,
    /// What follows the closing parenthesis, such as `STRICT`.
    pub options: &'s str,
}

/// Takes a table's text apart; `None` for what has no list of columns, as virtual tables.
pub(in crate::catalog) fn split(sql: &str) -> Option<TableText<'_>> {
    let all = tokens(sql);
    if !(all.first()?.is("CREATE") && all.get(1)?.is("TABLE")) {
        return None;
    }
    let open = all.iter().position(|t| t.is_mark('('))?;
    let mut table = TableText::default();
    let (mut depth, mut first) = (0_usize, open + 1);
    for (at, token) in all.iter().enumerate().skip(open) {
        if token.is_mark('(') {
            depth += 1;
        } else if token.is_mark(')') {
            depth -= 1;
        }
        if depth == 0 || (depth == 1 && token.is_mark(',')) {
            item(sql, &all[first..at], &mut table);
            first = at + 1;
        }
        if depth == 0 {
            table.options = sql[token.end()..].trim();
            return Some(table);
        }
    }
    None
}

/// Files one item between two commas.
fn item<'s>(sql: &'s str, item: &[Token<'s>], table: &mut TableText<'s>) {
    let Some(head) = item.first() else { return };
    if !starts_constraint(head) {
        table.columns.push((head.name(), slice(sql, item)));
        return;
    }
    // SQLite also takes constraints that no comma separates.
    let (mut depth, mut first) = (0_usize, 0);
    for (at, token) in item.iter().enumerate() {
        if token.is_mark('(') {
            depth += 1;
        } else if token.is_mark(')') {
            depth = depth.saturating_sub(1);
        }
        let named = at >= 2 && item[at - 2].is("CONSTRAINT");
        if at > first && depth == 0 && starts_constraint(token) && !named {
            constraint(sql, &item[first..at], table);
            first = at;
        }
    }
    constraint(sql, &item[first..], table);
}

fn starts_constraint(token: &Token<'_>) -> bool {
    CONSTRAINT_STARTS.iter().any(|word| token.is(word))
}

fn constraint<'s>(sql: &'s str, tokens: &[Token<'s>], table: &mut TableText<'s>) {
    let name = match tokens {
        [first, name, ..] if first.is("CONSTRAINT") => Some(name.name()),
        _ => None,
    };
    table.constraints.push((name, slice(sql, tokens)));
}

fn slice<'s>(sql: &'s str, tokens: &[Token<'s>]) -> &'s str {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => &sql[first.start..last.end()],
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_apart_at_its_own_commas_only() {
        let sql = "CREATE TABLE \"a,b\" (\n  id INTEGER PRIMARY KEY, -- one, two\n  \
                   [x (y)] TEXT DEFAULT 'a,(''' CHECK (\"x (y)\" IN ('a', 'b')),\n  \
                   `check` NUMERIC(10, 2),\n  \
                   CONSTRAINT ck_1 CHECK (id > 0) UNIQUE (id, \"x (y)\"),\n  \
                   FOREIGN KEY (id) REFERENCES o (a, b) ON DELETE CASCADE\n) STRICT, WITHOUT ROWID";
        let table = split(sql).unwrap();
        let names: Vec<_> = table
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["id", "x (y)", "check"]);
        assert_eq!(table.columns[2].1, "`check` NUMERIC(10, 2)");
        assert_eq!(
            table.constraints,
            [
                (Some("ck_1".to_owned()), "CONSTRAINT ck_1 CHECK (id > 0)"),
                (None, "UNIQUE (id, \"x (y)\")"),
                (
                    None,
                    "FOREIGN KEY (id) REFERENCES o (a, b) ON DELETE CASCADE"
                ),
            ]
        );
        assert_eq!(table.options, "STRICT, WITHOUT ROWID");
    }

    #[test]
    fn a_virtual_table_has_no_columns_of_its_own() {
        assert_eq!(split("CREATE VIRTUAL TABLE f USING fts5(a, b)"), None);
    }
}

//! The constraints in a column or table definition of SQLite, which its pragmas do not name.

use super::{Action, Check, ForeignKey, Generated, IndexKey, Key, Table};
use crate::catalog::sqlite::tokens::{Token, What, tokens};
use crate::catalog::text;

/// Reads the constraints of one definition into a table.
///
/// `column` is the column that they stand behind, or `None` for a constraint of the table.
/// Returns how the column is generated, if it is.
pub(super) fn read(sql: &str, column: Option<&str>, table: &mut Table) -> Option<Generated> {
    let all = tokens(sql);
    let mut reader = Reader {
        sql,
        tokens: &all,
        at: usize::from(column.is_some()),
    };
    let own = || column.map(|c| vec![c.to_owned()]).unwrap_or_default();
    let (mut name, mut generated) = (None, None);
    while let Some(token) = reader.next() {
        if token.is("CONSTRAINT") {
            name = reader.next().map(Token::name);
        } else if token.is("PRIMARY") {
            reader.skip("KEY");
            let columns = reader.names().unwrap_or_else(own);
            table.primary_key = Some(Key {
                name: name.take(),
                columns,
            });
        } else if token.is("UNIQUE") {
            let columns = reader.names().unwrap_or_else(own);
            table.uniques.push(Key {
                name: name.take(),
                columns,
            });
        } else if token.is("CHECK") {
            let expression = reader.group().map(text::canonical).unwrap_or_default();
            table.checks.push(Check {
                name: name.take(),
                expression,
            });
        } else if token.is("FOREIGN") {
            reader.skip("KEY");
            let columns = reader.names().unwrap_or_default();
            reader.skip("REFERENCES");
            table
                .foreign_keys
                .push(reader.reference(name.take(), columns));
        } else if token.is("REFERENCES") {
            table
                .foreign_keys
                .push(reader.reference(name.take(), own()));
        } else if token.is("AS") && column.is_some() {
            let expression = reader.group().map(text::canonical).unwrap_or_default();
            let stored = reader.peek().is_some_and(|t| t.is("STORED"));
            generated = Some(Generated { expression, stored });
        } else if token.is("DEFAULT") {
            name = None;
            if reader.group().is_none() {
                reader.next();
            }
        } else if token.is("NULL") {
            name = None;
        }
    }
    generated
}

/// The keys and the predicate of a `CREATE INDEX`.
pub(super) fn index(sql: &str) -> (Vec<IndexKey>, Option<String>) {
    let all = tokens(sql);
    let Some(open) = all.iter().position(|t| t.is_mark('(')) else {
        return (Vec::new(), None);
    };
    let mut reader = Reader {
        sql,
        tokens: &all,
        at: open,
    };
    let keys = reader
        .items()
        .into_iter()
        .map(|item| index_key(sql, item))
        .collect();
    let predicate = match reader.peek() {
        Some(token) if token.is("WHERE") => Some(text::canonical(&sql[token.end()..])),
        _ => None,
    };
    (keys, predicate)
}

fn index_key(sql: &str, item: &[Token<'_>]) -> IndexKey {
    let descending = item.last().is_some_and(|t| t.is("DESC"));
    let plain = match item {
        [name, rest @ ..] if matches!(name.what, What::Word | What::Quoted) => {
            let rest = match rest {
                [rest @ .., order] if order.is("ASC") || order.is("DESC") => rest,
                _ => rest,
            };
            (rest.is_empty() || (rest.len() == 2 && rest[0].is("COLLATE"))).then(|| name.name())
        }
        _ => None,
    };
    let expression = match (&plain, item.first(), item.last()) {
        (None, Some(first), Some(last)) => Some(text::canonical(&sql[first.start..last.end()])),
        _ => None,
    };
    IndexKey {
        column: plain,
        expression,
        descending,
    }
}

/// Goes through the tokens of one definition.
struct Reader<'t, 's> {
    sql: &'s str,
    tokens: &'t [Token<'s>],
    at: usize,
}

impl<'t, 's> Reader<'t, 's> {
    fn peek(&self) -> Option<&'t Token<'s>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<&'t Token<'s>> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    fn skip(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|t| t.is(word));
        self.at += usize::from(found);
        found
    }

    /// The items between the parentheses that start here.
    fn items(&mut self) -> Vec<&'t [Token<'s>]> {
        let (mut items, mut depth, mut first) = (Vec::new(), 0_usize, self.at + 1);
        while let Some(token) = self.next() {
            if token.is_mark('(') {
                depth += 1;
            } else if token.is_mark(')') {
                depth = depth.saturating_sub(1);
            }
            if depth == 0 || (depth == 1 && token.is_mark(',')) {
                items.push(&self.tokens[first..self.at - 1]);
                first = self.at;
            }
            if depth == 0 {
                break;
            }
        }
        items
    }

    fn opens(&self) -> bool {
        self.peek().is_some_and(|t| t.is_mark('('))
    }

    /// The text between the parentheses that start here, if some do.
    fn group(&mut self) -> Option<&'s str> {
        if !self.opens() {
            return None;
        }
        let start = self.peek()?.end();
        self.items();
        let end = self.tokens.get(self.at - 1)?.start;
        self.sql.get(start..end)
    }

    /// The names between the parentheses that start here, if some do.
    fn names(&mut self) -> Option<Vec<String>> {
        if !self.opens() {
            return None;
        }
        let items = self.items();
        Some(
            items
                .iter()
                .filter_map(|item| item.first())
                .map(Token::name)
                .collect(),
        )
    }

    /// What follows `REFERENCES`.
    fn reference(&mut self, name: Option<String>, columns: Vec<String>) -> ForeignKey {
        let references = self.next().map(Token::name).unwrap_or_default();
        let mut key = ForeignKey {
            name,
            columns,
            references: text::name(&references),
            referenced_columns: self.names().unwrap_or_default(),
            on_delete: Action::default(),
            on_update: Action::default(),
            deferrable: false,
        };
        loop {
            if self.skip("ON") {
                let delete = self.skip("DELETE");
                self.skip("UPDATE");
                let action = self.action();
                *(if delete {
                    &mut key.on_delete
                } else {
                    &mut key.on_update
                }) = action;
            } else if self.skip("MATCH") {
                self.next();
            } else if self.skip("DEFERRABLE") {
                key.deferrable = true;
            } else if self.peek().is_some_and(|t| t.is("NOT"))
                && self
                    .tokens
                    .get(self.at + 1)
                    .is_some_and(|t| t.is("DEFERRABLE"))
            {
                self.at += 2;
            } else if self.skip("INITIALLY") {
                self.next();
            } else {
                return key;
            }
        }
    }

    fn action(&mut self) -> Action {
        if self.skip("CASCADE") {
            Action::Cascade
        } else if self.skip("RESTRICT") {
            Action::Restrict
        } else if self.skip("SET") {
            if self.skip("NULL") {
                Action::SetNull
            } else {
                self.skip("DEFAULT");
                Action::SetDefault
            }
        } else {
            self.skip("NO");
            self.skip("ACTION");
            Action::NoAction
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_column_is_told_apart() {
        let mut table = Table::default();
        let sql = "a TEXT DEFAULT ('check (1)') CONSTRAINT n NOT NULL CONSTRAINT u UNIQUE \
                   CONSTRAINT c CHECK (a IN ('x', 'y')) CONSTRAINT f REFERENCES p (b) \
                   ON UPDATE CASCADE ON DELETE SET NULL NOT DEFERRABLE CHECK (1)";
        assert_eq!(read(sql, Some("a"), &mut table), None);
        let (fk, u) = (&table.foreign_keys[0], &table.uniques[0]);
        assert_eq!(
            (u.name.as_deref(), &u.columns),
            (Some("u"), &vec!["a".to_owned()])
        );
        assert_eq!(
            (fk.name.as_deref(), fk.references.as_str()),
            (Some("f"), "p")
        );
        assert_eq!(
            (fk.on_delete, fk.on_update),
            (Action::SetNull, Action::Cascade)
        );
        assert!(!fk.deferrable);
        let checks: Vec<_> = table
            .checks
            .iter()
            .map(|c| (c.name.as_deref(), c.expression.as_str()))
            .collect();
        assert_eq!(checks, [(Some("c"), "a in ( 'x' , 'y' )"), (None, "1")]);
    }

    #[test]
    fn keys_of_an_index_are_columns_or_expressions() {
        let (keys, predicate) = index(
            "CREATE UNIQUE INDEX i ON t (a, \"b\" COLLATE NOCASE DESC, lower(c) ASC) WHERE a > 0",
        );
        let found: Vec<_> = keys
            .iter()
            .map(|k| (k.column.as_deref(), k.expression.as_deref(), k.descending))
            .collect();
        assert_eq!(
            found,
            [
                (Some("a"), None, false),
                (Some("b"), None, true),
                (None, Some("lower ( c ) asc"), false)
            ]
        );
        assert_eq!(predicate.as_deref(), Some("a > 0"));
    }
}

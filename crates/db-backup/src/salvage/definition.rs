//! A look at a definition before SQLite is given it: what a damaged or hostile file has for one may
//! be any statement.
//!
//! SQLite itself keeps definitions in one form, `CREATE TABLE name(…)` from the name on as it was
//! written. Only that is let through: no `CREATE TABLE … AS SELECT`, which would run at once, no
//! virtual table, which would call a module, nothing temporary or in another database, and nothing
//! of another name or kind than the schema says.

use super::schema::{Entry, Kind};

/// Why this is no definition of such an entry; none if it is.
pub(super) fn objection(entry: &Entry) -> Option<&'static str> {
    let mut words = Words(&entry.sql);
    if !words.next_is(&["CREATE"]) {
        return Some("its definition is damaged");
    }
    let word = match entry.kind {
        Kind::Table => "TABLE",
        Kind::View => "VIEW",
        Kind::Trigger => "TRIGGER",
        Kind::Index => "INDEX",
    };
    let is_kind = match words.next() {
        Some(first) if entry.kind == Kind::Index && first.eq_ignore_ascii_case("UNIQUE") => {
            words.next_is(&[word])
        }
        first => first.is_some_and(|first| first.eq_ignore_ascii_case(word)),
    };
    if !is_kind {
        return Some("its definition is of something else");
    }
    let is_name = words
        .next()
        .is_some_and(|word| unquoted(word).eq_ignore_ascii_case(&entry.name));
    if !is_name {
        return Some("its definition has another name");
    }
    let follows = match entry.kind {
        Kind::Table => &["("][..],
        Kind::Index => &["ON"],
        Kind::View => &["(", "AS"],
        Kind::Trigger => &["BEFORE", "AFTER", "INSTEAD", "DELETE", "INSERT", "UPDATE"],
    };
    if words.next_is(follows) {
        None
    } else {
        Some("its definition is not as SQLite keeps one")
    }
}

/// The words of a statement, without spaces and comments between them.
struct Words<'s>(&'s str);

impl Words<'_> {
    fn next_is(&mut self, wanted: &[&str]) -> bool {
        let word = self.next();
        word.is_some_and(|word| {
            wanted
                .iter()
                .any(|wanted| word.eq_ignore_ascii_case(wanted))
        })
    }
}

impl<'s> Iterator for Words<'s> {
    type Item = &'s str;

    fn next(&mut self) -> Option<&'s str> {
        loop {
            let text = self.0.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            let rest = if let Some(comment) = text.strip_prefix("--") {
                comment.split_once('\n').map_or("", |(_, rest)| rest)
            } else if let Some(comment) = text.strip_prefix("/*") {
                comment.split_once("*/").map_or("", |(_, rest)| rest)
            } else {
                self.0 = text;
                break;
            };
            self.0 = rest;
        }
        let first = self.0.chars().next()?;
        let end = match first {
            '"' | '\'' | '`' => quoted(self.0, first),
            '[' => self.0.find(']').map(|at| at + 1),
            c if is_of_name(c) => Some(
                self.0
                    .find(|c: char| !is_of_name(c))
                    .unwrap_or(self.0.len()),
            ),
            c => Some(c.len_utf8()),
        };
        let (word, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        Some(word)
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// Where a quoted name ends; a doubled quote is one within.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            continue;
        }
        if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
        } else {
            return Some(at + 1);
        }
    }
    None
}

fn unquoted(word: &str) -> String {
    let Some(quote) = word.chars().next() else {
        return String::new();
    };
    let close = if quote == '[' { ']' } else { quote };
    let inner = word
        .strip_prefix(['"', '\'', '`', '['])
        .and_then(|word| word.strip_suffix(close));
    match inner {
        Some(inner) if quote == '[' => inner.to_owned(),
        Some(inner) => inner.replace(&format!("{quote}{quote}"), &quote.to_string()),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection_to(kind: Kind, name: &str, sql: &str) -> Option<&'static str> {
        objection(&Entry {
            kind,
            name: name.to_owned(),
            root: 2,
            sql: sql.to_owned(),
        })
    }

    #[test]
    fn what_sqlite_keeps_is_let_through() {
        for (kind, name, sql) in [
            (Kind::Table, "t", "CREATE TABLE t(a)"),
            (Kind::Table, "T x", "CREATE TABLE \"T x\" (a)"),
            (Kind::Table, "a\"b", "CREATE TABLE \"a\"\"b\"(a)"),
            (Kind::Table, "t", "CREATE TABLE [t] /* why */ (a)"),
            (Kind::Table, "t", "CREATE TABLE `t` -- why\n(a)"),
            (Kind::Table, "größe", "CREATE TABLE größe(a)"),
            (Kind::Index, "i", "CREATE INDEX i ON t (a)"),
            (Kind::Index, "i", "CREATE UNIQUE INDEX 'i' ON t (a)"),
            (Kind::View, "v", "CREATE VIEW v AS SELECT 1"),
            (Kind::View, "v", "CREATE VIEW v(a) AS SELECT 1"),
            (
                Kind::Trigger,
                "g",
                "CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 1; END",
            ),
            (
                Kind::Trigger,
                "g",
                "CREATE TRIGGER g INSERT ON t BEGIN SELECT 1; END",
            ),
        ] {
            assert_eq!(objection_to(kind, name, sql), None, "{sql}");
        }
    }

    #[test]
    fn what_would_run_or_is_something_else_is_not() {
        for (kind, sql) in [
            (Kind::Table, "CREATE TABLE t AS SELECT load_extension('x')"),
            (
                Kind::Table,
                "CREATE TABLE t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) SELECT x FROM c",
            ),
            (Kind::Table, "CREATE VIRTUAL TABLE t USING fts5(a)"),
            (Kind::Table, "CREATE TEMP TABLE t(a)"),
            (Kind::Table, "CREATE TABLE other.t(a)"),
            (Kind::Table, "CREATE TABLE u(a)"),
            (Kind::Table, "CREATE TABLE"),
            (Kind::Table, "CREATE TABLE \"t"),
            (Kind::Table, "CREATE VIEW t AS SELECT 1"),
            (Kind::Table, "DROP TABLE t"),
            (Kind::Table, "ATTACH 'x' AS t"),
            (Kind::Table, ""),
            (Kind::Index, "CREATE UNIQUE TABLE t(a)"),
            (Kind::Index, "CREATE INDEX main.t ON x (a)"),
            (Kind::View, "CREATE TEMP VIEW t AS SELECT 1"),
            (
                Kind::Trigger,
                "CREATE TEMP TRIGGER t AFTER DELETE ON x BEGIN SELECT 1; END",
            ),
            (Kind::Trigger, "CREATE TRIGGER t ON x"),
        ] {
            assert!(objection_to(kind, "t", sql).is_some(), "{sql}");
        }
    }
}

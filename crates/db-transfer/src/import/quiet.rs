//! Keeps the triggers of the tables quiet that a script for PostgreSQL writes into.

use std::collections::HashSet;

use db_core::bulk::PostgresBulk;

use super::names::quote;
use super::postgres::literal;

/// Which triggers were switched off.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    /// Tables without triggers that are on, as long as nothing else than rows comes.
    known: HashSet<String>,
    /// Triggers by their number, and whether each of them was on always.
    off: Vec<(String, bool)>,
}

impl Quiet {
    /// Switches off the triggers of the table that a statement writes into.
    pub(super) fn before(
        &mut self,
        bulk: &mut PostgresBulk,
        sql: &str,
    ) -> Result<(), db_core::Error> {
        let Some(table) = target(sql) else {
            // It may make a trigger, or let another table have the name.
            self.known.clear();
            return Ok(());
        };
        if self.known.contains(&table) {
            return Ok(());
        }
        let triggers = bulk.rows(&format!(
            "SELECT t.oid, t.tgenabled, c.oid::pg_catalog.regclass, t.tgname \
             FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid \
             WHERE c.oid = pg_catalog.to_regclass({}) AND c.relkind IN ('r', 'p', 'f') \
             AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')",
            literal(&table)
        ))?;
        for trigger in triggers {
            if let [Some(number), Some(state), Some(table), Some(name)] = trigger.as_slice() {
                let name = quote(name);
                bulk.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER {name}"))
                    .map_err(hinted)?;
                self.off.push((number.clone(), state == "A"));
            }
        }
        self.known.insert(table);
        Ok(())
    }

    /// Switches on again what was switched off, as far as the script has left it so.
    pub(super) fn end(&self, bulk: &mut PostgresBulk) -> Result<(), db_core::Error> {
        for (number, always) in &self.off {
            let found = bulk.rows(&format!(
                "SELECT tgrelid::pg_catalog.regclass, tgname FROM pg_catalog.pg_trigger \
                 WHERE oid = {number} AND tgenabled = 'D'"
            ))?;
            if let [Some(table), Some(name)] = found.concat().as_slice() {
                let (always, name) = (if *always { "ALWAYS " } else { "" }, quote(name));
                bulk.execute(&format!(
                    "ALTER TABLE {table} ENABLE {always}TRIGGER {name}"
                ))?;
            }
        }
        Ok(())
    }
}

/// Says how rows come into a table of somebody else's.
pub(super) fn hinted(error: db_core::Error) -> db_core::Error {
    if error.kind() != db_core::ErrorKind::PermissionDenied {
        return error;
    }
    error.with_hint(
        "only the owner of a table can switch off its triggers; connect as the owner, or let them fire \
         with --fire-triggers",
    )
}

/// The table that a statement writes into, in quotes; none if it does something else.
fn target(sql: &str) -> Option<String> {
    let mut rest = sql;
    match word(&mut rest)?.as_str() {
        "COPY" | "UPDATE" => {}
        "INSERT" | "MERGE" if word(&mut rest)? == "INTO" => {}
        "DELETE" if word(&mut rest)? == "FROM" => {}
        _ => return None,
    }
    let mut behind = rest;
    if word(&mut behind).as_deref() == Some("ONLY") {
        rest = behind;
    }
    let mut parts = vec![part(&mut rest)?];
    while let Some(behind) = passed(rest).strip_prefix('.') {
        rest = behind;
        parts.push(part(&mut rest)?);
    }
    // A third part is the name of the database.
    let parts = &parts[parts.len().saturating_sub(2)..];
    let parts: Vec<_> = parts.iter().map(|part| quote(part)).collect();
    Some(parts.join("."))
}

/// The word that comes, in upper case.
fn word(rest: &mut &str) -> Option<String> {
    let text = passed(rest);
    let end = text.find(|c: char| !is_of_word(c)).unwrap_or(text.len());
    *rest = &text[end..];
    (end > 0).then(|| text[..end].to_ascii_uppercase())
}

/// A part of a name, as the catalog has it.
fn part(rest: &mut &str) -> Option<String> {
    let text = passed(rest);
    let Some(mut inner) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !is_of_word(c)).unwrap_or(text.len());
        *rest = &text[end..];
        return (end > 0).then(|| text[..end].to_ascii_lowercase());
    };
    let mut name = String::new();
    loop {
        let (piece, behind) = inner.split_once('"')?;
        name.push_str(piece);
        let Some(more) = behind.strip_prefix('"') else {
            *rest = behind;
            return (!name.is_empty()).then_some(name);
        };
        name.push('"');
        inner = more;
    }
}

const fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// The text behind white space and comments.
fn passed(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        if let Some(comment) = text.strip_prefix("--") {
            text = comment.find(['\n', '\r']).map_or("", |end| &comment[end..]);
        } else if text.starts_with("/*") {
            let (mut depth, mut at) = (0_usize, 0);
            while at < text.len() {
                match text.as_bytes().get(at..at + 2) {
                    Some(b"/*") => (depth, at) = (depth + 1, at + 2),
                    Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at + 2),
                    _ => at += 1,
                }
                if depth == 0 {
                    break;
                }
            }
            text = text.get(at..).unwrap_or_default();
        } else {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found() {
        for (sql, table) in [
            ("COPY public.t (a, b) FROM stdin", "\"public\".\"t\""),
            ("insert into Users values (1)", "\"users\""),
            (
                "INSERT/* a /* b */ */INTO \"A\"\"b\" . c(x)",
                "\"A\"\"b\".\"c\"",
            ),
            ("UPDATE ONLY db.s.t SET a = 1", "\"s\".\"t\""),
            ("DELETE -- x\n FROM ü$1 *", "\"ü$1\""),
            ("MERGE INTO t USING s", "\"t\""),
        ] {
            assert_eq!(target(sql).as_deref(), Some(table), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "WITH a AS (INSERT INTO t VALUES (1)) SELECT 1",
            "INSERT t",
            "UPDATE \"\"",
            "UPDATE \"a",
            "COPY (SELECT 1) TO STDOUT",
            "/* é",
            "",
        ] {
            assert_eq!(target(sql), None, "{sql}");
        }
    }
}

//! Which tables the modules of virtual tables have made for themselves.
//!
//! SQLite tells shadow tables by their names. But a full-text index over a table of somebody's keeps no
//! texts itself, and that table may have just the name under which it would keep them.

use std::collections::BTreeSet;

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};

use super::Entry;
use super::tokens::{Token, What, tokens};

const SHADOWS: &str =
    "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'";
/// The tables that the usual modules make for themselves, for a build without the module, in
/// which SQLite cannot tell that they are shadows.
const SUFFIXES: [(&str, &[&str]); 4] = [
    ("fts5", &["data", "idx", "content", "docsize", "config"]),
    (
        "fts4",
        &["content", "segments", "segdir", "docsize", "stat"],
    ),
    ("fts3", &["content", "segments", "segdir"]),
    ("rtree", &["node", "rowid", "parent"]),
];
/// The modules that can be over a table of somebody's, and whether they take the beginning of the option's
/// name for it.
const WITH_CONTENT: [(&str, bool); 2] = [("fts4", false), ("fts5", true)];
/// The option that names the table.
const CONTENT: &str = "content";

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// The names of the tables that virtual tables made for themselves.
pub(super) fn shadows(
    conn: &mut SqliteConnection,
    entries: &[Entry],
) -> QueryResult<BTreeSet<String>> {
    let rows: Vec<Name> = sql_query(SHADOWS).load(conn)?;
    let mut shadows: BTreeSet<String> = rows.into_iter().map(|row| row.name).collect();
    let mut somebodys = Vec::new();
    for entry in entries.iter().filter(|entry| entry.is_virtual()) {
        let sql = entry.sql.as_deref().unwrap_or_default();
        somebodys.extend(not_a_shadow(&entry.name, sql));
        let all = tokens(sql);
        let module = module(&all).map(|(module, _)| module).unwrap_or_default();
        let known = SUFFIXES.iter().filter(|(name, _)| *name == module);
        for suffix in known.flat_map(|(_, suffixes)| *suffixes) {
            shadows.insert(format!("{}_{suffix}", entry.name));
        }
    }
    // SQLite's names have no case.
    shadows.retain(|name| !somebodys.iter().any(|s| s.eq_ignore_ascii_case(name)));
    Ok(shadows)
}

/// The table that SQLite takes for a shadow of a virtual table, and that its module has not made, by the
/// name and definition of the virtual table: the texts that a full-text index is over are another table's
/// then, or nobody's.
#[must_use]
pub fn not_a_shadow(name: &str, sql: &str) -> Option<String> {
    let all = tokens(sql);
    let (module, arguments) = module(&all)?;
    let mut known = WITH_CONTENT.iter();
    let (_, is_short) = known.find(|(name, _)| *name == module)?;
    let (mut depth, mut is_first, mut is_option) = (0_u32, false, false);
    for token in arguments {
        if is_option && token.is_mark('=') {
            return Some(format!("{name}_{CONTENT}"));
        }
        is_option = is_first && is_content(token, *is_short);
        is_first = (depth == 0 && token.is_mark('(')) || (depth == 1 && token.is_mark(','));
        if token.is_mark('(') {
            depth += 1;
        } else if token.is_mark(')') {
            depth = depth.saturating_sub(1);
        }
    }
    None
}

/// The module of a virtual table in small letters, and what is said to it.
fn module<'t>(all: &'t [Token<'t>]) -> Option<(String, &'t [Token<'t>])> {
    let using = all.iter().position(|token| token.is("USING"))?;
    let (module, arguments) = all.get(using + 1..)?.split_first()?;
    Some((module.name().to_ascii_lowercase(), arguments))
}

/// Whether a token is the option's name, which no quotes may stand around.
fn is_content(token: &Token<'_>, is_short: bool) -> bool {
    let length = if is_short {
        token.text.len()
    } else {
        CONTENT.len()
    };
    let wanted = CONTENT.get(..length);
    token.what == What::Word && wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(token.text))
}

#[cfg(test)]
mod tests {
    use super::not_a_shadow;

    #[test]
    fn an_index_over_a_table_of_somebodys_is_known_by_its_option() {
        for (sql, expected) in [
            (
                "CREATE VIRTUAL TABLE n USING fts5(body, content='n_content')",
                true,
            ),
            (
                "CREATE VIRTUAL TABLE n USING \"FTS5\" (\n body, -- (\n Content = n_content)",
                true,
            ),
            (
                "CREATE VIRTUAL TABLE n USING fts5(body, cont='', content_rowid=id)",
                true,
            ),
            (
                "CREATE VIRTUAL TABLE n USING fts5(body, /* , */ content=\"\")",
                true,
            ),
            (
                "CREATE VIRTUAL TABLE n USING fts4(content=\"n_content\", body)",
                true,
            ),
            ("CREATE VIRTUAL TABLE n USING fts4(cont, body)", false),
            ("CREATE VIRTUAL TABLE n USING fts5(content, body)", false),
            (
                "CREATE VIRTUAL TABLE n USING fts5(body, content_rowid='id')",
                false,
            ),
            (
                "CREATE VIRTUAL TABLE n USING fts5(body, tokenize='x, content=y')",
                false,
            ),
            (
                "CREATE VIRTUAL TABLE \"a USING fts5(content=x)\" USING fts5(b)",
                false,
            ),
            ("CREATE VIRTUAL TABLE n USING rtree(content=1)", false),
            ("CREATE VIRTUAL TABLE n USING fts5(body, 'content'", false),
            ("CREATE VIRTUAL TABLE n", false),
        ] {
            let expected = expected.then(|| "n_content".to_owned());
            assert_eq!(not_a_shadow("n", sql), expected, "{sql}");
        }
    }
}

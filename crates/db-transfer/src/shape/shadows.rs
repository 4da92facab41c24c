//! Which tables of SQLite look like a module's own, and are somebody's.
//!
//! SQLite tells shadow tables by their names. But a full-text index over a table of somebody's keeps no
//! texts itself, and that table may have just the name under which it would keep them.

use db_core::bulk::SqliteBulk;

use super::sqlite::text;

/// The modules that take the option, and whether they take the beginning of its name for it.
const MODULES: [(&str, bool); 2] = [("fts4", false), ("fts5", true)];

const OPTION: &str = "content";

/// What the table is called in which such a module keeps texts, after its own name.
const SUFFIX: &str = "_content";

/// The names of tables that SQLite takes for shadows, and that no module has made.
pub(crate) fn not_shadows(bulk: &SqliteBulk) -> Result<Vec<String>, db_core::Error> {
    let mut rows = bulk.prepare(
        "SELECT name, sql FROM main.sqlite_schema \
         WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE %' ORDER BY name",
    )?;
    let mut names = Vec::new();
    while rows.step()? {
        if keeps_no_texts(&text(rows.cell(1)?)) {
            names.push(format!("{}{SUFFIX}", text(rows.cell(0)?)));
        }
    }
    Ok(names)
}

/// Whether a name is among them. SQLite's names have no case.
pub(crate) fn is_among(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// Whether the texts that a virtual table is over are another table's, or nobody's.
fn keeps_no_texts(sql: &str) -> bool {
    let tokens = tokens(sql);
    let mut rest = tokens
        .iter()
        .skip_while(|token| !token.eq_ignore_ascii_case("USING"))
        .skip(1);
    let module = rest.next().copied().unwrap_or_default();
    let module = module.trim_matches(['"', '\'', '`', '[', ']']);
    let mut known = MODULES.iter();
    let Some((_, is_short)) = known.find(|(name, _)| name.eq_ignore_ascii_case(module)) else {
        return false;
    };
    let (mut depth, mut is_first, mut option) = (0_u32, false, false);
    for token in rest {
        if option && *token == "=" {
            return true;
        }
        option = is_first && is_option(token, *is_short);
        is_first = (depth == 0 && *token == "(") || (depth == 1 && *token == ",");
        match *token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn is_option(word: &str, is_short: bool) -> bool {
    let length = if is_short { word.len() } else { OPTION.len() };
    let wanted = OPTION.get(..length);
    wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(word))
}

/// Words, quoted texts with their quotes, and single marks; no white space and no comments.
fn tokens(sql: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = sql.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
        let (length, counts) = match first {
            '-' if rest.starts_with("--") => (rest.find('\n'), false),
            '/' if rest.starts_with("/*") => (rest.find("*/").map(|end| end + 2), false),
            // A doubled quote ends one text and begins another, which comes to the same here.
            '"' | '\'' | '`' => (rest[1..].find(first).map(|end| end + 2), true),
            '[' => (rest.find(']').map(|end| end + 1), true),
            c if is_word(c) => (rest.find(|c| !is_word(c)), true),
            c => (Some(c.len_utf8()), true),
        };
        let (token, after) = rest.split_at(length.unwrap_or(rest.len()));
        if counts {
            tokens.push(token);
        }
        rest = after.trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::keeps_no_texts;

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
            assert_eq!(keeps_no_texts(sql), expected, "{sql}");
        }
    }
}

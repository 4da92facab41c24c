//! What a script with some tables of SQLite names that is not in it.

use db_core::bulk::SqliteBulk;

use super::Plan;
use super::sqlite_sql::texts;

const TRIGGERS: &str =
    "SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger' ORDER BY rowid";

const NAMES: &str = "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view')";

/// A sentence for each foreign key and trigger that leads out of the tables of the plan: SQLite loads
/// them, and refuses writes afterwards.
pub(super) fn missing(bulk: &SqliteBulk, plan: &Plan<'_>) -> Result<Vec<String>, db_core::Error> {
    let is_there = |name: &str| {
        let mut tables = plan.tables.iter();
        tables.any(|table| table.name.name.eq_ignore_ascii_case(name))
    };
    let mut said = Vec::new();
    for table in &plan.tables {
        for parent in table.parents.iter().filter(|it| !is_there(&it.name)) {
            said.push(format!(
                "{} refers to {parent}, which is not in the script",
                table.name
            ));
        }
    }
    let others = texts(bulk, NAMES, 1)?.concat();
    for row in texts(bulk, TRIGGERS, 3)? {
        let [trigger, table, sql] = row.as_slice() else {
            continue;
        };
        if !is_there(table) {
            continue;
        }
        let words = words(sql);
        let is_named = |other: &&String| {
            !is_there(other) && words.iter().any(|word| word.eq_ignore_ascii_case(other))
        };
        for other in others.iter().filter(is_named) {
            said.push(format!(
                "the trigger {trigger} of {table} names {other}, which is not in the script"
            ));
        }
    }
    Ok(said)
}

/// The words of a statement that may be names, in quotes or not; no texts and no comments.
fn words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '`' | '\'' => inside(rest, first, first),
            '[' => inside(rest, '[', ']'),
            '-' if rest.starts_with("--") => (None, behind(rest, "\n")),
            '/' if rest.starts_with("/*") => (None, behind(rest, "*/")),
            c if is_of_word(c) => {
                let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                (Some(word.to_owned()), after)
            }
            c => (None, rest.get(c.len_utf8()..).unwrap_or_default()),
        };
        words.extend(word.filter(|_| first != '\''));
        rest = after;
    }
    words
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

fn behind<'s>(text: &'s str, end: &str) -> &'s str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

/// What stands in quotes at the start, where a quote that is doubled is one of the text.
fn inside(text: &str, open: char, close: char) -> (Option<String>, &str) {
    let mut word = String::new();
    let mut rest = text.get(open.len_utf8()..).unwrap_or_default();
    loop {
        let Some((part, after)) = rest.split_once(close) else {
            return (Some(word + rest), "");
        };
        word.push_str(part);
        match after.strip_prefix(close).filter(|_| open == close) {
            Some(after) => {
                word.push(close);
                rest = after;
            }
            None => return (Some(word), after),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_are_names_and_no_texts() {
        let sql = "INSERT INTO \"a \"\"b\"\"\" -- not this\n SELECT 'nor', [c d], `e``f` /* nor */ FROM main.größe;x";
        let words = super::words(sql);
        let expected = [
            "INSERT", "INTO", "a \"b\"", "SELECT", "c d", "e`f", "FROM", "main", "größe", "x",
        ];
        assert_eq!(words, expected);
        assert_eq!(super::words("\"open"), ["open"]);
    }
}

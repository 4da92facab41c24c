//! The rows that `.dump` of `sqlite3` puts into the schema itself, one for each virtual table.
//!
//! `PRAGMA writable_schema` lets a script write whatever it likes there, which damages the database.
//! So it is passed over, and stands for these rows alone, one at a time.

use db_core::bulk::SqliteBulk;

/// What such a statement begins with.
const BEGINS: [&str; 2] = [
    "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table',",
    "INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)VALUES('table',",
];

/// Whether a statement does nothing but name a virtual table.
pub(super) fn names_virtual_table(sql: &str) -> bool {
    let rest = BEGINS.iter().find_map(|begin| behind(sql, begin));
    let named = || {
        let (name, rest) = text(rest?)?;
        let (table, rest) = text(rest.strip_prefix(',')?)?;
        let (made, rest) = text(rest.strip_prefix(",0,")?)?;
        let makes = behind(&made, "CREATE VIRTUAL TABLE ").is_some();
        Some(name == table && makes && rest == ")")
    };
    named().unwrap_or(false)
}

/// Runs such a statement, and reads the schema again: what SQLite cannot read there is an error.
pub(super) fn add(bulk: &mut SqliteBulk, sql: &str) -> Result<(), db_core::Error> {
    bulk.execute("PRAGMA writable_schema = ON")?;
    bulk.execute(sql)?;
    bulk.execute("PRAGMA writable_schema = RESET; SELECT 1 FROM sqlite_master LIMIT 0")
}

fn behind<'s>(text: &'s str, begin: &str) -> Option<&'s str> {
    let start = text.get(..begin.len())?;
    start
        .eq_ignore_ascii_case(begin)
        .then(|| &text[begin.len()..])
}

/// The text in quotes that begins here, and what follows it.
fn text(sql: &str) -> Option<(String, &str)> {
    let mut rest = sql.strip_prefix('\'')?;
    let mut text = String::new();
    loop {
        let (piece, behind) = rest.split_once('\'')?;
        text.push_str(piece);
        match behind.strip_prefix('\'') {
            Some(more) => {
                text.push('\'');
                rest = more;
            }
            None => return Some((text, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_virtual_tables_are_named() {
        let row = |rest: &str| format!("{}{rest}", BEGINS[0]);
        assert!(names_virtual_table(&row(
            "'f''t','f''t',0,'CREATE VIRTUAL TABLE \"f''t\" USING fts5(a)')"
        )));
        for wrong in [
            "'p','p',0,'CREATE TABLE p(x)')",
            "'p','q',0,'CREATE VIRTUAL TABLE p USING fts5(a)')",
            "'p','p',2,'CREATE VIRTUAL TABLE p USING fts5(a)')",
            "'p','p',0,'CREATE VIRTUAL TABLE p USING fts5(a)'),(1,2,3,4,5)",
            "'p','p',0,'CREATE VIRTUAL TABLE '||x)",
            "'p",
        ] {
            assert!(!names_virtual_table(&row(wrong)), "{wrong}");
        }
        assert!(!names_virtual_table("UPDATE sqlite_master SET sql = ''"));
    }
}

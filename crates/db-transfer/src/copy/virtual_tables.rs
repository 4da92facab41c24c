//! Virtual tables of SQLite: their rows are their modules', which keep them in tables of their own. Neither
//! goes along, and both are named.

use db_core::{Access, Engine};
use db_migrate::catalog::model::Model;

use super::Copy;
use super::error::{CopyError, Doing as _, is_refusal};
use super::names::{Name, literal};
use super::report::NotTranslated;
use super::side::Bulk;
use crate::nearest;

/// All tables, and what SQLite takes them for.
const TABLES: &str = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name";

impl Copy<'_> {
    /// The virtual tables of the source, with the tables that belong to them.
    pub(super) fn virtual_tables(&self, model: &Model) -> Result<Vec<NotTranslated>, CopyError> {
        if self.from.engine() != Engine::Sqlite || !self.tables.is_empty() {
            return Ok(Vec::new());
        }
        let mut bulk = Bulk::open(&self.from, Access::ReadOnly, &self.interrupt)?;
        let all = tables(&mut bulk)?;
        let modules: Vec<&str> = of_kind(&all, "virtual").collect();
        let is_copied = |name: &&str| {
            let mut copied = model.tables.iter();
            copied.any(|table| Name::parse(&table.name).table == **name)
        };
        let mut lost = Vec::new();
        for name in &modules {
            let own = all.iter().map(|(table, _)| table.as_str());
            let own = own.filter(|table| owner(table, &modules) == Some(*name));
            let (plain, left): (Vec<&str>, Vec<&str>) = own.partition(is_copied);
            let plain = if is_known(&mut bulk, name)? {
                Vec::new()
            } else {
                plain
            };
            lost.push(NotTranslated::new(
                "virtual table",
                *name,
                reason(&plain, &left),
            ));
        }
        Ok(lost)
    }

    /// What is said of a table that was asked for, and is none that can be copied.
    pub(super) fn missing(&self, wanted: &str, model: &Model) -> Result<String, CopyError> {
        if self.from.engine() == Engine::Sqlite {
            let mut bulk = Bulk::open(&self.from, Access::ReadOnly, &self.interrupt)?;
            let all = tables(&mut bulk)?;
            if of_kind(&all, "virtual").any(|name| name == wanted) {
                return Ok(format!(
                    "{wanted} is a virtual table, whose rows only its module knows: it cannot be copied"
                ));
            }
            if of_kind(&all, "shadow").any(|name| name == wanted) {
                return Ok(format!(
                    "{wanted} belongs to a virtual table, and cannot be copied without it"
                ));
            }
        }
        let names = model.tables.iter().map(|table| table.name.as_str());
        Ok(nearest::no_table(wanted, names))
    }
}

fn tables(bulk: &mut Bulk) -> Result<Vec<(String, String)>, CopyError> {
    let rows = bulk
        .rows(TABLES)
        .doing(|| "reading the tables".to_owned())?;
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        Some((row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

fn of_kind<'t>(all: &'t [(String, String)], wanted: &str) -> impl Iterator<Item = &'t str> {
    let wanted = all.iter().filter(move |(_, kind)| kind == wanted);
    wanted.map(|(name, _)| name.as_str())
}

/// The virtual table to which a table belongs by its name.
fn owner<'m>(table: &str, modules: &[&'m str]) -> Option<&'m str> {
    let belongs = |name: &&&str| {
        let start = table.get(..name.len());
        let is_start = start.is_some_and(|start| start.eq_ignore_ascii_case(name));
        is_start && table[name.len()..].starts_with('_')
    };
    if modules.contains(&table) {
        return None;
    }
    let owners = modules.iter().filter(belongs);
    owners.max_by_key(|name| name.len()).copied()
}

/// Whether the module of a virtual table is in this program, which tells its own tables from others.
fn is_known(bulk: &mut Bulk, name: &str) -> Result<bool, CopyError> {
    let sql = format!("SELECT count(*) FROM pragma_table_xinfo({})", literal(name));
    match bulk.rows(&sql) {
        Err(error) if is_refusal(&error) => Ok(false),
        done => done.doing(|| format!("looking at {name}")).map(|_| true),
    }
}

fn reason(plain: &[&str], left: &[&str]) -> String {
    let mut reason = "its module keeps its rows in its own way: ".to_owned();
    if left.is_empty() {
        reason.push_str("it is not copied");
    } else {
        reason.push_str("neither it nor ");
        reason.push_str(&left.join(", "));
        reason.push_str(" is copied");
    }
    if !plain.is_empty() {
        reason
            .push_str("; the module is not in this program, and what may be its own goes along: ");
        reason.push_str(&plain.join(", "));
    }
    reason.push_str("; triggers that fill it fail without it");
    reason
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn a_table_belongs_to_the_longest_name_that_it_begins_with() {
        let modules = ["posts", "posts_fts"];
        for (table, expected) in [
            ("posts_data", Some("posts")),
            ("Posts_Fts_data", Some("posts_fts")),
            ("posts_fts", None),
            ("postscript", None),
            ("post", None),
            ("posts", None),
            ("päs", None),
        ] {
            assert_eq!(owner(table, &modules), expected, "{table}");
        }
    }
}

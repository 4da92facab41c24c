//! Tables of a SQLite database, from its pragmas.

use db_core::bulk::{CellRef, SqliteBulk};

use super::{Column, Table, TableKind, TableName, is_among, literal, not_shadows};

const TABLES: &str = "SELECT name, type, wr FROM pragma_table_list \
     WHERE schema = 'main' AND type IN ('table', 'virtual', 'shadow') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
     ORDER BY name";

pub(super) fn read(bulk: &SqliteBulk) -> Result<(Vec<Table>, Vec<String>), db_core::Error> {
    let (mut tables, mut left_out) = (Vec::new(), Vec::new());
    let somebodys = not_shadows(bulk)?;
    let mut list = bulk.prepare(TABLES)?;
    while list.step()? {
        let name = text(list.cell(0)?);
        if list.cell(1)? == CellRef::Text(b"shadow") && !is_among(&somebodys, &name) {
            continue;
        }
        let is_virtual = list.cell(1)? == CellRef::Text(b"virtual");
        let without_rowid = list.cell(2)? == CellRef::Integer(1);
        match table(bulk, &name, is_virtual, without_rowid) {
            Ok(table) => tables.push(table),
            // Its module is not in this program.
            Err(error) if is_virtual => {
                left_out.push(format!(
                    "the rows of {name} are left out: {}",
                    error.message()
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((tables, left_out))
}

pub(super) fn table(
    bulk: &SqliteBulk,
    name: &str,
    is_virtual: bool,
    without_rowid: bool,
) -> Result<Table, db_core::Error> {
    let mut table = Table {
        name: named(name),
        kind: if is_virtual {
            TableKind::Virtual
        } else {
            TableKind::Plain
        },
        columns: Vec::new(),
        primary_key: Vec::new(),
        parents: Vec::new(),
        without_rowid,
        rows_estimate: None,
    };
    let mut keys = Vec::new();
    let mut rows = bulk.prepare(&format!(
        "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo({}, 'main') ORDER BY cid",
        literal(name)
    ))?;
    while rows.step()? {
        let column = text(rows.cell(0)?);
        let hidden = integer(rows.cell(4)?);
        // 1 is a parameter of a virtual table; 2 and 3 are generated.
        if hidden == 1 {
            continue;
        }
        let key = integer(rows.cell(3)?);
        if key > 0 {
            keys.push((key, column.clone()));
        }
        let declared = text(rows.cell(1)?);
        table.columns.push(Column {
            name: column,
            base_type: declared.clone(),
            declared_type: declared,
            nullable: integer(rows.cell(2)?) == 0 && !(without_rowid && key > 0),
            generated: hidden >= 2,
        });
    }
    keys.sort();
    table.primary_key = keys.into_iter().map(|(_, column)| column).collect();
    let mut rows = bulk.prepare(&format!(
        "SELECT DISTINCT \"table\" FROM pragma_foreign_key_list({}, 'main')",
        literal(name)
    ))?;
    while rows.step()? {
        table.parents.push(named(&text(rows.cell(0)?)));
    }
    if !is_virtual && let Some(rowid) = rowid(&table) {
        let sql = format!(
            "SELECT max({rowid}) - min({rowid}) + 1 FROM main.{}",
            super::quoted(name)
        );
        let mut rows = bulk.prepare(&sql)?;
        if rows.step()? {
            table.rows_estimate = u64::try_from(integer(rows.cell(0)?)).ok();
        }
    }
    Ok(table)
}

pub(super) fn is_without_rowid(bulk: &SqliteBulk, name: &str) -> Result<bool, db_core::Error> {
    let mut rows = bulk.prepare(&format!(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = {}",
        literal(name)
    ))?;
    Ok(rows.step()? && rows.cell(0)? == CellRef::Integer(1))
}

/// The name under which a table has its row number: none if columns have taken them all.
pub(crate) fn rowid(table: &Table) -> Option<&'static str> {
    let taken = |name: &&&str| {
        table
            .columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name))
    };
    let names: &[&'static str] = &["rowid", "_rowid_", "oid"];
    let free = names.iter().find(|name| !taken(name)).copied();
    free.filter(|_| !table.without_rowid)
}

fn named(name: &str) -> TableName {
    TableName {
        schema: None,
        name: name.to_owned(),
    }
}

pub(super) fn text(cell: CellRef<'_>) -> String {
    match cell {
        CellRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

const fn integer(cell: CellRef<'_>) -> i64 {
    match cell {
        CellRef::Integer(number) => number,
        _ => 0,
    }
}

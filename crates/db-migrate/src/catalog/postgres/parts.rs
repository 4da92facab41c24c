//! From the rows of the catalog queries to objects.

use std::collections::HashMap;

use db_core::Engine;

use super::query::Part;
use super::{Names, PG_CLASS};
use crate::catalog::scope::belongs_to_ledger;
use crate::catalog::{Kind, Object, text};

/// An object with where it comes from.
#[derive(Debug, Clone)]
pub(in crate::catalog) struct Item {
    /// The relation that it is read with; 0 for what belongs to none.
    pub relation: u32,
    /// The object.
    pub object: Object,
}

/// A row of `pg_description`: class, object, column, text.
pub(in crate::catalog) type Comment = (u32, u32, i32, String);

/// What comments can be about: class, identifier and column number to name and relation.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Labels {
    known: HashMap<(u32, u32, i32), Label>,
}

#[derive(Debug)]
struct Label {
    name: String,
    table: Option<String>,
    relation: u32,
}

impl Labels {
    fn add(&mut self, key: (u32, u32, i32), object: &Object, relation: u32) {
        let label = Label {
            name: object.to_string(),
            table: object
                .table
                .clone()
                .or_else(|| (relation != 0).then(|| object.name.clone())),
            relation,
        };
        self.known.insert(key, label);
    }

    /// The comments on what has a label.
    pub(in crate::catalog) fn comments(&self, rows: Vec<Comment>) -> Vec<Item> {
        rows.into_iter()
            .filter_map(|(class, oid, number, comment)| {
                let label = self.known.get(&(class, oid, number))?;
                let object = Object {
                    kind: Kind::Comment,
                    name: label.name.clone(),
                    table: label.table.clone(),
                    loose: comment.clone(),
                    strict: comment,
                };
                Some(Item {
                    relation: label.relation,
                    object,
                })
            })
            .collect()
    }
}

/// The objects that belong to relations.
pub(in crate::catalog) fn relation_items(
    names: &Names,
    rows: Vec<Part>,
    labels: &mut Labels,
) -> Vec<Item> {
    let mut items = Vec::with_capacity(rows.len());
    let mut columns: HashMap<u32, Vec<(i32, String)>> = HashMap::new();
    let mut relations = Vec::new();
    for row in rows {
        let Some(relation) = names.relations.get(&row.owner) else {
            continue;
        };
        let table = relation.name.as_str();
        let (class, kind) = match row.tag.as_str() {
            "relation" => {
                relations.push(row);
                continue;
            }
            "column" => {
                columns
                    .entry(row.owner)
                    .or_default()
                    .push((row.number, text::name(&row.name)));
                (PG_CLASS, Kind::Column)
            }
            "sequence" => (PG_CLASS, Kind::Sequence),
            "index" | "keyindex" => (PG_CLASS, Kind::Index),
            "constraint" => (2606, Kind::Constraint),
            "trigger" => (2620, Kind::Trigger),
            "policy" => (3256, Kind::Policy),
            "rule" => (2618, Kind::Rule),
            _ => continue,
        };
        let name = match kind {
            Kind::Sequence => table.to_owned(),
            // An index lives in the schema of its table.
            Kind::Index => names.qualified(relation.space, &row.name),
            _ => text::member(table, &row.name),
        };
        let owner = (kind != Kind::Sequence).then(|| table.to_owned());
        let object = object(kind, name, owner, row.text);
        labels.add((class, row.oid, row.number), &object, row.owner);
        // Its constraint says what it is; only a comment can be about the index itself.
        if row.tag != "keyindex" {
            items.push(Item {
                relation: row.owner,
                object,
            });
        }
    }
    for row in relations {
        let Some(relation) = names.relations.get(&row.owner) else {
            continue;
        };
        let kind = match row.name.as_str() {
            "v" => Kind::View,
            "m" => Kind::MaterializedView,
            _ => Kind::Table,
        };
        let strict = if kind == Kind::Table {
            let mut order = columns.remove(&row.owner).unwrap_or_default();
            order.sort_unstable();
            let list: Vec<_> = order.into_iter().map(|(_, name)| name).collect();
            let options = if row.text.is_empty() {
                String::new()
            } else {
                format!("\n{}", row.text)
            };
            format!("columns ({}){options}", list.join(", "))
        } else {
            row.text
        };
        let object = object(kind, relation.name.clone(), None, strict);
        labels.add((PG_CLASS, row.oid, 0), &object, row.owner);
        items.push(Item {
            relation: row.owner,
            object,
        });
    }
    items
}

/// The objects that belong to no relation.
pub(in crate::catalog) fn space_items(
    names: &Names,
    rows: Vec<Part>,
    labels: &mut Labels,
) -> Vec<Item> {
    let mut items = Vec::with_capacity(rows.len() + names.extensions.len());
    for row in rows {
        let class = match row.tag.as_str() {
            "function" => 1255,
            "type" => 1247,
            "collation" => 3456,
            "operator" => 2617,
            "statistics" => 3381,
            "text search configuration" => 3602,
            "text search dictionary" => 3600,
            "event trigger" => 3466,
            "publication" => 6104,
            "cast" => 2605,
            "language" => 2612,
            "foreign server" => 1417,
            _ => 2328,
        };
        if names.members.contains(&(class, row.oid)) || belongs_to_ledger(&row.name) {
            continue;
        }
        let space = |name: &str| match names.spaces.get(&row.owner) {
            Some(Some(space)) => format!("{space}.{name}"),
            _ => name.to_owned(),
        };
        let (kind, name) = match row.tag.as_str() {
            "function" => (Kind::Function, space(&row.name)),
            "type" => (Kind::Type, space(&text::name(&row.name))),
            "event trigger" => (Kind::EventTrigger, text::name(&row.name)),
            tag => (Kind::Other, format!("{tag} {}", space(&row.name))),
        };
        let object = object(kind, name, None, row.text);
        labels.add((class, row.oid, 0), &object, 0);
        items.push(Item {
            relation: 0,
            object,
        });
    }
    for part in &names.extensions {
        let schema = match names.spaces.get(&part.owner) {
            Some(Some(space)) => format!("SCHEMA {space}"),
            Some(None) => "at home".to_owned(),
            None => "SCHEMA of the engine".to_owned(),
        };
        let object = object(Kind::Extension, text::name(&part.name), None, schema);
        items.push(Item {
            relation: 0,
            object,
        });
    }
    for (oid, space) in &names.spaces {
        if let Some(space) = space {
            let object = object(Kind::Schema, space.clone(), None, String::new());
            labels.add((2615, *oid, 0), &object, 0);
            items.push(Item {
                relation: 0,
                object,
            });
        }
    }
    items
}

fn object(kind: Kind, name: String, table: Option<String>, strict: String) -> Object {
    let loose = text::loose(Engine::Postgres, &strict);
    Object {
        kind,
        name,
        table,
        strict,
        loose,
    }
}

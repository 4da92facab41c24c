//! The catalog of a PostgreSQL database.
//!
//! PostgreSQL 14 or later. The reading is split in two, so that a part of it can be repeated:
//! what belongs to relations is read by relation, everything else by schema.

mod parts;
pub(super) mod pin;
pub(super) mod query;
pub(super) mod texts;

use std::collections::{HashMap, HashSet};

use diesel::{PgConnection, QueryResult, RunQueryDsl as _};

use super::{Object, Scope, text};
use query::{Part, Prepared};
use texts::{AllComments, RelationParts, Relations, SpaceParts, Spaces};

pub(super) use parts::{Item, Labels};

/// `pg_class`, as comments and dependencies name it.
pub(super) const PG_CLASS: u32 = 1259;

/// A relation in scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    /// Its name as a catalog writes it.
    pub name: String,
    /// The schema that it is in.
    pub space: u32,
    /// What it is, in the letters of `pg_class.relkind`.
    pub kind: char,
}

/// Everything that names are made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    spaces: HashMap<u32, Option<String>>,
    /// By object identifier.
    pub relations: HashMap<u32, Relation>,
    /// Class and identifier of what belongs to an extension.
    members: HashSet<(u32, u32)>,
    extensions: Vec<Part>,
}

/// Reads the whole catalog.
pub(super) fn read(conn: &mut PgConnection, scope: &Scope) -> QueryResult<Vec<Object>> {
    let (_, items) = pin::pinned(conn, scope.home(), |conn| read_all(conn, scope))?;
    Ok(items.into_iter().map(|item| item.object).collect())
}

/// Reads everything, with the settings pinned.
pub(super) fn read_all(conn: &mut PgConnection, scope: &Scope) -> QueryResult<(Names, Vec<Item>)> {
    let names = Names::read(conn, scope)?;
    let mut labels = Labels::default();
    let relations: Vec<u32> = names.relations.keys().copied().collect();
    let mut items = names.relation_items(conn, &relations, &mut labels)?;
    items.extend(names.space_items(conn, &mut labels)?);
    let comments = Prepared::<AllComments>::new().load(conn)?;
    items.extend(labels.comments(comments));
    Ok((names, items))
}

impl Names {
    /// Reads the names of schemas and relations, and what extensions own.
    pub(in crate::catalog) fn read(conn: &mut PgConnection, scope: &Scope) -> QueryResult<Self> {
        let mut names = Self::default();
        for part in Prepared::<Spaces>::new().load::<Part>(conn)? {
            match part.tag.as_str() {
                "space" if scope.has_schema(&part.name) => {
                    let shown = (part.name != scope.home()).then(|| text::name(&part.name));
                    names.spaces.insert(part.oid, shown);
                }
                "extension" => names.extensions.push(part),
                "member" => {
                    names.members.insert((part.owner, part.oid));
                }
                _ => {}
            }
        }
        names.read_relations(conn, scope)?;
        Ok(names)
    }

    /// Reads the names of relations.
    fn read_relations(&mut self, conn: &mut PgConnection, scope: &Scope) -> QueryResult<()> {
        let rows: Vec<Part> = Prepared::<Relations>::new()
            .oids(&self.space_oids())
            .load(conn)?;
        self.relations.clear();
        for part in rows {
            if let Some(relation) = self.relation(scope, &part) {
                self.relations.insert(part.oid, relation);
            }
        }
        Ok(())
    }

    /// The relation of one row, if it is in scope.
    pub(in crate::catalog) fn relation(&self, scope: &Scope, part: &Part) -> Option<Relation> {
        let outside = !self.spaces.contains_key(&part.owner)
            || scope.leaves_out(&part.name)
            || self.members.contains(&(PG_CLASS, part.oid));
        (!outside).then(|| Relation {
            name: self.qualified(part.owner, &part.name),
            space: part.owner,
            kind: part.tag.chars().next().unwrap_or_default(),
        })
    }

    /// Everything that belongs to some relations, but for comments.
    pub(in crate::catalog) fn relation_items(
        &self,
        conn: &mut PgConnection,
        relations: &[u32],
        labels: &mut Labels,
    ) -> QueryResult<Vec<Item>> {
        let rows: Vec<Part> = Prepared::<RelationParts>::new()
            .oids(relations)
            .load(conn)?;
        Ok(parts::relation_items(self, rows, labels))
    }

    /// Everything that belongs to no relation, but for comments.
    pub(in crate::catalog) fn space_items(
        &self,
        conn: &mut PgConnection,
        labels: &mut Labels,
    ) -> QueryResult<Vec<Item>> {
        let rows: Vec<Part> = Prepared::<SpaceParts>::new()
            .oids(&self.space_oids())
            .load(conn)?;
        Ok(parts::space_items(self, rows, labels))
    }

    /// The name of a relation that the server gave as `identifier|name`; its own spelling only
    /// serves for what is out of scope.
    pub(in crate::catalog) fn of_relation(&self, told: &str) -> String {
        let (oid, name) = told.split_once('|').unwrap_or((told, told));
        let known = oid
            .parse()
            .ok()
            .and_then(|oid: u32| self.relations.get(&oid));
        known.map_or(name, |relation| &relation.name).to_owned()
    }

    fn space_oids(&self) -> Vec<u32> {
        self.spaces.keys().copied().collect()
    }

    /// A name with its schema, unless that is home.
    fn qualified(&self, space: u32, name: &str) -> String {
        match self.spaces.get(&space) {
            Some(Some(space)) => text::member(space, name),
            _ => text::name(name),
        }
    }
}

//! What there is in the source, and which of it is copied.

use std::collections::HashSet;

use db_core::{Access, Engine};
use db_migrate::catalog::model::Model;
use db_migrate::catalog::{Catalog, Scope};

use super::Copy;
use super::error::{CopyError, Doing as _};
use super::names::Name;
use super::plan::TablePlan;
use super::report::NotTranslated;
use super::side::{Bulk, Endpoint};
use super::unvalidated::NotValid;
use crate::waiting::Pending;

/// The catalog of the source.
#[derive(Debug)]
pub(super) struct SourceCatalog {
    /// The tables that are copied.
    pub(super) model: Model,
    /// Tables of PostgreSQL without partitions of their own.
    plain: HashSet<Name>,
    /// What does not go along, apart from what the new tables cannot say.
    pub(super) others: Vec<NotTranslated>,
    /// Constraints that rows of the source need not hold.
    pub(super) not_valid: Vec<NotValid>,
}

impl Copy<'_> {
    /// Reads the source's catalog.
    pub(super) fn source(&self) -> Result<SourceCatalog, CopyError> {
        let doing = || format!("reading the catalog of {}", self.from.shown());
        let engine = self.from.engine();
        let scope = self.scope();
        let mut connection = {
            let opens = engine == Engine::Sqlite;
            let _told = opens.then(|| Pending::opening(&self.from.url, &self.on_wait));
            self.from.connect(Access::ReadOnly)?
        };
        let mut model = Model::read(&mut connection.conn(), &scope)
            .map_err(|e| db_core::Error::classify(engine, &e))
            .doing(doing)?;
        // Where migrations make the target, it is told by what is beside them.
        let objects = match self.schema {
            Some(_) => Catalog::from_objects(Vec::new()),
            None => Catalog::read(&mut connection.conn(), &scope)
                .map_err(|e| db_core::Error::classify(engine, &e))
                .doing(doing)?,
        };
        drop(connection);
        let (mut plain, mut others) = (HashSet::new(), Vec::new());
        let mut not_valid = Vec::new();
        if engine == Engine::Postgres {
            for (name, kind, is_part) in self.relations()? {
                if kind == "r" && !is_part {
                    plain.insert(name.clone());
                }
                if kind == "p" && !is_part {
                    let reason = "its rows go into one table";
                    others.push(NotTranslated::new("partitioning", name.shown(), reason));
                }
                if is_part {
                    model.tables.retain(|t| Name::parse(&t.name) != name);
                }
            }
        }
        if let Some(schema) = self.schema {
            others = self.beside_migrations(schema)?;
        } else {
            others.extend(self.of_objects(objects.objects()));
            others.extend(self.virtual_tables(&model)?);
            if engine == Engine::Postgres {
                others.extend(self.details()?);
                not_valid = self.not_valid()?;
            }
        }
        self.choose(&mut model)?;
        Ok(SourceCatalog {
            model,
            plain,
            others,
            not_valid,
        })
    }

    /// Fails if the catalog, which was read before the snapshot was begun, is no longer that.
    pub(super) fn refuse_change(&self, before: &SourceCatalog) -> Result<(), CopyError> {
        let mut now = self.model_of(&self.from)?;
        if self.from.engine() == Engine::Postgres {
            let parts = self.relations()?.into_iter().filter(|(_, _, part)| *part);
            let parts: HashSet<Name> = parts.map(|(name, ..)| name).collect();
            now.tables
                .retain(|t| !parts.contains(&Name::parse(&t.name)));
        }
        self.choose(&mut now)?;
        if now == before.model {
            return Ok(());
        }
        Err(CopyError::Changed)
    }

    /// What is left out of the catalog, whatever side it is read on.
    pub(super) fn scope(&self) -> Scope {
        let names = self.leave_out.iter();
        names.fold(Scope::default(), Scope::without_table)
    }

    /// The tables of a database.
    pub(super) fn model_of(&self, place: &Endpoint) -> Result<Model, CopyError> {
        let mut connection = place.connect(Access::ReadOnly)?;
        Model::read(&mut connection.conn(), &self.scope())
            .map_err(|e| db_core::Error::classify(place.engine(), &e))
            .doing(|| format!("reading the catalog of {}", place.shown()))
    }

    fn choose(&self, model: &mut Model) -> Result<(), CopyError> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let same = |table: &str, wanted: &str| Name::parse(table).shown() == wanted;
        for wanted in &self.tables {
            if !model.tables.iter().any(|t| same(&t.name, wanted)) {
                return Err(CopyError::Usage(self.missing(wanted, model)?));
            }
        }
        let is_wanted = |name: &str| self.tables.iter().any(|wanted| same(name, wanted));
        model.tables.retain(|table| is_wanted(&table.name));
        Ok(())
    }

    fn relations(&self) -> Result<Vec<(Name, String, bool)>, CopyError> {
        const SQL: &str = "SELECT CASE WHEN n.nspname <> 'public' THEN n.nspname END, c.relname, \
            c.relkind, c.relispartition FROM pg_catalog.pg_class c \
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
            WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
        let mut bulk = Bulk::open(&self.from, Access::ReadOnly, &self.interrupt)?;
        let rows = bulk.rows(SQL).doing(|| "reading the catalog".to_owned())?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let mut row = row.into_iter();
                let mut next = || row.next().flatten();
                let name = Name {
                    schema: next(),
                    table: next().unwrap_or_default(),
                };
                (
                    name,
                    next().unwrap_or_default(),
                    next().as_deref() == Some("t"),
                )
            })
            .collect())
    }
}

impl SourceCatalog {
    /// Adds to plans what only the catalog knows.
    pub(super) fn complete(&self, plans: &mut [TablePlan]) {
        for plan in plans {
            if self.plain.contains(&plan.source) {
                plan.only = "ONLY ";
            }
        }
    }
}

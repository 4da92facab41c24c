//! `schema`: what tables there are, shown, drawn, and compared.

pub(super) mod diff;
pub(super) mod show;
mod svg;

use db_core::{Access, Connection};
use db_migrate::catalog::diagram;
use db_migrate::catalog::model::{Model, Table};
use db_migrate::catalog::{Catalog, Scope};
use diesel::QueryResult;
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{DiagramFormat, Schema, SchemaCommand, SchemaDiagram};
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::clean;

/// A drawing in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DiagramDocument {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    format: &'static str,
    diagram: String,
}

pub(super) fn run(context: &Context<'_>, options: &Schema) -> Result<Code, Error> {
    match &options.command {
        SchemaCommand::Show(options) => show::run(context, options),
        SchemaCommand::Diagram(options) => draw(context, options),
        SchemaCommand::Diff(options) => diff::run(context, options),
    }
}

fn draw(context: &Context<'_>, options: &SchemaDiagram) -> Result<Code, Error> {
    let read = Read::of(context, &options.tables)?;
    let (format, diagram) = match options.format {
        DiagramFormat::Mermaid => ("mermaid", diagram::mermaid(&read.model)),
        DiagramFormat::Dot => ("dot", diagram::dot(&read.model)),
        DiagramFormat::Svg => ("svg", svg::draw(&read.model)),
    };
    // No tool that draws, XML before all, takes a control character in a name.
    let diagram = clean::shown(&diagram).into_owned();
    if context.output.is_json() {
        context.output.document(&DiagramDocument {
            engine: read.engine,
            location: read.location,
            format,
            diagram,
        })?;
    } else {
        context.output.data(&diagram)?;
    }
    Ok(Code::Done)
}

/// The schema of the command's database.
struct Read {
    engine: &'static str,
    location: String,
    model: Model,
}

impl Read {
    /// Reads all tables, or those that are named.
    fn of(context: &Context<'_>, tables: &[String]) -> Result<Self, Error> {
        let job = context.job()?;
        let mut connection = database::open(&job, Access::ReadOnly)?;
        let model = only(model(&mut connection)?, tables)?;
        Ok(Self {
            engine: job.url.engine().name(),
            location: database::location(&job.url),
            model,
        })
    }
}

pub(super) fn model(connection: &mut Connection) -> Result<Model, Error> {
    classified(connection, Model::read)
}

fn catalog(connection: &mut Connection) -> Result<Catalog, Error> {
    classified(connection, Catalog::read)
}

fn classified<T>(
    connection: &mut Connection,
    read: impl FnOnce(&mut db_core::Conn<'_>, &Scope) -> QueryResult<T>,
) -> Result<T, Error> {
    let engine = connection.url().engine();
    read(&mut connection.conn(), &Scope::default())
        .map_err(|e| db_core::Error::classify(engine, &e).into())
}

/// What is said of a table that is not there, in passing.
pub(super) fn unknown(model: &Model, name: &str) -> String {
    match nearest(model, name) {
        Some(meant) => format!("there is no table {name}; did you mean {meant}?"),
        None => format!("there is no table {name}"),
    }
}

/// The table whose name is like this one.
fn nearest<'m>(model: &'m Model, name: &str) -> Option<&'m str> {
    let names = model.tables.iter().map(|table| table.name.as_str());
    let nearest = names
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map(|(_, known)| known)
}

/// The tables that were asked for; one that is not there is an error that names the nearest.
fn only(model: Model, wanted: &[String]) -> Result<Model, Error> {
    if wanted.is_empty() {
        return Ok(model);
    }
    if let Some(missing) = wanted.iter().find(|name| model.table(name).is_none()) {
        let hint = nearest(&model, missing).map_or_else(
            || "`bitcraps-db schema show` lists all tables".to_owned(),
            |name| format!("did you mean {name}?"),
        );
        return Err(Error::usage(format!("there is no table {missing}"), hint));
    }
    let is_wanted = |table: &Table| wanted.contains(&table.name);
    Ok(Model {
        tables: model.tables.into_iter().filter(is_wanted).collect(),
    })
}

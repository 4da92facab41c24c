//! `audit show`: lines of the trail, newest first.

use db_core::{Access, Connection};
use db_repo::{AuditFilter, AuditRepository, Page, PageRequest};
use db_schema::rows::AuditLog;
use db_schema::types::{Json, UtcTime};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::super::{Context, schema};
use crate::args::Show;
use crate::database;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::table::{Align, Table};

const COLUMNS: [(&str, Align); 7] = [
    ("id", Align::Right),
    ("time", Align::Left),
    ("user", Align::Left),
    ("action", Align::Left),
    ("entity", Align::Left),
    ("address", Align::Left),
    ("change", Align::Left),
];

/// A page of the trail, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document<'p> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: String,
    lines: &'p [AuditLog],
    /// What `--after` takes to go on; none after the last line.
    next: Option<String>,
}

pub(super) fn run(context: &Context<'_>, options: &Show) -> Result<Code, Error> {
    let job = context.job()?;
    let url = job.url.clone();
    let mut request = PageRequest::first(options.limit);
    if let Some(after) = &options.after {
        request = request.after(after.clone());
    }
    let mut running = context.start(job, Access::ReadOnly, None)?;
    let page = AuditRepository::list(&mut running.connection.conn(), &filter(options), &request);
    running.progress.finish();
    let page = page?;
    let next = page.next.as_ref().map(ToString::to_string);
    if context.output.is_json() {
        context.output.document(&Document {
            engine: url.engine().name(),
            location: database::location(&url),
            lines: &page.items,
            next,
        })?;
        return Ok(Code::Done);
    }
    if page.items.is_empty() {
        let unknown = unknown_table(&mut running.connection, options)?;
        let unknown = unknown.map_or_else(String::new, |unknown| format!("; {unknown}"));
        context
            .output
            .note(&format!("no line of the trail fits{unknown}"));
        return Ok(Code::Done);
    }
    context
        .output
        .data(&table(&page).render(context.output.paint()))?;
    if let Some(next) = next {
        context
            .output
            .note(&format!("there may be more: --after {next}"));
    }
    Ok(Code::Done)
}

fn filter(options: &Show) -> AuditFilter {
    let (entity_type, entity_id) = match options.entity.as_deref() {
        None => (None, None),
        Some(entity) => match entity.split_once(':') {
            Some((entity_type, id)) => (Some(entity_type), Some(id)),
            None => (Some(entity), None),
        },
    };
    AuditFilter {
        entity_type: entity_type.map(str::to_owned),
        entity_id: entity_id.map(str::to_owned),
        user_id: options.user.clone(),
        since: options.since.map(UtcTime::from),
        until: options.until.map(UtcTime::from),
    }
}

/// What is said of an entity for which there is no table.
fn unknown_table(connection: &mut Connection, options: &Show) -> Result<Option<String>, Error> {
    let Some(wanted) = filter(options).entity_type else {
        return Ok(None);
    };
    let model = schema::model(connection)?;
    Ok(match model.table(&wanted) {
        Some(_) => None,
        None => Some(schema::unknown(&model, &wanted)),
    })
}

fn table(page: &Page<AuditLog>) -> Table<'_> {
    let mut table = Table::new(&COLUMNS);
    for line in &page.items {
        let cells = vec![
            line.id.to_string().into(),
            line.created_at
                .format("%Y-%m-%d %H:%M:%S%.3fZ")
                .to_string()
                .into(),
            line.user_id.as_deref().unwrap_or("").into(),
            line.action.as_str().into(),
            format!("{}:{}", line.entity_type, line.entity_id).into(),
            line.ip_address.as_deref().unwrap_or("").into(),
            changes(line).into(),
        ];
        table.row(cells, None);
    }
    table
}

/// The columns that an update changed, with their values before and after.
fn changes(line: &AuditLog) -> String {
    let (Some(Json(Value::Object(before))), Some(Json(Value::Object(after)))) =
        (&line.before_state, &line.after_state)
    else {
        return String::new();
    };
    let changed = after.iter().filter_map(|(column, new)| {
        let old = before.get(column).unwrap_or(&Value::Null);
        (old != new && column != "updated_at").then(|| format!("{column} {old} → {new}"))
    });
    changed.collect::<Vec<_>>().join(", ")
}

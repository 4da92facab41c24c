//! `schema show`: tables in text or JSON.

use std::borrow::Cow;

use db_migrate::catalog::model::{Action, Column, ForeignKey, Index, Key, Table as Shape};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::Context;
use super::Read;
use crate::args::SchemaShow;
use crate::error::Error;
use crate::exit::Code;
use crate::json::EngineName;
use crate::output::style::{Paint, Style};
use crate::output::table::{Align, Table};
use crate::output::text::Text;

/// The tables in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct Document<'m> {
    #[schemars(with = "EngineName")]
    engine: &'static str,
    location: &'m str,
    tables: &'m [Shape],
}

pub(super) fn run(context: &Context<'_>, options: &SchemaShow) -> Result<Code, Error> {
    let read = Read::of(context, &options.tables)?;
    let tables = &read.model.tables;
    if context.output.is_json() {
        context.output.document(&Document {
            engine: read.engine,
            location: &read.location,
            tables,
        })?;
        return Ok(Code::Done);
    }
    let paint = context.output.paint();
    let texts: Vec<String> = tables.iter().map(|table| text(table, paint)).collect();
    context.output.data(&texts.join("\n"))?;
    if tables.is_empty() {
        context.output.note("there are no tables");
    }
    Ok(Code::Done)
}

fn text(table: &Shape, paint: Paint) -> String {
    let mut text = Text::default();
    let mut head = paint.text(&table.name, Style::Bold);
    for (holds, word) in [
        (table.strict, " STRICT"),
        (table.without_rowid, " WITHOUT ROWID"),
    ] {
        head.push_str(if holds { word } else { "" });
    }
    if let Some(comment) = &table.comment {
        head.push_str(": ");
        head.push_str(comment);
    }
    text.line(head);
    let mut columns = Table::new(&[
        ("column", Align::Left),
        ("type", Align::Left),
        ("null", Align::Left),
        ("default", Align::Left),
        ("comment", Align::Left),
    ]);
    for column in &table.columns {
        let cells = vec![
            Cow::Borrowed(column.name.as_str()),
            Cow::Borrowed(column.declared_type.as_str()),
            Cow::Borrowed(if column.nullable { "yes" } else { "no" }),
            Cow::Owned(default(column)),
            Cow::Borrowed(column.comment.as_deref().unwrap_or_default()),
        ];
        columns.row(cells, None);
    }
    for line in columns.render(paint).lines() {
        text.line(format_args!("  {line}"));
    }
    rest(&mut text, table);
    text.into_string()
}

fn default(column: &Column) -> String {
    match (&column.generated, &column.default) {
        (Some(generated), _) => {
            let how = if generated.stored {
                "stored"
            } else {
                "computed"
            };
            format!("{how} as {}", generated.expression)
        }
        (None, Some(default)) => default.clone(),
        (None, None) if column.numbered => "numbered".to_owned(),
        (None, None) => String::new(),
    }
}

/// What is not a column.
fn rest(text: &mut Text, table: &Shape) {
    if let Some(key) = &table.primary_key {
        text.line(format_args!("  primary key{}", listed(key)));
    }
    for key in &table.uniques {
        text.line(format_args!("  unique{}", listed(key)));
    }
    for key in &table.foreign_keys {
        text.line(format_args!("  foreign key{}", reference(key)));
    }
    for check in &table.checks {
        let name = named(check.name.as_deref());
        text.line(format_args!("  check{name} ({})", check.expression));
    }
    for index in &table.indexes {
        text.line(format_args!("  {}", entry(index)));
    }
    for trigger in &table.triggers {
        text.line(format_args!("  trigger {}", trigger.name));
    }
}

fn named(name: Option<&str>) -> String {
    name.map(|name| format!(" {name}")).unwrap_or_default()
}

fn listed(key: &Key) -> String {
    let name = named(key.name.as_deref());
    format!("{name} ({})", key.columns.join(", "))
}

fn reference(key: &ForeignKey) -> String {
    let name = named(key.name.as_deref());
    let mut says = format!("{name} ({}) to {}", key.columns.join(", "), key.references);
    if !key.referenced_columns.is_empty() {
        says.push_str(" (");
        says.push_str(&key.referenced_columns.join(", "));
        says.push(')');
    }
    for (when, action) in [("on delete", key.on_delete), ("on update", key.on_update)] {
        let what = match action {
            Action::NoAction => continue,
            Action::Restrict => "restrict",
            Action::Cascade => "cascade",
            Action::SetNull => "set null",
            Action::SetDefault => "set default",
        };
        for part in [", ", when, " ", what] {
            says.push_str(part);
        }
    }
    if key.deferrable {
        says.push_str(", deferrable");
    }
    says
}

fn entry(index: &Index) -> String {
    let keys: Vec<String> = index
        .keys
        .iter()
        .map(|key| {
            let what = key.column.as_ref().or(key.expression.as_ref());
            let what = what.map_or("?", String::as_str);
            format!("{what}{}", if key.descending { " desc" } else { "" })
        })
        .collect();
    let unique = if index.unique {
        "unique index"
    } else {
        "index"
    };
    let mut says = format!("{unique} {} ({})", index.name, keys.join(", "));
    if index.method != "btree" {
        says.push_str(" by ");
        says.push_str(&index.method);
    }
    if let Some(predicate) = &index.predicate {
        says.push_str(" where ");
        says.push_str(predicate);
    }
    says
}

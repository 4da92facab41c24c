//! `config`: which settings count, and where each was said.

use std::borrow::Cow;

use db_core::Origin;
use schemars::JsonSchema;
use serde::Serialize;

use super::Context;
use crate::args::{Config, ConfigCommand};
use crate::config::Setting;
use crate::error::Error;
use crate::exit::Code;
use crate::output::style::Style;
use crate::output::table::{Align, Table};

/// The settings in JSON.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Document {
    /// The configuration file that was read.
    file: Option<String>,
    settings: Vec<Entry>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Entry {
    name: String,
    value: String,
    /// `default`, `file`, `environment` or `argument`.
    origin: &'static str,
    /// The file and line, the variable or the argument.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

impl Entry {
    fn of(setting: Setting) -> Self {
        let (origin, place) = match setting.origin {
            Origin::Environment(name) => ("environment", Some(name)),
            Origin::Argument(name) => ("argument", Some(name)),
            Origin::File { path, line: 0 } => ("file", Some(path.display().to_string())),
            Origin::File { path, line } => ("file", Some(format!("{}:{line}", path.display()))),
            _ => ("default", None),
        };
        Self {
            name: setting.name,
            value: setting.value,
            origin,
            place,
        }
    }
}

pub(super) fn run(context: &Context<'_>, options: &Config) -> Result<Code, Error> {
    let ConfigCommand::Show = options.command;
    let file = context.file()?;
    let settings: Vec<Entry> = file
        .settings(context.global)?
        .into_iter()
        .map(Entry::of)
        .collect();
    if context.output.is_json() {
        context.output.document(&Document {
            file: file.path().map(|path| path.display().to_string()),
            settings,
        })?;
        return Ok(Code::Done);
    }
    let columns = ["setting", "value", "said by"].map(|heading| (heading, Align::Left));
    let mut table = Table::new(&columns);
    for entry in &settings {
        let place = entry.place.as_deref().unwrap_or("default");
        let cells = [entry.name.as_str(), entry.value.as_str(), place];
        let style = entry.place.as_ref().map(|_| Style::Bold);
        table.row(cells.map(Cow::Borrowed).to_vec(), style);
    }
    context.output.data(&table.render(context.output.paint()))?;
    Ok(Code::Done)
}

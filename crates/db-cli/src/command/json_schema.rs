//! `json-schema`: the shape of what each command prints with `--json`.

use std::fs;
use std::path::Path;

use db_backup::health::HealthDocument;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{
    Context, RunDocument, audit, backup, completions, config, copy, create, export, import,
    maintenance, man, reconcile, repair, reset, restore, salvage, schema, seed, status, validate,
};
use crate::args::JsonSchema as Arguments;
use crate::error::{self, Error};
use crate::exit::Code;
use crate::json::{self, Make};
use crate::output;

/// The files that were written, in JSON.
#[derive(Debug, Serialize, JsonSchema)]
struct Written {
    written: Vec<String>,
}

/// The schemas by name: a command with its parts joined by `-`, what every command prints when it
/// fails, and what every command may write to standard error.
pub(crate) const SCHEMAS: &[(&str, Make)] = &[
    ("audit-seal", json::of::<audit::SealDocument>),
    ("audit-show", json::of::<audit::show::Document<'_>>),
    ("audit-verify", json::of::<audit::VerifyDocument<'_>>),
    ("backup-create", json::of::<backup::create::Document<'_>>),
    ("backup-list", json::of::<backup::list::Document>),
    ("backup-prune", json::of::<backup::prune::Document<'_>>),
    ("backup-remove", json::of::<backup::remove::Document>),
    ("backup-schedule", json::of::<backup::schedule::Document>),
    ("backup-status", json::of::<backup::status::Document<'_>>),
    ("backup-verify", json::of::<backup::verify::Document<'_>>),
    ("backup-wal-fetch", json::of::<backup::wal::Document>),
    ("backup-wal-push", json::of::<backup::wal::Document>),
    ("baseline", json::of::<RunDocument>),
    ("completions", json::of::<completions::Document>),
    ("config-show", json::of::<config::Document>),
    ("copy", json::of::<copy::Document<'_>>),
    ("create", json::of::<create::Document>),
    ("error", json::of::<error::Document<'_>>),
    ("export", json::of::<export::Document>),
    ("health", json::of::<HealthDocument<'_>>),
    ("import", json::of::<import::Document<'_>>),
    ("json-schema", own),
    ("maintenance", json::of::<maintenance::Document<'_>>),
    ("man", json::of::<man::Document>),
    ("migrate", json::of::<RunDocument>),
    ("progress", progress),
    ("reconcile", json::of::<reconcile::Document<'_>>),
    ("repair", json::of::<repair::Document<'_>>),
    ("reset", json::of::<reset::Document>),
    ("restore", restored),
    ("rollback", json::of::<RunDocument>),
    ("salvage", json::of::<salvage::Document<'_>>),
    ("schema-diagram", json::of::<schema::DiagramDocument>),
    ("schema-diff", json::of::<schema::diff::Document>),
    ("schema-show", json::of::<schema::show::Document<'_>>),
    ("seed", json::of::<seed::Document>),
    ("status", json::of::<status::Document>),
    ("validate", json::of::<validate::Document<'_>>),
];

pub(super) fn run(context: &Context<'_>, options: &Arguments) -> Result<Code, Error> {
    if let Some(dir) = &options.dir {
        let written = write(dir)?;
        if context.output.is_json() {
            context.output.document(&Written { written })?;
        } else {
            let lines: Vec<String> = written.iter().map(|path| format!("{path}\n")).collect();
            context.output.data(&lines.concat())?;
        }
        return Ok(Code::Done);
    }
    let named = SCHEMAS
        .iter()
        .find(|(name, _)| options.name.as_deref() == Some(*name));
    // clap takes none but these names.
    if let Some((name, make)) = named {
        context.output.document(&json::published(name, *make))?;
    }
    Ok(Code::Done)
}

/// Writes all of them into a folder.
fn write(dir: &Path) -> Result<Vec<String>, Error> {
    super::refuse_file(dir, "name a folder for the schemas with --dir")?;
    fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
    let mut written = Vec::new();
    for (name, make) in SCHEMAS {
        let path = dir.join(format!("{name}.schema.json"));
        let text = format!("{:#}\n", json::published(name, *make));
        fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

/// A file and a server are restored with different figures.
fn restored(generator: &mut SchemaGenerator) -> Schema {
    let either = vec![
        generator.subschema_for::<restore::Document>(),
        generator.subschema_for::<restore::base::Document>(),
    ];
    json::any_of(generator, &either)
}

/// Each line of standard error.
fn progress(generator: &mut SchemaGenerator) -> Schema {
    let mut lines = output::schema::lines(generator);
    lines.push(generator.subschema_for::<maintenance::Line<'_>>());
    lines.push(generator.subschema_for::<backup::schedule::Line<'_>>());
    json::any_of(generator, &lines)
}

/// A schema, or the files that were written.
fn own(generator: &mut SchemaGenerator) -> Schema {
    let schema = schemars::json_schema!({ "$ref": "https://json-schema.org/draft/2020-12/schema" });
    let either = vec![generator.subschema_for::<Written>(), schema];
    json::any_of(generator, &either)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    /// The names of all commands that do something.
    fn leaves(command: &clap::Command, above: &str, found: &mut Vec<String>) {
        let mut below = command
            .get_subcommands()
            .filter(|c| c.get_name() != "help")
            .peekable();
        if below.peek().is_none() {
            found.push(above.to_owned());
        }
        for command in below {
            let name = command.get_name();
            let joined = if above.is_empty() {
                name.to_owned()
            } else {
                format!("{above}-{name}")
            };
            leaves(command, &joined, found);
        }
    }

    #[test]
    fn every_command_has_a_schema_and_every_schema_a_command() {
        let mut command = args::command();
        command.build();
        let mut expected = vec!["error".to_owned(), "progress".to_owned()];
        leaves(&command, "", &mut expected);
        expected.sort();
        let names: Vec<&str> = SCHEMAS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, expected);
    }
}

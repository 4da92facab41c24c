//! The schemas of the lines that all commands may write to standard error with `--json`.

use schemars::{Schema, SchemaGenerator};

use super::{NoteLine, log, phases, progress, rows};

/// Each kind of line.
pub(crate) fn lines(generator: &mut SchemaGenerator) -> Vec<Schema> {
    vec![
        generator.subschema_for::<NoteLine<'_>>(),
        generator.subschema_for::<log::LogLine<'_>>(),
        generator.subschema_for::<progress::Line<'_>>(),
        generator.subschema_for::<phases::Line>(),
        generator.subschema_for::<rows::Line>(),
    ]
}

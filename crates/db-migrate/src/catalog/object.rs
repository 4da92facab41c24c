//! One object of a catalog, and the kinds there are.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Mode;
use super::fingerprint::Digest;

/// What an object is. The order is the one in which differences are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A PostgreSQL schema other than the home schema.
    Schema,
    /// A PostgreSQL extension, by name and schema; its version and its members are not compared.
    Extension,
    /// An enum, domain, composite, range or base type.
    Type,
    /// A sequence, with its owner column.
    Sequence,
    /// A table: its options and the order of its columns.
    Table,
    /// A column, named `table.column`.
    Column,
    /// A constraint of a table, named `table.constraint`. On SQLite those that are written after
    /// the columns; a constraint inside a column definition belongs to the column.
    Constraint,
    /// An index that does not merely serve a constraint.
    Index,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A rewrite rule, named `table.rule`.
    Rule,
    /// A row security policy, named `table.policy`.
    Policy,
    /// A trigger; on PostgreSQL named `table.trigger`, because there names belong to the table.
    Trigger,
    /// A function, procedure or aggregate, named with the types of its arguments.
    Function,
    /// An event trigger.
    EventTrigger,
    /// A comment, named after what it is about.
    Comment,
    /// Anything else a migration can create: a collation, an operator, extended statistics, a
    /// publication, a foreign server. The name starts with what it is.
    Other,
}

impl Kind {
    /// The kind in words, for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Extension => "extension",
            Self::Type => "type",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::View => "view",
            Self::MaterializedView => "materialized view",
            Self::Rule => "rule",
            Self::Policy => "policy",
            Self::Trigger => "trigger",
            Self::Function => "function",
            Self::EventTrigger => "event trigger",
            Self::Comment => "comment on",
            Self::Other => "",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One object, with its definition in two canonical forms.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name, with the schema unless that is the home schema, and with the table where names
    /// belong to a table.
    pub name: String,
    /// The table that it belongs to, if it belongs to one.
    pub table: Option<String>,
    /// The definition as this engine writes it; this is what a person is shown.
    pub strict: String,
    /// The definition without what a dump and a restore may change.
    pub loose: String,
}

impl Object {
    /// The definition in one of the two forms.
    #[must_use]
    pub fn text(&self, mode: Mode) -> &str {
        match mode {
            Mode::Strict => &self.strict,
            Mode::Loose => &self.loose,
        }
    }

    /// The hash of kind, name and definition, each preceded by its length, so that no two
    /// different objects share an input.
    pub(super) fn digest(&self, mode: Mode) -> Digest {
        let mut hash = Sha256::new();
        for part in [self.kind.name(), &self.name, self.text(mode)] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

impl fmt::Display for Object {
    /// Kind and name, as in `column users.nickname`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Other => f.write_str(&self.name),
            kind => write!(f, "{} {}", kind.name(), self.name),
        }
    }
}

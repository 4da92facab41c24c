//! Which constraint a row broke, by the same name on both engines.
//!
//! PostgreSQL names the constraint and its table, and only for NOT NULL the column. SQLite names a
//! check, a unique index over an expression, and otherwise columns; of a foreign key it says
//! nothing at all. A [`ConstraintMap`], which a schema generates from its catalog, fills in the
//! rest.

use std::fmt;

/// What a constraint demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConstraintKind {
    /// No two rows alike: a primary key, a unique constraint, a unique index.
    Unique,
    /// The row that is referred to exists.
    ForeignKey,
    /// An expression holds.
    Check,
    /// The value is there.
    NotNull,
    /// No two rows overlap (PostgreSQL).
    Exclusion,
    /// The value is of the column's type (a STRICT table or a rowid of SQLite).
    DataType,
    /// Whatever a trigger demands that refused with `RAISE` (SQLite).
    Trigger,
    /// Another.
    Other,
}

impl fmt::Display for ConstraintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unique => "unique",
            Self::ForeignKey => "foreign key",
            Self::Check => "check",
            Self::NotNull => "not null",
            Self::Exclusion => "exclusion",
            Self::DataType => "data type",
            Self::Trigger => "trigger",
            Self::Other => "other",
        })
    }
}

/// A broken constraint, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub(super) kind: ConstraintKind,
    pub(super) name: Option<String>,
    pub(super) table: Option<String>,
    pub(super) columns: Vec<String>,
}

impl Violation {
    pub(super) const fn new(kind: ConstraintKind) -> Self {
        Self {
            kind,
            name: None,
            table: None,
            columns: Vec::new(),
        }
    }

    /// What was demanded.
    #[must_use]
    pub const fn kind(&self) -> ConstraintKind {
        self.kind
    }

    /// The constraint's name. SQLite has none for a foreign key, and neither engine for NOT NULL
    /// (PostgreSQL from 18 on has).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The table whose constraint it is.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// The columns that it is over, in its order; empty where they are not known, and for a check.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether it is the constraint of this name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

/// A table, columns in the order of the constraint, and the constraint's name.
pub type ConstraintRow = (&'static str, &'static [&'static str], &'static str);

/// The named constraints of a schema.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConstraintMap {
    /// Primary keys, unique constraints and unique indexes; of those over expressions without the
    /// columns.
    pub unique: &'static [ConstraintRow],
    /// Foreign keys.
    pub foreign_key: &'static [ConstraintRow],
    /// Checks, without columns.
    pub check: &'static [ConstraintRow],
}

impl ConstraintMap {
    /// Fills in what the engine left out.
    pub(super) fn complete(&self, violation: &Violation) -> Violation {
        let mut whole = violation.clone();
        let rows = match violation.kind {
            ConstraintKind::Unique => self.unique,
            ConstraintKind::ForeignKey => self.foreign_key,
            ConstraintKind::Check => self.check,
            _ => return whole,
        };
        let found = match (violation.name(), violation.table()) {
            (Some(name), table) => only(
                rows.iter()
                    .filter(|row| row.2 == name && table.is_none_or(|table| table == row.0)),
            ),
            (None, Some(table)) if !violation.columns.is_empty() => only(
                rows.iter()
                    .filter(|row| row.0 == table && violation.columns == row.1),
            ),
            _ => None,
        };
        if let Some((table, columns, name)) = found {
            whole.name = Some((*name).to_owned());
            whole.table = Some((*table).to_owned());
            whole.columns = columns.iter().map(ToString::to_string).collect();
        }
        whole
    }
}

/// The only one, if there is just one: of two that fit, neither may be named.
fn only<T>(mut rows: impl Iterator<Item = T>) -> Option<T> {
    let first = rows.next()?;
    rows.next().is_none().then_some(first)
}

/// What SQLite says after the colon of `… constraint failed: …`.
pub(super) fn from_sqlite(kind: ConstraintKind, message: &str) -> Violation {
    let mut violation = Violation::new(kind);
    let Some((_, said)) = message.split_once("constraint failed: ") else {
        // `cannot store TEXT value in INTEGER column u.age`
        if let Some((_, column)) = message.rsplit_once(" column ") {
            place(column, &mut violation);
        }
        return violation;
    };
    match kind {
        ConstraintKind::Unique => match said.strip_prefix("index '") {
            Some(index) => violation.name = index.strip_suffix('\'').map(ToOwned::to_owned),
            None => said.split(", ").for_each(|c| place(c, &mut violation)),
        },
        ConstraintKind::NotNull => place(said, &mut violation),
        // A check without a name is shown by its expression.
        ConstraintKind::Check if is_identifier(said) => violation.name = Some(said.to_owned()),
        _ => {}
    }
    violation
}

/// Takes in `table.column`.
fn place(text: &str, violation: &mut Violation) {
    if let Some((table, column)) = text.split_once('.') {
        violation.table = Some(table.to_owned());
        violation.columns.push(column.to_owned());
    }
}

fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: ConstraintMap = ConstraintMap {
        unique: &[
            ("u", &["id"], "pk_u"),
            ("u", &["x", "y"], "uq_u_x_y"),
            ("u", &["z"], "uq_u_z"),
            ("u", &["z"], "uq_u_z_live"),
            ("u", &[], "uq_u_lower_n"),
        ],
        foreign_key: &[("k", &["id"], "fk_k_id")],
        check: &[("u", &[], "ck_u_age")],
    };

    fn sqlite(
        kind: ConstraintKind,
        message: &str,
    ) -> (Option<String>, Option<String>, Vec<String>) {
        let whole = MAP.complete(&from_sqlite(kind, message));
        (whole.name, whole.table, whole.columns)
    }

    fn owned(
        name: Option<&str>,
        columns: &[&str],
    ) -> (Option<String>, Option<String>, Vec<String>) {
        (
            name.map(ToOwned::to_owned),
            Some("u".to_owned()),
            columns.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn columns_become_names_and_names_columns() {
        let unique = ConstraintKind::Unique;
        for (kind, said, whole) in [
            (
                unique,
                "UNIQUE constraint failed: u.id",
                owned(Some("pk_u"), &["id"]),
            ),
            (
                unique,
                "UNIQUE constraint failed: u.x, u.y",
                owned(Some("uq_u_x_y"), &["x", "y"]),
            ),
            (
                unique,
                "UNIQUE constraint failed: index 'uq_u_lower_n'",
                owned(Some("uq_u_lower_n"), &[]),
            ),
            // Two fit: none is named.
            (unique, "UNIQUE constraint failed: u.z", owned(None, &["z"])),
            (
                ConstraintKind::Check,
                "CHECK constraint failed: ck_u_age",
                owned(Some("ck_u_age"), &[]),
            ),
            (
                ConstraintKind::NotNull,
                "NOT NULL constraint failed: u.n",
                owned(None, &["n"]),
            ),
            (
                ConstraintKind::DataType,
                "cannot store TEXT value in INTEGER column u.age",
                owned(None, &["age"]),
            ),
        ] {
            assert_eq!(sqlite(kind, said), whole, "{said}");
        }
        let nothing = (None, None, Vec::new());
        let check = ConstraintKind::Check;
        assert_eq!(sqlite(check, "CHECK constraint failed: age > 0"), nothing);
        let key = ConstraintKind::ForeignKey;
        assert_eq!(sqlite(key, "FOREIGN KEY constraint failed"), nothing);
    }

    #[test]
    fn a_name_of_another_table_is_not_taken() {
        let mut violation = Violation::new(ConstraintKind::ForeignKey);
        violation.name = Some("fk_k_id".to_owned());
        violation.table = Some("other".to_owned());
        assert_eq!(MAP.complete(&violation), violation);
        violation.table = Some("k".to_owned());
        assert_eq!(MAP.complete(&violation).columns(), ["id"]);
    }
}

//! What has to be true of the data: handed in by whoever knows the tables, or known of every database.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use db_core::{Conn, Error};
use db_migrate::HalfCopy;
use serde::{Deserialize, Serialize};

/// What is said of the half of a copy.
pub const HALF_COPY: &str = "a copy into this database was killed, and what is there is a part of it \
     (its notes are in __db_migrate_copy): `bitcraps-db copy --undo` with the same --from and --to takes it \
     away";

/// What was seen of an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// It was checked.
    Checked {
        /// What was seen, in a sentence.
        observed: String,
        /// What is wrong, one by one.
        wrong: Vec<String>,
    },
    /// It could not be, such as where a schema has not what it looks at. That is no fault of the data, and is
    /// written down.
    Unchecked {
        /// Why.
        why: String,
    },
}

type Check = dyn Fn(&mut Conn<'_>) -> Result<Observation, Error> + Send + Sync;

/// Something about the data that was not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Unchecked {
    /// What.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// Which invariants were checked of some data, and which could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The names of those that were.
    pub checked: Vec<String>,
    /// The others.
    pub unchecked: Vec<Unchecked>,
}

impl Checked {
    /// None of these, for one reason.
    pub(crate) fn none(invariants: &[Invariant], why: &str) -> Self {
        let unchecked = |invariant: &Invariant| Unchecked {
            name: invariant.name.clone(),
            why: why.to_owned(),
        };
        Self {
            checked: Vec::new(),
            unchecked: invariants.iter().map(unchecked).collect(),
        }
    }

    /// Looks at one more, and returns what is wrong, each with its name.
    pub(crate) fn look(
        &mut self,
        invariant: &Invariant,
        conn: &mut Conn<'_>,
    ) -> Result<Vec<String>, crate::Error> {
        let name = invariant.name.clone();
        let seen = invariant.observe(conn);
        match seen.map_err(|e| crate::Error::database(name.clone(), e))? {
            Observation::Checked { wrong, .. } => {
                self.checked.push(name);
                Ok(invariant.named(wrong))
            }
            Observation::Unchecked { why } => {
                tracing::debug!(invariant = name, why, "not checked");
                self.unchecked.push(Unchecked { name, why });
                Ok(Vec::new())
            }
        }
    }
}

/// Something that has to be true of the data, such as that money is conserved. It is checked on a
/// copy before that is published, on each restored database, and as a check of health.
#[derive(Clone)]
pub struct Invariant {
    name: String,
    hint: Option<Cow<'static, str>>,
    check: Arc<Check>,
}

impl Invariant {
    /// An invariant with a name. `check` returns what is wrong.
    pub fn new(
        name: impl Into<String>,
        check: impl Fn(&mut Conn<'_>) -> Result<Vec<String>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self::observing(name, move |conn| {
            let wrong = check(conn)?;
            let observed = match wrong.as_slice() {
                [] => "nothing is wrong".to_owned(),
                [one] => one.clone(),
                more => format!("{} things are wrong", more.len()),
            };
            Ok((observed, wrong))
        })
    }

    /// The same with a check that has words of its own: it returns what it saw, in a sentence, and what
    /// is wrong. `db_repo::invariants` holds those of BitCraps.
    pub fn observing(
        name: impl Into<String>,
        check: impl Fn(&mut Conn<'_>) -> Result<(String, Vec<String>), Error> + Send + Sync + 'static,
    ) -> Self {
        Self::where_possible(name, move |conn| {
            check(conn).map(|(observed, wrong)| Observation::Checked { observed, wrong })
        })
    }

    /// The same with a check that may find nothing that it could look at.
    pub fn where_possible(
        name: impl Into<String>,
        check: impl Fn(&mut Conn<'_>) -> Result<Observation, Error> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            hint: None,
            check: Arc::new(check),
        }
    }

    /// What has to be true of any database: that it is not the half of a copy that was killed.
    #[must_use]
    pub fn no_half_copy() -> Self {
        Self::observing("half_copy", |conn| {
            let found = half_copy(conn)?.map(|_| HALF_COPY.to_owned());
            let observed = found.as_deref();
            let observed = observed.unwrap_or("no copy into it has stopped half way");
            Ok((observed.to_owned(), found.into_iter().collect()))
        })
    }

    /// The same with what a check of health says is to be done where it does not hold.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is to be done where it does not hold.
    pub(crate) fn hint(&self) -> Option<Cow<'static, str>> {
        self.hint.clone()
    }

    /// What is seen of it.
    pub(crate) fn observe(&self, conn: &mut Conn<'_>) -> Result<Observation, Error> {
        (self.check)(conn)
    }

    /// What is wrong, each with the invariant's name.
    pub(crate) fn named(&self, wrong: Vec<String>) -> Vec<String> {
        let named = |finding| format!("{}: {finding}", self.name);
        wrong.into_iter().map(named).collect()
    }
}

impl fmt::Debug for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What a copy into this database has noted that stopped half way. Only on PostgreSQL can it.
///
/// # Errors
/// What the database says.
pub fn half_copy(conn: &mut Conn<'_>) -> Result<Option<HalfCopy>, Error> {
    let engine = conn.engine();
    HalfCopy::read(conn.reborrow()).map_err(|e| Error::classify(engine, &e))
}

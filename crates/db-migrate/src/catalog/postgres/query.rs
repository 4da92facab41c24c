//! Queries that PostgreSQL plans once per connection.
//!
//! Diesel prepares `sql_query` anew each time, and planning costs more than running for
//! queries over this many catalogs.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Integer, Oid, Text};
use diesel::{PgConnection, RunQueryDsl};

/// One row of a query over parts: what it is, whose it is, and its definition.
#[derive(Debug, Clone, diesel::Queryable)]
pub struct Part {
    /// Which section of the query it is from.
    pub tag: String,
    /// The relation, or the schema for what belongs to no relation.
    pub owner: u32,
    /// The object itself.
    pub oid: u32,
    /// The position of a column, in the catalog's numbers.
    pub number: i32,
    /// Its bare name.
    pub name: String,
    /// Its definition.
    pub text: String,
}

/// The row type of [`Part`].
pub type PartSql = (Text, Oid, Oid, Integer, Text, Text);

/// A text with parameters that is the same text whenever `Tag` is the same type.
pub struct Prepared<Tag> {
    tag: std::marker::PhantomData<Tag>,
    oids: Option<Vec<u32>>,
    flags: Option<Vec<bool>>,
    number: Option<i64>,
}

/// The text of one prepared query, and the type of its rows.
pub trait PreparedText: 'static {
    /// The SQL text. Parameters come in the order object identifiers, flags, number; those that
    /// a query does not have are left out.
    const TEXT: &'static str;
    /// The SQL types of a row.
    type Row: 'static;
}

impl<T> Prepared<T> {
    /// The query without parameters.
    pub const fn new() -> Self {
        Self { tag: std::marker::PhantomData, oids: None, flags: None, number: None }
    }

    /// With a list of object identifiers.
    pub fn oids(mut self, oids: &[u32]) -> Self {
        self.oids = Some(oids.to_vec());
        self
    }

    /// With a list of truth values.
    pub fn flags(mut self, flags: Vec<bool>) -> Self {
        self.flags = Some(flags);
        self
    }

    /// With a number.
    pub const fn number(mut self, number: i64) -> Self {
        self.number = Some(number);
        self
    }
}

impl<T: PreparedText> QueryFragment<Pg> for Prepared<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The text is written with its own `$1`, so the binds add only their values.
        let mut pieces = T::TEXT.split("$?");
        out.push_sql(pieces.next().unwrap_or_default());
        if let (Some(oids), Some(piece)) = (&self.oids, pieces.next()) {
            out.push_bind_param::<Array<Oid>, _>(oids)?;
            out.push_sql(piece);
        }
        if let (Some(flags), Some(piece)) = (&self.flags, pieces.next()) {
            out.push_bind_param::<Array<Bool>, _>(flags)?;
            out.push_sql(piece);
        }
        if let (Some(number), Some(piece)) = (&self.number, pieces.next()) {
            out.push_bind_param::<BigInt, _>(number)?;
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl<T: PreparedText> QueryId for Prepared<T> {
    type QueryId = Prepared<T>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T: PreparedText> Query for Prepared<T> {
    type SqlType = T::Row;
}

impl<T: PreparedText> RunQueryDsl<PgConnection> for Prepared<T> {}

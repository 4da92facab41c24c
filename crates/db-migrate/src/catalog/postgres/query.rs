//! Queries that PostgreSQL plans once per connection.
//!
//! Diesel prepares `sql_query` anew each time, and planning costs more than running for
//! queries over this many catalogs.

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, Integer, Oid, Text};
use diesel::{PgConnection, RunQueryDsl};

/// One row of a query over parts: what it is, whose it is, and its definition.
#[derive(Debug, Clone, diesel::Queryable)]
pub(in crate::catalog) struct Part {
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
pub(in crate::catalog) type PartSql = (Text, Oid, Oid, Integer, Text, Text);

/// A query whose text is the same whenever `Tag` is the same type.
pub(in crate::catalog) struct Prepared<Tag> {
    tag: std::marker::PhantomData<Tag>,
    oids: Option<Vec<u32>>,
    texts: Option<Vec<String>>,
}

/// The text of one prepared query, and the type of its rows.
pub(in crate::catalog) trait PreparedText: 'static {
    /// The SQL text, with `$?` where its one parameter goes.
    const TEXT: &'static str;
    /// The SQL types of a row.
    type Row: 'static;
}

impl<T> Prepared<T> {
    /// The query without parameters.
    pub(in crate::catalog) const fn new() -> Self {
        Self {
            tag: std::marker::PhantomData,
            oids: None,
            texts: None,
        }
    }

    /// With a list of object identifiers.
    pub(in crate::catalog) fn oids(mut self, oids: &[u32]) -> Self {
        self.oids = Some(oids.to_vec());
        self
    }

    /// With a list of texts.
    pub(in crate::catalog) fn texts(mut self, texts: Vec<String>) -> Self {
        self.texts = Some(texts);
        self
    }
}

impl<T: PreparedText> QueryFragment<Pg> for Prepared<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut pieces = T::TEXT.split("$?");
        out.push_sql(pieces.next().unwrap_or_default());
        // Diesel writes the `$1` where a value is bound.
        if let Some(oids) = &self.oids {
            out.push_bind_param::<Array<Oid>, _>(oids)?;
            out.push_sql(pieces.next().unwrap_or_default());
        }
        if let Some(texts) = &self.texts {
            out.push_bind_param::<Array<Text>, _>(texts)?;
            out.push_sql(pieces.next().unwrap_or_default());
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

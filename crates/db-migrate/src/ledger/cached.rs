//! Statements that are prepared once per connection.
//!
//! Diesel prepares `sql_query` anew each time, which on PostgreSQL is a second round trip for each
//! of the ledger's writes. This fragment has no static identity, so Diesel keeps it by its text:
//! one text can never run under another's name.

use diesel::backend::Backend;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl};

/// Where the next value goes.
pub(super) const PLACE: &str = "$?";

/// A statement's text, with a value between each two of its pieces.
#[derive(Debug)]
pub(super) struct Cached<'q> {
    pieces: Vec<String>,
    values: Vec<Value<'q>>,
}

#[derive(Debug)]
enum Value<'q> {
    Text(Option<&'q str>),
    Number(Option<i64>),
}

impl<'q> Cached<'q> {
    /// A text with [`PLACE`] for each of its values. It is split once: Diesel walks over a statement
    /// several times each time it runs.
    pub(super) fn new(text: &str) -> Self {
        Self {
            pieces: text.split(PLACE).map(ToOwned::to_owned).collect(),
            values: Vec::new(),
        }
    }

    /// Several statements as one, which PostgreSQL alone understands: one round trip for all.
    pub(super) fn together(statements: Vec<Self>) -> Self {
        let last = statements.len().saturating_sub(1);
        let mut whole = Self::new("");
        for (at, statement) in statements.into_iter().enumerate() {
            if at < last {
                let lead = if at == 0 { "WITH " } else { ", " };
                whole.push(&format!("{lead}part_{at} AS ("));
            }
            let mut pieces = statement.pieces.into_iter();
            whole.push(&pieces.next().unwrap_or_default());
            whole.pieces.extend(pieces);
            whole.values.extend(statement.values);
            if at < last {
                whole.push(if at + 1 == last { ") " } else { ")" });
            }
        }
        whole
    }

    /// Goes on with the last piece.
    fn push(&mut self, text: &str) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.push_str(text);
        }
    }

    /// The next value, a text.
    pub(super) fn text(self, value: &'q str) -> Self {
        self.text_or_null(Some(value))
    }

    /// The next value, a text or NULL.
    pub(super) fn text_or_null(mut self, value: Option<&'q str>) -> Self {
        self.values.push(Value::Text(value));
        self
    }

    /// The next value, a number.
    pub(super) fn number(self, value: i64) -> Self {
        self.number_or_null(Some(value))
    }

    /// The next value, a number or NULL.
    pub(super) fn number_or_null(mut self, value: Option<i64>) -> Self {
        self.values.push(Value::Number(value));
        self
    }
}

impl<DB> QueryFragment<DB> for Cached<'_>
where
    DB: Backend + HasSqlType<Nullable<Text>> + HasSqlType<Nullable<BigInt>>,
    for<'v> Option<&'v str>: ToSql<Nullable<Text>, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut pieces = self.pieces.iter();
        out.push_sql(pieces.next().map_or("", String::as_str));
        for (value, piece) in self.values.iter().zip(pieces) {
            match value {
                Value::Text(text) => out.push_bind_param::<Nullable<Text>, _>(text)?,
                Value::Number(number) => out.push_bind_param::<Nullable<BigInt>, _>(number)?,
            }
            out.push_sql(piece);
        }
        Ok(())
    }
}

impl QueryId for Cached<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C> RunQueryDsl<C> for Cached<'_> {}

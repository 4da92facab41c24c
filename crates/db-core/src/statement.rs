//! Hot statements: prepared once per connection, then only bound and run.
//!
//! Diesel prepares anew what its query builder makes of UPDATE, upsert, `sql_query`, lists and
//! batches, because its text may differ from one run to the next. For a statement that runs
//! thousands of times a second that is most of its cost. [`statement!`](crate::statement!) makes a
//! struct of it instead: its fields are the parameters, its text is written in literals, and its
//! type is the key under which Diesel keeps it prepared, on either engine.
//!
//! A constant limit belongs into the text, too: SQLite plans with the value of a bound `LIMIT`, and
//! so prepares the statement anew each time one is set, though Diesel keeps it.
//!
//! Since the text is literals, it cannot vary under one key, which would run the wrong SQL. The
//! alternative, a wrapper around Diesel's typed query that declares its text constant, leans on a
//! hidden method of Diesel, has to watch for texts that vary after all, and serves only what returns
//! rows (docs/adr/0018). What is given up is that the compiler checks names and types of columns:
//! a test has to run each statement on both engines.
//!
//! ```
//! use db_core::statement;
//! use diesel::prelude::*;
//! use diesel::sql_types::{BigInt, Text};
//!
//! statement! {
//!     /// Takes an amount from a balance that holds it; the balance left.
//!     struct Debit<'a> {
//!         user: &'a str as Text,
//!         amount: i64 as BigInt,
//!     }
//!     returns BigInt;
//!     "UPDATE token_balances SET balance = balance - " amount
//!     " WHERE user_id = " user " AND balance >= " amount " RETURNING balance"
//! }
//!
//! # fn main() -> Result<(), db_core::Error> {
//! # let url = db_core::DatabaseUrl::parse("sqlite::memory:")?;
//! # let mut connection = db_core::Connection::open(&url, db_core::Access::Create)?;
//! # let mut conn = connection.conn();
//! # conn.batch_execute("CREATE TABLE token_balances (user_id TEXT, balance BIGINT);
//! #     INSERT INTO token_balances VALUES ('ada', 10)")?;
//! let debit = Debit { user: "ada", amount: 3 };
//! let left: Option<i64> = db_core::with_conn!(conn, |c| debit.get_result(c).optional())?;
//! assert_eq!(left, Some(7));
//! # Ok(())
//! # }
//! ```
//!
//! A text that could vary does not compile:
//!
//! ```compile_fail
//! let table = "users";
//! db_core::statement! {
//!     struct Sweep {}
//!     "DELETE FROM " table
//! }
//! ```

use std::any::TypeId;
use std::collections::HashMap;

use diesel::backend::Backend;
use diesel::debug_query;
use diesel::query_builder::{QueryFragment, QueryId};

/// Declares a statement that is prepared once: a struct, what it returns if anything, and its text
/// as literals, with the names of fields between them where values are bound.
///
/// A field may be bound more than once; one that is not bound is reported as dead code. `execute`
/// counts rows; with `returns`, a SQL type or a tuple of them, `get_result`, `load` and `first` read
/// them. See the [module](mod@crate::statement).
#[macro_export]
macro_rules! statement {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$($lifetime:lifetime),+>)? {
            $($(#[$field_meta:meta])* $field:ident: $rust:ty as $sql:ty),* $(,)?
        }
        $(returns $row:ty;)?
        $($text:literal $($bound:ident)?)+
    ) => {
        $(#[$meta])*
        $vis struct $name<$($($lifetime,)+)?> {
            $($(#[$field_meta])* $vis $field: $rust,)*
        }

        const _: () = {
            use $crate::__private::diesel;

            // The key under which the statement is kept; lifetimes do not count. Its name must not
            // be that of a field's type.
            $vis struct StatementKey;

            impl<$($($lifetime,)+)?> diesel::query_builder::QueryId
                for $name<$($($lifetime,)+)?>
            {
                type QueryId = StatementKey;
                const HAS_STATIC_QUERY_ID: bool = true;
            }

            impl<$($($lifetime,)+)? C> diesel::RunQueryDsl<C> for $name<$($($lifetime,)+)?> {}

            $crate::statement!(@returns [$($row)?] [$($($lifetime,)+)?] $name);

            // Methods of the struct itself would come before Diesel's and the program's own: a field
            // may be called `execute`.
            trait Fields<$($($lifetime,)+)?> {
                $(fn $field<'bind, DB>(
                    &'bind self,
                    out: &mut diesel::query_builder::AstPass<'_, 'bind, DB>,
                ) -> diesel::QueryResult<()>
                where
                    DB: diesel::backend::Backend + diesel::sql_types::HasSqlType<$sql>,
                    $rust: diesel::serialize::ToSql<$sql, DB>;)*
            }

            impl<$($($lifetime,)+)?> Fields<$($($lifetime,)+)?>
                for $name<$($($lifetime,)+)?>
            {
                $(fn $field<'bind, DB>(
                    &'bind self,
                    out: &mut diesel::query_builder::AstPass<'_, 'bind, DB>,
                ) -> diesel::QueryResult<()>
                where
                    DB: diesel::backend::Backend + diesel::sql_types::HasSqlType<$sql>,
                    $rust: diesel::serialize::ToSql<$sql, DB>,
                {
                    out.push_bind_param::<$sql, $rust>(&self.$field)
                })*
            }

            impl<$($($lifetime,)+)? DB> diesel::query_builder::QueryFragment<DB>
                for $name<$($($lifetime,)+)?>
            where
                // Said so that a statement without fields uses it, too.
                Self: Fields<$($($lifetime,)+)?>,
                DB: diesel::backend::Backend $(+ diesel::sql_types::HasSqlType<$sql>)*,
                $($rust: diesel::serialize::ToSql<$sql, DB>,)*
            {
                fn walk_ast<'bind>(
                    &'bind self,
                    mut out: diesel::query_builder::AstPass<'_, 'bind, DB>,
                ) -> diesel::QueryResult<()> {
                    $(
                        out.push_sql($text);
                        $(Fields::$bound(self, &mut out)?;)?
                    )+
                    Ok(())
                }
            }
        };
    };
    (@returns [] [$($lifetime:lifetime,)*] $name:ident) => {};
    (@returns [$row:ty] [$($lifetime:lifetime,)*] $name:ident) => {
        impl<$($lifetime,)*> diesel::query_builder::Query for $name<$($lifetime,)*> {
            type SqlType = $row;
        }
    };
}

/// The text of each key that was seen: for tests that a query's text does not vary under its key.
///
/// [`statement!`](crate::statement!) makes no other; a query id that was written by hand may.
#[derive(Debug, Default)]
pub struct Texts {
    seen: HashMap<(TypeId, TypeId), String>,
}

/// Two texts under one key, of which the first would run for both.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("one key for two statements:\n{kept}\n{other}")]
pub struct TextVaries {
    /// What is prepared.
    pub kept: String,
    /// What would have been meant.
    pub other: String,
}

impl Texts {
    /// Takes in a query as `DB` would prepare it. One without a key may vary.
    ///
    /// # Errors
    /// [`TextVaries`].
    pub fn check<DB, Q>(&mut self, query: &Q) -> Result<(), TextVaries>
    where
        DB: Backend + Default + 'static,
        DB::QueryBuilder: Default,
        Q: QueryFragment<DB> + QueryId,
    {
        let Some(key) = Q::query_id() else {
            return Ok(());
        };
        let text = text::<DB, Q>(query);
        let kept = self
            .seen
            .entry((key, TypeId::of::<DB>()))
            .or_insert_with(|| text.clone());
        if *kept == text {
            return Ok(());
        }
        Err(TextVaries {
            kept: kept.clone(),
            other: text,
        })
    }
}

/// The SQL of a query as `DB` would prepare it, without values: to compare and to EXPLAIN. It ends
/// where Diesel starts to show values, at the first ` -- binds: `.
pub fn text<DB, Q>(query: &Q) -> String
where
    DB: Backend + Default,
    DB::QueryBuilder: Default,
    Q: QueryFragment<DB>,
{
    let shown = debug_query::<DB, Q>(query).to_string();
    match shown.split_once(" -- binds: ") {
        Some((sql, _)) => sql.to_owned(),
        None => shown,
    }
}

//! The one table that only SQLite has, declared by hand.
//!
//! The declarations of [`schema`](crate::schema) are generated from PostgreSQL's catalog, which
//! hands over who changes a row in settings of the transaction. SQLite has no such settings, so
//! a row stands in for them; migration V5 says how it is used.

diesel::table! {
    use diesel::sql_types::{Integer, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// Who is changing rows in the running transaction; always one row, empty by hand. SQLite only.
    audit_context (id) {
        /// Always 1.
        id -> Integer,
        /// Who, for `audit_logs.user_id`.
        user_id -> Nullable<Text>,
        /// Where from, for `audit_logs.ip_address`.
        ip_address -> Nullable<Text>,
        /// With what, for `audit_logs.user_agent`.
        user_agent -> Nullable<Text>,
        /// When, by the program's clock, for `audit_logs.created_at`.
        at -> Nullable<UtcTimestamp>,
    }
}

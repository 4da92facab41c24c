//! The types of columns on both engines, and the migrations under Diesel's own harness.
#![cfg(test)]

mod harness;
mod json;
mod time;

/// Runs one body on the connection of either engine.
macro_rules! on {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn {
            db_testkit::TestConn::Sqlite($c) => $body,
            db_testkit::TestConn::Postgres($c) => $body,
        }
    };
}
pub(crate) use on;

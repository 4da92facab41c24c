//! Engine, URL, connection, errors and clock: what every layer above shares.

mod conn;
mod engine;

pub use conn::Conn;
pub use engine::Engine;

//! SQL types of our own, where the engines store one thing in two ways (docs/adr/0002).
//!
//! [`UtcTimestamp`] and [`JsonDoc`] stand in `table!` declarations; [`UtcTime`] and [`Json`] are
//! their values. Rows can also be read into `DateTime<Utc>` and [`serde_json::Value`].

mod json;
mod time;

pub use json::{Json, JsonDoc};
pub use time::{UtcTime, UtcTimestamp};

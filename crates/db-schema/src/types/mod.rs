//! SQL types of our own, where the engines store one thing in two ways (docs/adr/0002).
//!
//! [`UtcTimestamp`] and [`JsonDoc`] stand in `table!` declarations; [`UtcTime`] and [`Json`] are
//! their values. Rows can also be read into `DateTime<Utc>` and [`serde_json::Value`].

mod bet_id;
mod json;
mod time;
mod vocabulary;

pub use bet_id::BetId;
pub use json::{Json, JsonDoc};
pub use time::{UtcTime, UtcTimestamp};
pub use vocabulary::UnknownWord;
pub(crate) use vocabulary::vocabulary;

//! The forms that data has in files.

mod buffer;
mod csv;
mod form;
mod input;
mod json;
mod limits;
mod malformed;
mod record;
mod sql;

pub use csv::CsvReader;
pub use form::Form;
pub use input::{Input, Opened};
pub use json::{JsonReader, Section};
pub(crate) use json::{quote, unhex};
pub use limits::Limits;
pub use malformed::ReadError;
pub use record::{Place, Record, Value};
pub use sql::{SqlReader, Statement};

//! Data in and out: export, import, and the move from one engine to the other.
//!
//! It knows no table of `BitCraps`: what it reads and writes it learns from the catalog of the database.

mod convert;
pub mod copy;
mod error;
pub mod export;
pub mod format;
pub mod import;
mod nearest;
mod progress;
pub mod shape;
pub mod source;
mod waiting;

pub use convert::{OnInvalidUtf8, OnNan, OnNul, Policies};
pub use error::Error;
pub use progress::{Phase, Progress};
pub use waiting::{OnWait, Pending};

//! x
pub mod catalog;

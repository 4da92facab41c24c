//! Errors provoked for real, code by code, and what they are classified as.

mod constraints;
mod postgres;
mod sqlite;

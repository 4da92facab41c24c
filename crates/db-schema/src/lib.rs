//! The schema of BitCraps: its migrations, compiled in, and the tables as Diesel sees them.

pub mod migrations;

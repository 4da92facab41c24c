//! The schema as typed values.

//! Retention: the rules by example, and what holds for every history.

mod histories;
mod rules;

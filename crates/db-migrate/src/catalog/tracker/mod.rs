//! Follows a run of migrations.
pub struct Tracker; pub struct Delta;

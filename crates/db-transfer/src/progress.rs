//! How far a transfer has come.

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Looking at what there is and what would not fit.
    Inspect,
    /// Rows go out.
    Export,
    /// Rows come in.
    Import,
    /// Rows go from one database to another.
    Copy,
    /// Both sides are read and compared.
    Prove,
}

/// A moment of a transfer, told to a callback every so often, and at the end of each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub phase: Phase,
    /// The table, where there is one.
    pub table: Option<&'a str>,
    /// Rows of this phase so far, over all tables.
    pub rows: u64,
    /// Rows expected, where it is known or can be estimated.
    pub rows_expected: Option<u64>,
    /// Bytes read or written so far.
    pub bytes: u64,
}

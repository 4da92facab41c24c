//! How much a file may ask for.

/// What one file may ask of memory. What goes beyond is refused, with the place where it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one value, 64 MiB by default.
    pub value: usize,
    /// Bytes of one row or statement, 256 MiB by default.
    pub row: usize,
    /// Columns of a table, 4096 by default: more than either engine has.
    pub columns: usize,
    /// How deep JSON may be nested, 128 by default.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value: 64 << 20,
            row: 256 << 20,
            columns: 4096,
            depth: 128,
        }
    }
}

//! What is told of objects that do not fit.

/// What is wrong with a file of no lines: whoever has no rows can say so, and one that was cut off cannot.
pub(super) const NO_LINES: &str = "the file is empty; a table without rows is a line {\"$table\":\"TABLE\",\"columns\":[\"COLUMN\",..]}";
/// What is wrong with rows that are followed by no table.
pub(super) const NO_TABLE: &str = "only a first line can say that there is no table";

/// What names the columns of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedBy {
    Header,
    /// The first object, where nobody could look ahead.
    First,
    /// All of them.
    All,
}

impl NamedBy {
    /// What is wrong with a member that is no column, of an object among lines or in an array.
    pub(super) fn unknown(self, name: &str, is_line: bool) -> String {
        match self {
            Self::Header => {
                format!("the member {name:?} is none of the columns that the header names")
            }
            Self::First if is_line => format!(
                "{}, or begin with a line {{\"$table\":\"TABLE\",\"columns\":[\"COLUMN\",..]}}",
                not_in_first(name)
            ),
            Self::First => not_in_first(name),
            // The look ahead ends where the text is wrong, which is told too.
            Self::All => format!("the member {name:?} is none of the columns"),
        }
    }
}

/// What is wrong with an object that has to have every member.
pub(super) fn lacks(name: &str) -> String {
    format!(
        "the member {name:?} is missing, which an update would set to NULL; give all objects the same \
         members, or import those that have fewer apart"
    )
}

/// What is wrong with a member of a stream.
fn not_in_first(name: &str) -> String {
    format!(
        "the first object has no member {name:?}, and it names the columns, because standard input and pipes \
         are read only once; import a file, give the first object all members"
    )
}

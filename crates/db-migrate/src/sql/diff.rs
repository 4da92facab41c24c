//! The lines in which an edited script differs from the one that was applied.

use serde::Serialize;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::script::unix_lines;

/// When the search for the shortest difference gives up and takes a longer one. People wait
/// for the answer; a generated file of 100,000 lines must not keep them.
const PATIENCE: Duration = Duration::from_millis(500);

/// One line of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
pub struct DiffLine {
    /// Whether the line is old, new or both.
    pub kind: DiffKind,
    /// Its number in the old text, counted from 1.
    pub old_line: Option<usize>,
    /// Its number in the new text, counted from 1.
    pub new_line: Option<usize>,
    /// The line without its end.
    pub text: String,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DiffKind {
    /// Unchanged, shown to find the place.
    Context,
    /// In the old text only.
    Removed,
    /// In the new text only.
    Added,
}

/// The lines that differ, each with up to `context` unchanged ones around it.
///
/// Line ends are not compared: they are always cosmetic. A gap in the line numbers is a run of
/// unchanged lines left out.
#[must_use]
pub fn diff(old: &str, new: &str, context: usize) -> Vec<DiffLine> {
    let (old, new) = (unix_lines(old), unix_lines(new));
    let diff = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(old.as_ref(), new.as_ref());
    let groups = diff.grouped_ops(context);
    let changes = groups.iter().flatten().flat_map(|op| diff.iter_changes(op));
    let lines = changes.map(|change| DiffLine {
        kind: match change.tag() {
            ChangeTag::Equal => DiffKind::Context,
            ChangeTag::Delete => DiffKind::Removed,
            ChangeTag::Insert => DiffKind::Added,
        },
        old_line: change.old_index().map(|index| index + 1),
        new_line: change.new_index().map(|index| index + 1),
        text: change.value().trim_end_matches('\n').to_owned(),
    });
    lines.collect()
}

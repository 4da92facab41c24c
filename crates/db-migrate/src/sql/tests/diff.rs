//! The lines shown for an edit.

use crate::sql::{DiffKind, diff};

fn shown(old: &str, new: &str, context: usize) -> Vec<String> {
    let number = |line: Option<usize>| line.map_or("-".to_owned(), |line| line.to_string());
    let lines = diff(old, new, context);
    lines
        .iter()
        .map(|line| {
            let mark = match line.kind {
                DiffKind::Context => ' ',
                DiffKind::Removed => '-',
                DiffKind::Added => '+',
            };
            format!(
                "{mark} {} {} {}",
                number(line.old_line),
                number(line.new_line),
                line.text
            )
        })
        .collect()
}

#[test]
fn changed_lines_come_with_their_numbers_and_neighbours() {
    let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
    let new = "a\nb\nX\nd\ne\nf\ng\nh\ni\n";
    let expected = [
        "  2 2 b", "- 3 - c", "+ - 3 X", "  4 4 d", "  8 8 h", "+ - 9 i",
    ];
    assert_eq!(shown(old, new, 1), expected);
    assert_eq!(shown(old, new, 0), ["- 3 - c", "+ - 3 X", "+ - 9 i"]);
}

#[test]
fn line_ends_are_no_difference() {
    assert_eq!(shown("a\r\nb\r\n", "a\nb\n", 3), [""; 0]);
    assert_eq!(shown("a\r\nb\r\n", "a\nc\n", 0), ["- 2 - b", "+ - 2 c"]);
    assert_eq!(shown("", "", 3), [""; 0]);
}

//! Tables for the terminal and for `docs/benchmarks.md`, which are the same text.
//!
//! The page has one section per area between two marks; writing an area replaces its own
//! section and leaves the others as they are.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};

use super::bars::Verdict;
use super::machine;
use super::metrics::Samples;
use super::paths::write;

const INTRODUCTION: &str = "# Benchmarks

Written by `cargo xtask bench AREA`; edit the bench, not this page. Whole processes, started \
side by side in turn (A B C A B C …) on one machine, medians with the smallest and largest in \
brackets. The bars stand in `bench/bars.toml`; `cargo xtask bench AREA --check` measures again \
and fails if one is missed.
";

/// A heading, a sentence and a table.
pub(crate) struct Section {
    /// What was measured.
    pub(crate) title: String,
    /// How, in a sentence or two.
    pub(crate) text: String,
    /// The table's head.
    pub(crate) head: Vec<&'static str>,
    /// Its rows.
    pub(crate) rows: Vec<Vec<String>>,
}

/// One area's part of the page.
pub(crate) struct Page<'a> {
    /// The area's name on the command line.
    pub(crate) area: &'static str,
    /// The tables.
    pub(crate) sections: &'a [Section],
    /// The bars and what became of them.
    pub(crate) verdicts: &'a [Verdict],
    /// Programs and their versions.
    pub(crate) tools: &'a [(String, String)],
}

impl Page<'_> {
    /// Everything but the machine and the date, which only the page needs.
    pub(crate) fn body(&self) -> String {
        let mut text = String::new();
        for section in self.sections {
            let Section {
                title,
                text: about,
                head,
                rows,
            } = section;
            push(
                &mut text,
                format_args!("### {title}\n\n{about}\n\n{}\n", table(head, rows)),
            );
        }
        let rows: Vec<Vec<String>> = self.verdicts.iter().map(bar_row).collect();
        let head = ["bar", "measured", "limit", "", "why"];
        push(
            &mut text,
            format_args!("### Bars\n\n{}", table(&head, &rows)),
        );
        text
    }

    /// Replaces this area's section of the page.
    ///
    /// # Errors
    /// If the page cannot be read or written.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let old = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        let folder = file.parent().unwrap_or(file);
        write(
            file,
            &spliced(&old, self.area, &self.section(now(), folder)),
        )
    }

    fn section(&self, now: DateTime<Utc>, folder: &Path) -> String {
        let mut rows: Vec<Vec<String>> = machine::facts(folder)
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value])
            .collect();
        rows.extend(
            self.tools
                .iter()
                .map(|(name, version)| vec![name.clone(), version.clone()]),
        );
        rows.push(vec![
            "Date".to_owned(),
            now.format("%Y-%m-%d %H:%M UTC").to_string(),
        ]);
        format!(
            "## {area}\n\n```console\n$ cargo xtask bench {area}\n```\n\n{}\n{}",
            table(&["", ""], &rows),
            self.body(),
            area = self.area,
        )
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the page says when it was written"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn bar_row(verdict: &Verdict) -> Vec<String> {
    let bar = &verdict.bar;
    vec![
        bar.name().to_owned(),
        verdict.shown(),
        bar.limit(),
        if verdict.passed() {
            "held"
        } else {
            "**missed**"
        }
        .to_owned(),
        bar.reason().to_owned(),
    ]
}

/// A median with its range: `12.3 (11.8–14.0)`.
pub(crate) fn ranged(samples: &Samples) -> String {
    match (samples.median(), samples.min(), samples.max()) {
        (Some(median), Some(min), Some(max)) => format!("{median:.1} ({min:.1}–{max:.1})"),
        _ => "–".to_owned(),
    }
}

/// A Markdown table, its columns padded so that it reads well as text too.
pub(crate) fn table<S: AsRef<str>>(head: &[S], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head
        .iter()
        .map(|cell| width(cell.as_ref()).max(1))
        .collect();
    for row in rows {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = (*column).max(width(cell));
        }
    }
    let mut text = String::new();
    let mut line = |cells: Vec<&str>| {
        for (cell, column) in cells.iter().zip(&widths) {
            let padding = " ".repeat(column - width(cell));
            push(
                &mut text,
                format_args!("| {}{padding} ", cell.replace('|', "\\|")),
            );
        }
        text.push_str("|\n");
    };
    line(head.iter().map(AsRef::as_ref).collect());
    let rules: Vec<String> = widths.iter().map(|column| "-".repeat(*column)).collect();
    line(rules.iter().map(String::as_str).collect());
    for row in rows {
        line(row.iter().map(String::as_str).collect());
    }
    text
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

/// Puts `section` between the area's marks, or at the end of the page if it has none yet.
fn spliced(page: &str, area: &str, section: &str) -> String {
    let begin = format!("<!-- bench:{area}:begin -->\n");
    let end = format!("<!-- bench:{area}:end -->\n");
    let block = format!("{begin}\n{section}\n{end}");
    let page = if page.trim().is_empty() {
        INTRODUCTION
    } else {
        page
    };
    if let Some((before, rest)) = page.split_once(&begin)
        && let Some((_, after)) = rest.split_once(&end)
    {
        return format!("{before}{block}{after}");
    }
    format!("{}\n\n{block}", page.trim_end())
}

/// Writing to a text cannot fail.
fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_padded_and_escaped() {
        let rows = vec![
            vec!["a|b".to_owned(), "1".to_owned()],
            vec!["c".into(), "22".into()],
        ];
        assert_eq!(
            table(&["name", "n"], &rows),
            "| name | n  |\n| ---- | -- |\n| a\\|b  | 1  |\n| c    | 22 |\n"
        );
    }

    #[test]
    fn a_table_without_rows_is_one() {
        assert_eq!(table(&["", "n"], &[]), "|   | n |\n| - | - |\n");
    }

    #[test]
    fn a_new_page_has_the_introduction_and_the_section() {
        let page = spliced("", "migrate", "ours\n");
        assert!(page.starts_with("# Benchmarks\n"), "{page}");
        assert!(
            page.ends_with("<!-- bench:migrate:begin -->\n\nours\n\n<!-- bench:migrate:end -->\n")
        );
    }

    #[test]
    fn only_the_areas_own_section_is_replaced() {
        let page = spliced(&spliced("", "migrate", "first\n"), "pool", "other\n");
        let again = spliced(&page, "migrate", "second\n");
        assert!(!again.contains("first") && again.contains("second") && again.contains("other"));
        assert_eq!(spliced(&again, "migrate", "second\n"), again);
        assert_eq!(again.matches("bench:migrate:begin").count(), 1);
    }

    #[test]
    fn figures_show_their_range() {
        let mut samples = Samples::default();
        assert_eq!(ranged(&samples), "–");
        for value in [3.0, 1.0, 2.04] {
            samples.push(value);
        }
        assert_eq!(ranged(&samples), "2.0 (1.0–3.0)");
    }
}

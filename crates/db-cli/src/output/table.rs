//! A plain table: columns as wide as their widest cell, two spaces between, nothing cut off.

use std::borrow::Cow;
use std::iter;

use super::clean::on_one_line;
use super::style::{Paint, Style};

const GAP: &str = "  ";

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under headings.
#[derive(Debug)]
pub(crate) struct Table<'t> {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<(Vec<Cow<'t, str>>, Option<Style>)>,
}

impl<'t> Table<'t> {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; a style paints the whole of it.
    pub(crate) fn row(&mut self, cells: Vec<Cow<'t, str>>, style: Option<Style>) {
        let cells = cells.into_iter().map(on_one_line).collect();
        self.rows.push((cells, style));
    }

    /// The table as text. A column without any content is left out.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let headings: Vec<Cow<'_, str>> = self
            .columns
            .iter()
            .map(|(name, _)| Cow::Borrowed(*name))
            .collect();
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let mut line = String::new();
        self.line(&headings, &widths, &mut line);
        let mut text = paint.text(&line, Style::Bold);
        text.push('\n');
        for (cells, style) in &self.rows {
            self.line(cells, &widths, &mut line);
            match style {
                Some(style) => text.push_str(&paint.text(&line, *style)),
                None => text.push_str(&line),
            }
            text.push('\n');
        }
        text
    }

    /// Puts the line of these cells in the place of `line`.
    fn line(&self, cells: &[Cow<'_, str>], widths: &[usize], line: &mut String) {
        line.clear();
        for (at, ((_, align), &width)) in self.columns.iter().zip(widths).enumerate() {
            if width == 0 {
                continue;
            }
            if !line.is_empty() {
                line.push_str(GAP);
            }
            let cell = cells.get(at).map_or("", AsRef::as_ref);
            let padding = iter::repeat_n(' ', width - cell.chars().count());
            match align {
                Align::Left => {
                    line.push_str(cell);
                    line.extend(padding);
                }
                Align::Right => {
                    line.extend(padding);
                    line.push_str(cell);
                }
            }
        }
        line.truncate(line.trim_end().len());
    }

    fn width(&self, column: usize) -> usize {
        let widest = self
            .rows
            .iter()
            .filter_map(|(cells, _)| cells.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0);
        if widest == 0 {
            return 0;
        }
        widest.max(self.columns[column].0.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(&[
            ("#", Align::Right),
            ("name", Align::Left),
            ("x", Align::Left),
            ("took", Align::Right),
        ]);
        table.row(
            vec!["1".into(), "añejo".into(), "".into(), "3 ms".into()],
            None,
        );
        table.row(vec!["10".into(), "b".into(), "".into(), "".into()], None);
        assert_eq!(
            table.render(Paint::new(false)),
            " #  name   took\n 1  añejo  3 ms\n10  b\n"
        );
    }
}

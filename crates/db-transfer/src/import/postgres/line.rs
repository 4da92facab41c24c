//! Rows as COPY reads them.

use super::text::{self, Asks};
use crate::format::{Record, Value};
use crate::import::fault::Faults;
use crate::import::plan::Plan;

/// A row as COPY reads it, but for values of which it does not speak.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) text: Vec<u8>,
    /// Where defaults are still to be put, in order.
    pub(super) gaps: Vec<Gap>,
}

/// A value that the database has to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    /// Which of the plan's columns.
    pub(super) put: usize,
    /// So many bytes of the text stand before it.
    pub(super) at: usize,
}

impl Line {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.gaps.clear();
    }

    /// Puts a value into each gap; none is NULL.
    pub(super) fn fill(&mut self, mut value: impl FnMut(usize) -> Option<String>) {
        let mut whole = Vec::with_capacity(self.text.len());
        let mut from = 0;
        for gap in self.gaps.drain(..) {
            whole.extend_from_slice(&self.text[from..gap.at]);
            from = gap.at;
            match value(gap.put) {
                Some(value) => text::escape(value.as_bytes(), &mut whole),
                None => whole.extend_from_slice(text::NULL),
            }
        }
        whole.extend_from_slice(&self.text[from..]);
        self.text = whole;
    }
}

/// Writes rows as COPY reads them.
pub(super) struct Lines<'p> {
    plan: &'p Plan,
    asks: Vec<Asks>,
    check: bool,
}

impl<'p> Lines<'p> {
    pub(super) fn new(plan: &'p Plan, check: bool) -> Self {
        Self {
            plan,
            asks: plan.puts.iter().map(|put| Asks::of(&put.column)).collect(),
            check,
        }
    }

    /// Adds a row; false if it has faults.
    pub(super) fn write(&self, record: &Record, line: &mut Line, faults: &mut Faults) -> bool {
        let mut sound = true;
        for (at, (put, asks)) in self.plan.puts.iter().zip(&self.asks).enumerate() {
            let value = record.value(put.index);
            if value == Value::Null && put.is_left_to_default(record) {
                line.gaps.push(Gap {
                    put: at,
                    at: line.text.len(),
                });
            } else if put.required && value == Value::Null {
                sound = false;
                faults.add_null(record, put.index, &put.column.name);
            } else if let Err(problem) = text::write(*asks, value, self.check, &mut line.text) {
                sound = false;
                let at = (record, put.index);
                let checked = self.check && !text::is_hopeless(&problem);
                faults.add_mistyped(at, &put.column.name, problem, checked);
            }
            line.text.push(b'\t');
        }
        line.text.pop();
        line.text.push(b'\n');
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::{Gap, Line};

    #[test]
    fn gaps_are_filled_where_they_are() {
        let mut line = Line {
            text: b"\ta\t\t\n".to_vec(),
            gaps: [(0, 0), (2, 3), (3, 4)]
                .map(|(put, at)| Gap { put, at })
                .into(),
        };
        line.fill(|put| (put != 2).then(|| format!("{put}\t")));
        assert_eq!(line.text, b"0\\t\ta\t\\N\t3\\t\n");
        assert!(line.gaps.is_empty());
    }
}

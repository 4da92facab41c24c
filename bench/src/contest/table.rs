//! Tables of rates and times.

use super::case::{Measured, Results};
use crate::metrics::Samples;
use crate::report::Section;

/// The head of a table of rates.
const HEAD: [&str; 8] = [
    "clients",
    "program",
    "per second",
    "÷ limit",
    "half within",
    "99 % within",
    "longest",
    "peak memory, MiB",
];

/// A table of rates in the making.
pub(crate) struct Table {
    section: Section,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            section: Section {
                title: title.into(),
                text: text.into(),
                head: HEAD.to_vec(),
                rows: Vec::new(),
            },
        }
    }

    /// Adds the results of one case; `limit` is what the rate of each round is divided by.
    pub(crate) fn add(&mut self, clients: &str, results: &Results, limit: Option<&Samples>) {
        for (contender, measured) in results {
            self.section
                .rows
                .push(row(clients, contender.label, measured, limit));
        }
    }

    /// Adds a sentence below the title.
    pub(crate) fn say(&mut self, sentence: &str) {
        self.section.text.push(' ');
        self.section.text.push_str(sentence);
    }

    /// The table for the page, unless nobody could be measured.
    pub(crate) fn done(self) -> Option<Section> {
        (!self.section.rows.is_empty()).then_some(self.section)
    }
}

fn row(clients: &str, label: &str, measured: &Measured, limit: Option<&Samples>) -> Vec<String> {
    let ratio = limit
        .and_then(|limit| measured.per_s.over(limit)?.median())
        .map_or_else(dash, |ratio| format!("{ratio:.2}"));
    let mut rate = ranged(&measured.per_s, rate);
    if measured.failed > 0 {
        rate = format!("{rate}, {} failed", measured.failed);
    }
    vec![
        clients.to_owned(),
        label.to_owned(),
        rate,
        ratio,
        ranged(&measured.p50_us, time),
        ranged(&measured.p99_us, time),
        ranged(&measured.max_us, time),
        measured
            .peak_mib
            .median()
            .map_or_else(dash, |mib| format!("{mib:.1}")),
    ]
}

/// The rates of one contender.
pub(crate) fn rates_of<'r>(results: &'r Results, key: &str) -> Option<&'r Samples> {
    let (_, measured) = results.iter().find(|(contender, _)| contender.key == key)?;
    Some(&measured.per_s)
}

/// A median with its range, in the given spelling.
fn ranged(samples: &Samples, show: fn(f64) -> String) -> String {
    match (samples.median(), samples.min(), samples.max()) {
        (Some(median), Some(min), Some(max)) => {
            format!("{} ({}–{})", show(median), show(min), show(max))
        }
        _ => dash(),
    }
}

fn dash() -> String {
    "–".to_owned()
}

/// `39,179`.
pub(crate) fn rate(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2.4 µs`, `5.30 ms`, `2.2 s`, from microseconds.
pub(crate) fn time(micros: f64) -> String {
    if micros < 1_000.0 {
        format!("{micros:.1} µs")
    } else if micros < 1_000_000.0 {
        format!("{:.2} ms", micros / 1_000.0)
    } else {
        format!("{:.2} s", micros / 1_000_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{rate, time};

    #[test]
    fn rates_have_commas() {
        for (value, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1_000.0, "1,000"),
            (39_179.4, "39,179"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(rate(value), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (value, text) in [
            (2.44, "2.4 µs"),
            (999.9, "999.9 µs"),
            (5_300.0, "5.30 ms"),
            (2_233_000.0, "2.23 s"),
        ] {
            assert_eq!(time(value), text);
        }
    }
}

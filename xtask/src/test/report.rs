//! Counts the two halves in what `cargo test` prints.

use std::fmt;

/// How many tests passed, failed and were left out, by half.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) sqlite: Count,
    pub(crate) postgres: Count,
    /// Those that need neither engine, or choose it themselves.
    pub(crate) neutral: Count,
}

/// Results of one half.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    passed: usize,
    failed: usize,
}

impl Count {
    pub(crate) const fn total(&self) -> usize {
        self.passed + self.failed
    }
}

impl Report {
    /// Takes in one line of output; lines that are no test's result change nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... "))
        else {
            return;
        };
        let count = self.half(name);
        if result.starts_with("ok") {
            count.passed += 1;
        } else if result.starts_with("FAILED") {
            count.failed += 1;
        }
    }

    /// Takes in what another program's output held.
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, other) in [
            (&mut self.sqlite, &other.sqlite),
            (&mut self.postgres, &other.postgres),
            (&mut self.neutral, &other.neutral),
        ] {
            count.passed += other.passed;
            count.failed += other.failed;
        }
    }

    fn half(&mut self, name: &str) -> &mut Count {
        let belongs = |engine| {
            let parts = parts(engine);
            parts.iter().any(|part| name.contains(part.as_str()))
        };
        if belongs("sqlite") {
            &mut self.sqlite
        } else if belongs("postgres") {
            &mut self.postgres
        } else {
            &mut self.neutral
        }
    }
}

/// The parts of a test's path that put it into the half of `engine`.
///
/// A test of both engines at once, such as a copy from one to the other, needs the server, says so
/// by a name that ends with `_postgres`, and is of that half.
pub(crate) fn parts(engine: &str) -> Vec<String> {
    let mut parts = vec![format!("::{engine}"), format!("{engine}::")];
    if engine == "postgres" {
        parts.push("_postgres".to_owned());
    }
    parts
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SQLite: {}; PostgreSQL: {}; either or none: {}",
            self.sqlite, self.postgres, self.neutral
        )
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn each_line_is_counted_in_its_half() {
        let output = "
running 8 tests
test bets::placed::sqlite ... ok
test bets::placed::postgres ... ok
test sqlite::wal_is_kept ... FAILED
test postgres::refuses - should panic ... ok
test catalog::postgres_reads_checks ... FAILED
test copy::rows_go_to_postgres ... ok
test split::keeps_comments ... ok
test src/lib.rs - conn (line 3) ... ok
test result: FAILED. 6 passed; 2 failed; 0 ignored
testing 1 ... ok
";
        let mut report = Report::default();
        output.lines().for_each(|line| report.read(line));
        assert_eq!(
            report.to_string(),
            "SQLite: 1 passed, 1 failed; PostgreSQL: 3 passed, 1 failed; \
             either or none: 2 passed, 0 failed"
        );
        assert_eq!(report.postgres.total(), 4);
    }
}

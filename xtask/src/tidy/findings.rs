//! What the checks found.

use std::fmt;

/// One thing that is not as it should be.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The file, or the package.
    place: String,
    problem: String,
    cure: String,
    fails: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.fails { "error" } else { "warning" };
        write!(f, "{kind}: {}: {}; {}", self.place, self.problem, self.cure)
    }
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Something that must be mended.
    pub(crate) fn fail(
        &mut self,
        place: &str,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.add(place, problem.into(), cure.into(), true);
    }

    /// Something to think about.
    pub(crate) fn warn(
        &mut self,
        place: &str,
        problem: impl Into<String>,
        cure: impl Into<String>,
    ) {
        self.add(place, problem.into(), cure.into(), false);
    }

    fn add(&mut self, place: &str, problem: String, cure: String, fails: bool) {
        self.0.push(Finding {
            place: place.to_owned(),
            problem,
            cure,
            fails,
        });
    }

    /// How many must be mended.
    pub(crate) fn failures(&self) -> usize {
        self.0.iter().filter(|finding| finding.fails).count()
    }

    /// Writes all to stderr.
    pub(crate) fn print(&self) {
        for finding in &self.0 {
            eprintln!("{finding}");
        }
    }

    /// All as lines, for tests.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

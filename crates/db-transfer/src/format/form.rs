//! Which form a file has.

use std::path::Path;

/// A form that data has in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Statements that the engine's own shell runs.
    Sql,
    /// One document with all tables, or an array of objects.
    Json,
    /// An object on each line.
    Ndjson,
    /// Comma-separated values of one table.
    Csv,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sql, Self::Json, Self::Ndjson, Self::Csv];

    /// Its name, as `--format` takes it and files end.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// The form that a file's name tells, with or without `.gz` or `.zst`, and the rest of the name.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<(Self, String)> {
        let name = path.file_name()?.to_str()?;
        let plain = [".gz", ".zst"]
            .iter()
            .find_map(|ending| strip(name, ending))
            .unwrap_or(name);
        let endings = [
            (".csv", Self::Csv),
            (".ndjson", Self::Ndjson),
            (".jsonl", Self::Ndjson),
            (".json", Self::Json),
            (".sql", Self::Sql),
        ];
        endings
            .into_iter()
            .find_map(|(ending, form)| Some((form, strip(plain, ending)?.to_owned())))
    }
}

fn strip<'n>(name: &'n str, ending: &str) -> Option<&'n str> {
    let at = name.len().checked_sub(ending.len())?;
    let (start, end) = (name.get(..at)?, name.get(at..)?);
    end.eq_ignore_ascii_case(ending).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_forms() {
        let of = |name: &str| Form::of_path(Path::new(name));
        let csv = |stem: &str| Some((Form::Csv, stem.to_owned()));
        assert_eq!(of("a/users.csv"), csv("users"));
        assert_eq!(of("a.b.CSV.gz"), csv("a.b"));
        assert_eq!(of("ü.csv.zst"), csv("ü"));
        assert_eq!(of("x.jsonl"), Some((Form::Ndjson, "x".to_owned())));
        assert_eq!((of("x.txt"), of("csv"), of("x.gz")), (None, None, None));
    }
}

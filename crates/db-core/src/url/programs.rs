//! What PostgreSQL's own programs are told of a URL: arguments are seen by everybody on the machine,
//! so that no password may be among them.

use super::{DatabaseUrl, postgres};
use crate::{Error, ErrorKind};

/// How a program that links libpq reaches a database.
#[derive(Clone)]
pub struct ProgramTarget {
    /// The URL without any password, for `--dbname`.
    pub url: String,
    /// The password, for `PGPASSWORD` in the program's environment.
    pub password: Option<String>,
}

impl std::fmt::Debug for ProgramTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProgramTarget")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl DatabaseUrl {
    /// What a program of PostgreSQL's own is given to reach this database.
    ///
    /// # Errors
    /// `Configuration` for SQLite, and for a URL with `sslpassword`, which those programs take from
    /// their arguments only.
    pub fn for_programs(&self) -> Result<ProgramTarget, Error> {
        let Self::Postgres(text) = self else {
            return Err(Error::new(
                ErrorKind::Configuration,
                "PostgreSQL's programs reach no SQLite database",
            ));
        };
        if postgres::parameter(text, "sslpassword").is_some() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "PostgreSQL's programs cannot be given sslpassword but where everybody sees it; \
                 use a key file without a password, readable by its owner only",
            ));
        }
        let (url, password) = postgres::without_password(text);
        Ok(ProgramTarget { url, password })
    }

    /// The same server with another database; of SQLite the same database.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        match self {
            Self::SqliteFile(_) | Self::SqliteMemory => self.clone(),
            Self::Postgres(text) => Self::Postgres(postgres::with_database(text, name)),
        }
    }

    /// A text of someone else's without the passwords of this URL.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        super::scrub(text, &self.secrets())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_see_no_password() {
        for (url, told, password) in [
            (
                "postgres://u:p%40x@h:5/d?a=b",
                "postgres://u@h:5/d?a=b",
                Some("p@x"),
            ),
            ("postgres://u@h/d", "postgres://u@h/d", None),
            (
                "postgres://u:first@h/d?password=last&x=y",
                "postgres://u@h/d?x=y",
                Some("last"),
            ),
            (
                "postgres:///d?host=/run&password=p",
                "postgres:///d?host=/run",
                Some("p"),
            ),
            ("postgres://u:p@%2Ftmp", "postgres://u@%2Ftmp", Some("p")),
        ] {
            let target = DatabaseUrl::parse(url).unwrap().for_programs().unwrap();
            assert_eq!(target.url, told);
            assert_eq!(target.password.as_deref(), password, "{url}");
            assert!(!format!("{target:?}").contains("last"));
        }
        let url = DatabaseUrl::parse("postgres://h/d?sslpassword=hunter2").unwrap();
        let error = url.for_programs().unwrap_err().to_string();
        assert!(
            error.contains("sslpassword") && !error.contains("hunter2"),
            "{error}"
        );
        assert!(DatabaseUrl::SqliteMemory.for_programs().is_err());
    }

    #[test]
    fn another_database_of_the_same_server() {
        for (url, expected) in [
            ("postgres://u:p@h:5/a?x=y", "postgres://u:p@h:5/b%20c?x=y"),
            ("postgres://h", "postgres://h/b%20c"),
            ("postgres://h?x=y", "postgres://h/b%20c?x=y"),
            (
                "postgres:///a?host=/run&dbname=z",
                "postgres:///b%20c?host=/run",
            ),
        ] {
            let url = DatabaseUrl::parse(url).unwrap().with_database("b c");
            assert_eq!(url, DatabaseUrl::Postgres(expected.to_owned()));
            assert_eq!(url.database_name().as_deref(), Some("b c"));
        }
    }
}

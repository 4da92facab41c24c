//! Which database a URL means, whoever connects and however.

use super::{DatabaseUrl, postgres};

impl DatabaseUrl {
    /// The server of PostgreSQL, as `postgres://host:port`: without user, password, parameters and
    /// database. Two URLs of one server that are written in different ways may give the same.
    #[must_use]
    pub fn server(&self) -> Option<String> {
        match self {
            Self::SqliteFile(_) | Self::SqliteMemory => None,
            Self::Postgres(text) => Some(format!("postgres://{}", postgres::servers(text))),
        }
    }

    /// The database of PostgreSQL, as `postgres://host:port/name`. One that is not named is called
    /// as the user is, as libpq has it.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let Self::Postgres(text) = self else {
            return None;
        };
        let name = postgres::database_name(text).or_else(|| postgres::user(text));
        Some(format!("{}/{}", self.server()?, name.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_database_has_one_address() {
        for (url, address) in [
            ("postgres://u:p%40x@H/d?a=b", "postgres://h:5432/d"),
            ("postgresql://v@h:5432/d", "postgres://h:5432/d"),
            ("postgres://h:6/d", "postgres://h:6/d"),
            ("postgres://u@h", "postgres://h:5432/u"),
            ("postgres:///d?host=h&port=7", "postgres://h:7/d"),
            ("postgres://%2Frun/d", "postgres:///run:5432/d"),
            ("postgres:///d?host=/run", "postgres:///run:5432/d"),
            ("postgres://u@[::1]/d", "postgres://[::1]:5432/d"),
            ("postgres://[::1]:8/d", "postgres://[::1]:8/d"),
            ("postgres://a:1,b/d?port=9", "postgres://a:1,b:9/d"),
            ("postgres://", "postgres://localhost:5432/"),
        ] {
            let read = DatabaseUrl::parse(url).unwrap();
            assert_eq!(read.address().as_deref(), Some(address), "{url}");
            // What is shown is the same database.
            let shown = DatabaseUrl::parse(&read.to_string()).unwrap();
            assert_eq!(shown.address(), read.address(), "{url}");
        }
        assert_eq!(DatabaseUrl::parse("a.db").unwrap().address(), None);
    }
}

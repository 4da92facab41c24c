//! Where a database is not, or not quite.

use db_core::DatabaseConfig;

use super::Log;

/// An application may have a variable of that name, so it is no error.
#[test]
fn a_variable_that_is_called_like_a_setting_is_told_of() {
    let log = Log::default();
    let variables = [("BITCRAPS_MAX_CONNECTIONS", "3"), ("BITCRAPS_LOG", "x")];
    log.of(|| DatabaseConfig::default().with_variables(variables))
        .unwrap();
    let text = log.text();
    assert!(text.contains("BITCRAPS_DB_MAX_CONNECTIONS"), "{text}");
    assert!(!text.contains("BITCRAPS_LOG"), "{text}");
}

mod sqlite {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use db_core::{Access, Connection, Database, DatabaseConfig, Error, ErrorKind};

    use super::super::execute;

    fn config(path: &Path) -> DatabaseConfig {
        DatabaseConfig::new(format!("sqlite://{}", path.display()))
    }

    #[test]
    fn a_mistyped_path_is_an_error_where_nothing_is_to_be_made() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("game.db");
        Database::open(&config(&there)).unwrap();
        let mistyped = folder.path().join("data/gmae.db");
        let strict = |path: &Path| config(path).create_if_missing(false);
        let opened = Database::open(&strict(&mistyped)).map(drop);
        let connected = Connection::open_configured(&strict(&mistyped), Access::Create).map(drop);
        for error in [opened.unwrap_err(), connected.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::DatabaseMissing, "{error}");
            assert!(error.message().contains("data/gmae.db"), "{error}");
            let hint = error.hint().unwrap_or_default();
            assert!(hint.contains("create_if_missing"), "{hint}");
        }
        assert!(!folder.path().join("data").exists());
        // What is there is opened and written, and memory is always new.
        let write =
            |database: Database| database.write(|conn| execute(conn, "CREATE TABLE t (n INTEGER)"));
        write(Database::open(&strict(&there)).unwrap()).unwrap();
        let memory = DatabaseConfig::new("sqlite::memory:").create_if_missing(false);
        write(Database::open(&memory).unwrap()).unwrap();
        Connection::open_configured(&strict(&there), Access::Create).unwrap();
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("game.db");
        symlink("moved/game.db", &link).unwrap();
        let error = Database::open(&config(&link)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CannotOpen, "{error}");
        let said = format!("{} is a link to moved/game.db", link.display());
        assert!(error.message().contains(&said), "{error}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        std::fs::create_dir(folder.path().join("moved")).unwrap();
        Database::open(&config(&folder.path().join("moved/game.db")))?;
        Database::open(&config(&link))?;
        Ok(())
    }
}

//! What settings are called, and which one a wrong name was meant for.

use super::settings::Settings;

/// How the variables begin that hold settings: `BITCRAPS_DB_MAX_CONNECTIONS`.
pub(super) const PREFIX: &str = "BITCRAPS_DB_";

/// How all our variables begin, and those of applications, too.
const HOUSE: &str = "BITCRAPS_";

/// Where the URL may stand in the environment, the first one found counts.
pub(super) const URL_VARIABLES: [&str; 2] = ["BITCRAPS_DATABASE_URL", "DATABASE_URL"];

/// Letters in which a variable may differ from one of ours and still be taken for it.
const SLIP: usize = 2;

/// The setting, or the program's `own`, that was probably meant by this name: one that differs in a
/// letter, and another one for every five, or with which it ends (`database_url`).
pub(super) fn suggest<'n>(name: &str, own: &[&'n str]) -> Option<&'n str> {
    let name = name.to_ascii_lowercase();
    let known = || Settings::KEYS.iter().chain(own).copied();
    let near = known()
        .map(|known| (strsim::damerau_levenshtein(&name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
        .min_by_key(|(distance, _)| *distance);
    let ends = |known: &&str| {
        let before = name.strip_suffix(known);
        before.is_some_and(|before| before.ends_with('_'))
    };
    near.map(|(_, known)| known).or_else(|| known().find(ends))
}

/// The variable of a setting.
pub(super) fn variable(setting: &str) -> String {
    match setting {
        "url" => URL_VARIABLES[0].to_owned(),
        other => format!("{PREFIX}{}", other.to_ascii_uppercase()),
    }
}

/// Looks at a variable that is none of ours: one that is but for a slip of the hand would be a
/// database, a limit or a key that is passed over in silence. Applications have variables of their
/// own there, so whatever is further off is theirs.
///
/// # Errors
/// The name without `BITCRAPS_`, and what was meant.
pub(super) fn check_stranger(name: &str) -> Result<(), (String, String)> {
    let Some(rest) = name.strip_prefix(HOUSE) else {
        return Ok(());
    };
    if URL_VARIABLES.contains(&name) {
        return Ok(());
    }
    let setting = rest.to_ascii_lowercase();
    let near = |known: &String| strsim::damerau_levenshtein(name, known) <= SLIP;
    if let Some(meant) = Settings::KEYS.iter().map(|key| variable(key)).find(near) {
        let reason = format!("there is no variable of this name; did you mean {meant}?");
        return Err((setting, reason));
    }
    if Settings::KEYS.contains(&setting.as_str()) {
        let meant = variable(&setting);
        tracing::warn!(
            variable = name,
            meant,
            "a variable is called like a setting, and is none"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::DatabaseConfig;

    #[test]
    fn a_mistyped_name_is_taken_for_the_nearest() {
        let file = |text: &str| {
            let read = DatabaseConfig::default().with_toml_beside("a.toml", text, &["migrations"]);
            read.map(drop).map_err(|error| error.to_string())
        };
        for (name, meant) in [
            ("max_conections", "max_connections"),
            ("MAX_CONNECTIONS", "max_connections"),
            ("migration", "migrations"),
            ("database_url", "url"),
            ("sqlite_mmap_size", "mmap_size"),
            ("conect_timeout", "connect_timeout"),
        ] {
            let error = file(&format!("{name} = 3")).unwrap_err();
            let said = format!("there is no setting of this name; did you mean {meant}?");
            assert!(error.ends_with(&said), "{name}: {error}");
        }
        let error = file("pool = 3").unwrap_err();
        assert!(
            error.ends_with("there is no setting of this name"),
            "{error}"
        );
        // What is the program's own is its business.
        file("migrations = 3").unwrap();

        let variable = |name: &str| {
            let read = DatabaseConfig::default().with_variables([(name, "1s")]);
            read.map(drop).map_err(|error| error.to_string())
        };
        for (name, meant) in [
            ("BITCRAPS_DB_MAX_CONECTIONS", "BITCRAPS_DB_MAX_CONNECTIONS"),
            ("BITCRAPS_DB_DATABASE_URL", "BITCRAPS_DATABASE_URL"),
            ("BITCRAPS_DATABSE_URL", "BITCRAPS_DATABASE_URL"),
            ("BITCRAPS_DBBUSY_TIMEOUT", "BITCRAPS_DB_BUSY_TIMEOUT"),
        ] {
            let error = variable(name).unwrap_err();
            let said = format!("(environment variable {name}): there is no ");
            assert!(error.contains(&said), "{error}");
            let said = format!("of this name; did you mean {meant}?");
            assert!(error.ends_with(&said), "{error}");
        }
        // An application has variables of its own.
        for name in [
            "BITCRAPS_REPLICAS",
            "BITCRAPS_URL",
            "BITCRAPS_LOG",
            "DATABSE_URL",
        ] {
            variable(name).unwrap();
        }
    }
}

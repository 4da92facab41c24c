//! `metadata.toml`, read strictly.
//!
//! diesel_cli reads a file without `run_in_transaction` as *false*, and ignores keys it does not
//! know, so that a typo silently changes how a migration runs. Here both are errors: a file either
//! means the same to both programs, or it is refused with the reason.

use crate::migration::Options;

const KEYS: &str = "run_in_transaction, foreign_keys, out_of_order";

/// Parses the file's text.
///
/// # Errors
/// A sentence that says what is wrong and how to mend it.
pub(super) fn parse(text: &str) -> Result<Options, String> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| e.to_string())?;
    let mut options = Options::default();
    let mut has_run_in_transaction = false;
    for (key, value) in &table {
        match (key.as_str(), value) {
            ("run_in_transaction", toml::Value::Boolean(on)) => {
                options.run_in_transaction = *on;
                has_run_in_transaction = true;
            }
            ("out_of_order", toml::Value::Boolean(on)) => options.out_of_order = *on,
            ("foreign_keys", toml::Value::String(word)) if word == "off" => {
                options.foreign_keys_off = true;
            }
            ("foreign_keys", toml::Value::String(word)) if word == "on" => {}
            ("foreign_keys", _) => return Err("foreign_keys is \"on\" or \"off\"".to_owned()),
            ("run_in_transaction" | "out_of_order", _) => {
                return Err(format!("{key} is true or false"));
            }
            _ => return Err(format!("unknown key {key:?}; known are {KEYS}")),
        }
    }
    if !has_run_in_transaction {
        return Err(
            "run_in_transaction is missing, which diesel_cli reads as false; \
             write run_in_transaction = true (or false), or delete the file"
                .to_owned(),
        );
    }
    if options.foreign_keys_off && !options.run_in_transaction {
        return Err(
            "foreign_keys = \"off\" needs run_in_transaction = true: only inside a transaction \
             can new violations be found and undone"
                .to_owned(),
        );
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_keys_are_read() {
        assert_eq!(
            parse("run_in_transaction = true\nforeign_keys = \"off\"\nout_of_order = true"),
            Ok(Options {
                run_in_transaction: true,
                foreign_keys_off: true,
                out_of_order: true
            })
        );
    }

    #[test]
    fn whatever_diesel_would_read_otherwise_is_refused() {
        for (text, part) in [
            ("", "reads as false"),
            ("out_of_order = true", "reads as false"),
            ("run_in_transactoin = false", "unknown key"),
            ("run_in_transaction = \"yes\"", "true or false"),
            (
                "run_in_transaction = true\nforeign_keys = false",
                "\"on\" or \"off\"",
            ),
            (
                "run_in_transaction = false\nforeign_keys = \"off\"",
                "needs run_in_transaction",
            ),
            ("run_in_transaction", "expected"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}

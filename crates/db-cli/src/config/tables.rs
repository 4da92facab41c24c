//! What is wrong with a setting in a table of the configuration file, and on which line.

use std::path::Path;

use toml::de::DeTable;

/// Looks at each setting of a table of the file by itself, so that what is wrong has a name and a line.
///
/// # Errors
/// The first that `check` refuses: its place, what is wrong, and which setting was meant.
pub(super) fn check(
    (path, text): (&Path, &str),
    (table, value): (&str, Option<&toml::Value>),
    check: impl Fn(toml::Value) -> Result<(), String>,
) -> Result<(), String> {
    let place = |name: &str| format!("{}:{}", path.display(), line(text, table, name));
    match value.and_then(toml::Value::as_table) {
        Some(settings) => each(place, (table, settings), check),
        None => Ok(()),
    }
}

/// The same of settings that `place` says where they stand.
///
/// # Errors
/// As [`check`].
pub(super) fn each(
    place: impl Fn(&str) -> String,
    (table, settings): (&str, &toml::Table),
    check: impl Fn(toml::Value) -> Result<(), String>,
) -> Result<(), String> {
    for (name, value) in settings {
        let alone = toml::Table::from_iter([(name.clone(), value.clone())]);
        check(alone.into()).map_err(|reason| {
            let place = place(name);
            let reason = told(name, &db_core::redact(&reason));
            format!("{table}.{name} ({place}): {reason}")
        })?;
    }
    Ok(())
}

/// The line on which a setting stands.
fn line(text: &str, table: &str, name: &str) -> usize {
    let root = DeTable::parse(text).ok();
    let at = root.as_ref().and_then(|root| {
        let values = root.get_ref().get(table)?.get_ref().as_table()?;
        let (key, _) = values.get_key_value(name)?;
        Some(key.span().start)
    });
    let before = text.bytes().take(at.unwrap_or(0));
    1 + before.filter(|b| *b == b'\n').count()
}

/// What is expected of a value, in the words of Rust and in those of who writes it.
const EXPECTED: [(&str, &str); 5] = [
    (
        "expected u32",
        "expected a whole number from 0, without quotes",
    ),
    (
        "expected u64",
        "expected a whole number from 0, without quotes",
    ),
    ("expected f64", "expected a number, without quotes"),
    ("expected a sequence", "expected a list, as in [\"…\"]"),
    ("expected path string", "expected a path in quotes"),
];

/// The reason; for a name that is none, what was meant.
fn told(name: &str, reason: &str) -> String {
    let of_rust = EXPECTED
        .iter()
        .find_map(|(of_rust, words)| Some((reason.strip_suffix(of_rust)?, words)));
    if let Some((found, words)) = of_rust {
        return format!("{found}{words}");
    }
    let unknown = format!("unknown field `{name}`, ");
    let Some(expected) = reason.strip_prefix(&unknown) else {
        return reason.to_owned();
    };
    let near = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
        .min_by_key(|(distance, _)| *distance);
    match near {
        Some((_, meant)) => {
            format!("there is no setting of this name; did you mean {meant}? {expected}")
        }
        None => format!("there is no setting of this name; {expected}"),
    }
}

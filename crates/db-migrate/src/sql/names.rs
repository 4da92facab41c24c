//! The names that a statement may mean.

use db_core::Engine;

use super::script::{Kind, Script};

/// Every word and quoted name of a statement, folded as PostgreSQL folds names: what it works on
/// is among them, keywords are too.
pub(crate) fn names(engine: Engine, statement: &str) -> Vec<String> {
    let Ok(script) = Script::parse(engine, statement) else {
        return Vec::new();
    };
    let mut names: Vec<String> = script
        .statements()
        .flatten()
        .filter_map(|token| match token.kind {
            Kind::Word => Some(token.text.to_lowercase()),
            Kind::QuotedName => {
                let inner = token.text.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quoted_names_are_folded_alike() {
        let sql =
            "ALTER TABLE Users /* games */ ADD CONSTRAINT \"Fk \"\"x\" CHECK (name <> 'House')";
        assert_eq!(
            names(Engine::Postgres, sql),
            [
                "Fk \"x",
                "add",
                "alter",
                "check",
                "constraint",
                "name",
                "table",
                "users"
            ]
        );
        assert!(names(Engine::Postgres, "SELECT 'open").is_empty());
    }
}

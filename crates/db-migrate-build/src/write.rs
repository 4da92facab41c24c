//! The Rust that stands for a folder of migrations.

use std::fmt::Write as _;

use crate::folder::{self, Set};

/// One static per set.
///
/// The texts are not copied: the compiler reads them where they are, and so notices a change by
/// itself too.
pub(crate) fn rust(sets: &[Set]) -> Result<String, String> {
    let mut out = String::new();
    for set in sets {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "/// Migrations as (folder name, [(file name, text)]), in the order of their names."
        );
        let _ = writeln!(
            out,
            "pub static {}: &[(&str, &[(&str, &str)])] = &[",
            set.name
        );
        for migration in &set.migrations {
            let _ = writeln!(out, "    ({:?}, &[", migration.name);
            for (name, path) in &migration.files {
                let path = folder::text(path)?;
                let _ = writeln!(out, "        ({name:?}, include_str!({path:?})),");
            }
            let _ = writeln!(out, "    ]),");
        }
        let _ = writeln!(out, "];");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::rust;
    use crate::folder::{Migration, Set};

    #[test]
    fn names_and_paths_become_literals() {
        let set = Set {
            name: "SQLITE",
            migrations: vec![Migration {
                name: "1_\"a\"".to_owned(),
                files: vec![("up.sql", r"C:\x\up.sql".into())],
            }],
        };
        let text = rust(&[set]).unwrap();
        assert!(text.contains("pub static SQLITE: &[(&str, &[(&str, &str)])] = &["));
        assert!(text.contains(r#"("1_\"a\"", &["#), "{text}");
        assert!(
            text.contains(r#"("up.sql", include_str!("C:\\x\\up.sql")),"#),
            "{text}"
        );
    }
}

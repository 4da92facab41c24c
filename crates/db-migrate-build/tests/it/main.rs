//! A crate with a build script of ours, built by Cargo: it is never stale, and fails clearly.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const PROGRAM: &str = r#"
include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

fn main() {
    for (name, files) in MIGRATIONS {
        for (file, text) in *files {
            println!("{name}/{file}: {text}");
        }
    }
}
"#;

/// A package that prints the migrations compiled into it, in a workspace of its own.
struct Package {
    root: TempDir,
}

impl Package {
    fn create() -> Self {
        let root = TempDir::new().unwrap();
        let ours = env!("CARGO_MANIFEST_DIR");
        let package = Self { root };
        package.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"printer\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                 [build-dependencies]\ndb-migrate-build = {{ path = {ours:?} }}\n\n[workspace]\n"
            ),
        );
        package.write(
            "build.rs",
            "fn main() { db_migrate_build::embed(\"migrations\"); }",
        );
        package.write("src/main.rs", PROGRAM);
        package
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn run(&self) -> Output {
        let root: &Path = self.root.path();
        Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--offline", "--color=never"])
            .current_dir(root)
            .env("CARGO_TARGET_DIR", root.join("target"))
            .output()
            .unwrap()
    }

    #[track_caller]
    fn prints(&self, expected: &str) {
        let output = self.run();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{errors}"
        );
    }

    #[track_caller]
    fn fails_with(&self, reason: &str) {
        let output = self.run();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(errors.contains(reason), "{errors}");
    }
}

#[test]
fn an_added_a_changed_and_a_removed_file_rebuild() {
    let package = Package::create();
    package.fails_with("cannot read ");

    package.write("migrations/1_a/up.sql", "one");
    package.prints("1_a/up.sql: one\n");

    package.write("migrations/1_a/down.sql", "back");
    package.prints("1_a/up.sql: one\n1_a/down.sql: back\n");

    package.write("migrations/2_b/up.sql", "two");
    package.write("migrations/1_a/up.sql", "uno");
    package.prints("1_a/up.sql: uno\n1_a/down.sql: back\n2_b/up.sql: two\n");

    package.write("migrations/3_c/notes.md", "no script");
    package.fails_with("3_c holds no up.sql");

    fs::remove_dir_all(package.root.path().join("migrations/3_c")).unwrap();
    fs::remove_file(package.root.path().join("migrations/1_a/down.sql")).unwrap();
    package.prints("1_a/up.sql: uno\n2_b/up.sql: two\n");
}

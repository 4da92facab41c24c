//! Compiles the folder `migrations` in.

fn main() {
    // A link to the folder at the top of the repository, so that a package of this crate holds it.
    db_migrate_build::embed("migrations");
}

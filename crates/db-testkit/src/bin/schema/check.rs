//! `schema check`: every check, each finding on a line of its own.

use db_testkit::schema_check;

pub(crate) fn run() -> Result<(), String> {
    let found = schema_check::check();
    for finding in &found {
        println!("{finding}");
    }
    match found.len() {
        0 => {
            println!("the schema is as it should be, on both engines");
            Ok(())
        }
        count => Err(format!("{count} things are not as they should be")),
    }
}

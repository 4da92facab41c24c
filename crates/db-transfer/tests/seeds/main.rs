//! The seeds of the fuzz targets, through what a target does with them: what fuzzing has found stays mended.
#![cfg(test)]

use std::fs;
use std::path::Path;

use db_transfer::format::Form;

#[expect(unreachable_pub, reason = "a library of its own for the fuzz targets")]
#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz;

#[test]
fn seeds_come_whole_or_not_at_all() {
    // The target works in a folder of its own.
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (folder, form) in [("csv", Form::Csv), ("json", Form::Json), ("sql", Form::Sql)] {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let seed = fs::read(&path).unwrap();
            let done = std::panic::catch_unwind(|| fuzz::import(form, &seed));
            let Ok(went_in) = done else {
                panic!("{}", path.display());
            };
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_sound = ["plain", "lines", "dump", "document"].contains(&name);
            assert!(went_in || !is_sound, "{}", path.display());
            count += 1;
        }
        assert!(count > 2, "{folder}");
    }
}

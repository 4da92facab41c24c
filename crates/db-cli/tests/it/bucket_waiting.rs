//! Backups that wait to be sent to a bucket: sent again, kept in bounds, and given up in the end.

use std::io::Read as _;
use std::path::PathBuf;

use db_backup::{Store as _, WriteMode};
use db_testkit::{Proxy, TestDb};
use serde_json::Value;

use crate::bucket::{MIB, PLAIN, World};
use crate::support::{bare, finish};

/// Kills an upload in its middle, with this much sent.
fn stopped_upload(world: &World, proxy: &mut Proxy, after: u64) {
    let before = paths(world);
    world.killed_upload(proxy, after, || {
        paths(world).iter().any(|path| !before.contains(path))
    });
    proxy.reset();
    proxy.pass();
}

/// Where the records of what waits are.
fn paths(world: &World) -> Vec<PathBuf> {
    let records = world.records().into_iter();
    records.map(|(path, _)| path).collect()
}

/// The record in the staging folder, changed as the test wants it.
fn edit_record(world: &World, edit: impl FnOnce(&mut Value)) {
    let (path, mut record) = world.records().remove(0);
    edit(&mut record);
    std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
}

/// Days later somebody has cleared up in the bucket: what was sent is not taken for granted.
#[test]
fn what_is_gone_from_the_bucket_is_sent_again_before_the_manifest() {
    let world = World::new(20);
    let mut proxy = Proxy::to(world.bucket.port());
    stopped_upload(&world, &mut proxy, 9 * MIB);
    // As after a kill between the last part and the manifest; nothing of it is there.
    edit_record(&world, |record| {
        record["uploads"][0]["done"] = true.into();
        record["uploads"][0]["e_tag"] = "\"gone\"".into();
    });
    let done = world.ends(0, &PLAIN);
    assert!(done.err.contains("sent again"), "{done:?}");
    for name in world.names() {
        world.ends(0, &["backup", "verify", &name]);
    }
    assert_eq!(world.names().len(), 2);
    assert_eq!(world.staged(), [""; 0]);
}

#[test]
fn another_file_of_the_name_is_never_named_by_a_manifest_nor_removed() {
    let world = World::new(20);
    let mut proxy = Proxy::to(world.bucket.port());
    stopped_upload(&world, &mut proxy, 9 * MIB);
    let mut name = String::new();
    edit_record(&world, |record| {
        record["uploads"][0]["done"] = true.into();
        name = record["uploads"][0]["name"].as_str().unwrap().to_owned();
    });
    let store = world.store();
    store
        .write_small(&name, b"another's", WriteMode::Create)
        .unwrap();
    let done = world.ends(0, &PLAIN);
    assert!(done.err.contains("is given up"), "{done:?}");
    let mut there = Vec::new();
    store.read(&name).unwrap().read_to_end(&mut there).unwrap();
    assert_eq!(there, b"another's");
    store.remove(&name).unwrap();
    assert_eq!(world.names().len(), 1, "the new one is there");
    assert_eq!(world.staged(), [""; 0]);
    world.ends(0, &["backup", "verify"]);
}

/// One that fails for ever keeps nobody from going on, is shown, and is given up in the end.
#[test]
fn an_upload_that_fails_for_ever_stops_no_later_backup() {
    let world = World::new(20);
    let mut proxy = Proxy::to(world.bucket.port());
    stopped_upload(&world, &mut proxy, 9 * MIB);
    // What was prepared cannot be read any more, which is not the same as gone.
    let file = world
        .staged()
        .into_iter()
        .find(|n| n.strip_suffix(".0").is_some());
    let file = world.staging().join(file.unwrap());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let first = world.ends(0, &PLAIN);
    assert!(first.err.contains("still waits"), "{first:?}");
    assert_eq!(world.names().len(), 1);
    for command in ["list", "status"] {
        let code = if command == "status" { 3 } else { 0 };
        let shown = world.ends(code, &["backup", command]);
        assert!(shown.err.contains("waits to be sent"), "{shown:?}");
        let shown = world.ends(code, &["backup", command, "--json"]).document();
        let waiting = &shown["waiting"][0];
        assert_eq!(waiting["failures"], 1, "{shown}");
        assert!(waiting["name"].as_str().unwrap().starts_with("backup_"));
    }
    // Young, or tried seldom: it waits on.
    edit_record(&world, |record| {
        record["failures"] = 20.into();
    });
    world.ends(0, &PLAIN);
    assert!(!world.staged().is_empty());
    edit_record(&world, |record| {
        record["began_at"] = "2025-01-01T00:00:00Z".into();
    });
    let last = world.ends(0, &PLAIN);
    assert!(last.err.contains("is given up"), "{last:?}");
    assert_eq!(world.names().len(), 3);
    std::fs::remove_dir(&file).unwrap();
    assert_eq!(world.staged(), [""; 0]);
}

/// What was prepared cannot be read any more, which is not the same as gone.
fn spoil(world: &World) {
    for name in world
        .staged()
        .iter()
        .filter(|name| name.strip_suffix(".0").is_some())
    {
        let file = world.staging().join(name);
        if file.is_file() {
            std::fs::remove_file(&file).unwrap();
            std::fs::create_dir(&file).unwrap();
        }
    }
}

/// What cannot be sent takes the room of two copies, and of a third while it is made. Who comes next
/// tries what waits first, so that the hold counts from where the last one stopped.
#[test]
fn at_most_two_copies_of_a_series_wait() {
    let world = World::new(20);
    let mut proxy = Proxy::to(world.bucket.port());
    let mut seen = std::collections::BTreeSet::new();
    for round in 1..=4 {
        let after = proxy.sent() + 9 * MIB;
        stopped_upload(&world, &mut proxy, after);
        spoil(&world);
        let waiting = paths(&world);
        assert_eq!(waiting.len(), 2.min(round), "{waiting:?}");
        seen.extend(waiting);
        assert_eq!(seen.len(), round, "each round makes one of its own");
    }
    let done = world.ends(0, &PLAIN);
    assert!(done.err.contains("is dropped for a newer one"), "{done:?}");
    // The one that is sent took the place of one of the two.
    assert_eq!(world.records().len(), 1);
    assert_eq!(world.names().len(), 1);
}

/// A later backup of another database takes nobody's place.
#[test]
fn an_upload_is_not_given_up_for_another_database() {
    let world = World::new(20);
    let mut proxy = Proxy::to(world.bucket.port());
    stopped_upload(&world, &mut proxy, 9 * MIB);
    spoil(&world);
    edit_record(&world, |record| {
        record["failures"] = 20.into();
        record["began_at"] = "2025-01-01T00:00:00Z".into();
    });
    let other = TestDb::sqlite();
    other.connect().execute("CREATE TABLE t (x)");
    let run = |url: &str| {
        let mut command = bare(world.place.root.path());
        command
            .args(["--database-url", url])
            .args(PLAIN)
            .args(["--dir", world.bucket.url(), "--staging"])
            .arg(world.staging())
            .envs(world.variables());
        let done = finish(&mut command);
        assert_eq!(done.code, 0, "{done:?}");
        done
    };
    for _ in 0..2 {
        assert!(run(&other.url()).err.contains("still waits"));
    }
    assert_eq!(world.records().len(), 1);
    // Its own comes after it, and the next run gives it up.
    assert!(run(&world.place.db.url()).err.contains("still waits"));
    assert!(run(&other.url()).err.contains("is given up"));
    assert_eq!(world.records().len(), 0);
}

//! One place damaged at a time: header, schema, interior, leaf, overflow, the end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use db_backup::Error;
use db_core::{Access, Connection, DatabaseUrl};

use super::world::{PAGE, Salvaged, World, found, salvage, salvage_file};

const TABLES: [&str; 4] = ["players", "notes", "keyed", "logged"];

/// Every row of a sound page is in its own table.
fn assert_in_place(world: &World, salvaged: &Salvaged, damaged: &BTreeSet<usize>) {
    for (table, rows) in world.sound(damaged) {
        let found = &salvaged.found[table];
        let lost: Vec<_> = rows.difference(found).collect();
        assert!(lost.is_empty(), "{table}: {lost:?}\n{:#?}", salvaged.report);
    }
}

fn zeroed(world: &World, page: usize) -> (Vec<u8>, BTreeSet<usize>) {
    let mut bytes = world.bytes.clone();
    bytes[(page - 1) * PAGE..page * PAGE].fill(0);
    (bytes, BTreeSet::from([page]))
}

#[test]
fn a_sound_file_is_copied_whole() {
    let world = World::new(20);
    let salvaged = salvage(&world.bytes).unwrap();
    assert!(salvaged.report.is_whole(), "{:#?}", salvaged.report);
    assert!(salvaged.report.damage.is_empty());
    assert_in_place(&world, &salvaged, &BTreeSet::new());
    let rows: Vec<_> = salvaged.report.tables.iter().map(|t| t.rows).collect();
    assert_eq!(rows, [200; 4]);
    assert!(!salvaged.found.contains_key("lost_and_found"));
}

#[test]
fn a_damaged_header_is_guessed() {
    let world = World::new(20);
    let mut bytes = world.bytes.clone();
    bytes[..100].fill(0xaa);
    let salvaged = salvage(&bytes).unwrap();
    assert!(!salvaged.report.header_is_intact);
    assert_eq!(salvaged.report.page_size, 1024);
    assert!(!salvaged.report.damage.is_empty());
    assert_in_place(&world, &salvaged, &BTreeSet::new());
}

#[test]
fn without_a_schema_the_rows_are_found() {
    let world = World::new(20);
    let (bytes, damaged) = zeroed(&world, 1);
    let salvaged = salvage(&bytes).unwrap();
    assert!(!salvaged.report.schema_is_whole);
    let lost = &salvaged.found["lost_and_found"];
    for (table, rows) in world.sound(&damaged) {
        // A part of the schema may lie on other pages.
        let own = salvaged.found.get(table).cloned().unwrap_or_default();
        let all: BTreeSet<_> = lost.union(&own).copied().collect();
        assert!(rows.is_subset(&all), "{table}: {:#?}", salvaged.report);
    }
}

#[test]
fn below_a_damaged_interior_page_nothing_is_lost() {
    let world = World::new(60);
    for object in ["players", "notes", "keyed", "logged"] {
        let (bytes, damaged) = zeroed(&world, world.page(object, "internal"));
        let salvaged = salvage(&bytes).unwrap();
        assert_in_place(&world, &salvaged, &damaged);
        let told = salvaged.report.tables.iter().find(|t| t.name == object);
        let told = told.unwrap();
        assert!(told.lost_pages > 0 && told.adopted_pages > 0, "{told:?}");
    }
}

#[test]
fn a_damaged_leaf_costs_its_own_rows() {
    let world = World::new(40);
    for object in TABLES {
        let (bytes, damaged) = zeroed(&world, world.page(object, "leaf"));
        let salvaged = salvage(&bytes).unwrap();
        assert_in_place(&world, &salvaged, &damaged);
        for told in &salvaged.report.tables {
            assert_eq!(told.is_whole(), told.name != object, "{told:?}");
        }
    }
}

#[test]
fn a_damaged_overflow_page_costs_one_row() {
    let world = World::new(20);
    let page = world.page("notes", "overflow");
    let (bytes, damaged) = zeroed(&world, page);
    let salvaged = salvage(&bytes).unwrap();
    assert_in_place(&world, &salvaged, &damaged);
    // An overflow page of zeros ends its chain before the row ends.
    let told = &salvaged.report.tables[1];
    assert!(told.rows >= 199, "{told:?}");
}

#[test]
fn what_is_cut_off_costs_what_was_there() {
    let world = World::new(20);
    for keep in [
        1,
        2,
        world.pages() / 3,
        world.pages() / 2,
        world.pages() - 1,
    ] {
        for odd in [0, 7] {
            let bytes = &world.bytes[..keep * PAGE - odd];
            let first_lost = if odd == 0 { keep + 1 } else { keep };
            let damaged: BTreeSet<_> = (first_lost..=world.pages()).collect();
            let salvaged = salvage(bytes).unwrap();
            let all: BTreeSet<usize> = salvaged.found.values().flatten().copied().collect();
            for (table, rows) in world.sound(&damaged) {
                assert!(rows.is_subset(&all), "{table}, {keep} pages kept");
            }
        }
    }
    for bytes in [&b""[..], b"x", b"SQLite format 3\0", &[0; 5000]] {
        let salvaged = salvage(bytes).unwrap();
        assert!(salvaged.report.tables.is_empty());
    }
}

#[test]
fn sqlite_reads_around_the_damage_too() {
    let world = World::new(40);
    let page = world.page("players", "leaf");
    let (bytes, damaged) = zeroed(&world, page);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    fs::write(&database, bytes).unwrap();
    let salvaged = salvage_file(&database, true).unwrap();
    assert_in_place(&world, &salvaged, &damaged);
    assert!(!salvaged.report.tables[0].is_whole());
}

#[test]
fn commits_that_are_only_in_the_log_are_read() {
    let world = World::new(20);
    let mut conn = world.db.connect();
    conn.execute("INSERT INTO players (id, name) VALUES (100000, 'T999999: in the log')");
    // A process that died leaves its log.
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    let path = world.db.path().unwrap();
    fs::write(&database, fs::read(path).unwrap()).unwrap();
    let log = path.with_file_name("test.db-wal");
    fs::write(
        folder.path().join("damaged.db-wal"),
        fs::read(&log).unwrap(),
    )
    .unwrap();
    let salvaged = salvage_file(&database, false).unwrap();
    assert!(salvaged.found["players"].contains(&999_999));
    assert_in_place(&world, &salvaged, &BTreeSet::new());
    // A torn frame and what follows is not.
    let mut torn = fs::read(&log).unwrap();
    let middle = torn.len() / 2;
    torn[middle] ^= 1;
    fs::write(folder.path().join("damaged.db-wal"), torn).unwrap();
    fs::remove_file(folder.path().join("salvaged.db")).unwrap();
    let salvaged = salvage_file(&database, false).unwrap();
    assert_in_place(&world, &salvaged, &BTreeSet::new());
}

#[test]
fn the_new_file_has_what_the_old_one_had() {
    let world = World::new(20);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("damaged.db");
    fs::write(&database, &world.bytes).unwrap();
    salvage_file(&database, false).unwrap();
    let url = DatabaseUrl::SqliteFile(folder.path().join("salvaged.db"));
    let mut new = Connection::open(&url, Access::ReadWrite).unwrap();
    let mut old = world.db.connect();
    for sql in [
        "SELECT group_concat(type || name || tbl_name || coalesce(sql, '')) AS line FROM
             (SELECT * FROM sqlite_schema ORDER BY name)",
        "SELECT CAST(user_version AS TEXT) AS line FROM pragma_user_version",
        "SELECT CAST(application_id AS TEXT) AS line FROM pragma_application_id",
        "SELECT group_concat(name || seq) AS line FROM sqlite_sequence",
        "SELECT group_concat(concat_ws(',', id, name, score, typeof(score), created_at, level)) AS line
             FROM players",
        "SELECT group_concat(concat_ws(',', rowid, word, hex(body), typeof(body))) AS line FROM notes",
        "SELECT group_concat(concat_ws(',', a, b, c)) AS line FROM keyed",
        "SELECT group_concat(concat_ws(',', id, line, double_id)) AS line FROM logged",
    ] {
        let line = |conn: db_core::Conn<'_>| {
            let db_core::Conn::Sqlite(c) = conn else {
                unreachable!()
            };
            super::pages::line(c, sql)
        };
        assert_eq!(line(new.conn()), line(old.conn()), "{sql}");
    }
    assert_eq!(found(&folder.path().join("salvaged.db")).len(), 4);
    let mode = fs::metadata(folder.path().join("salvaged.db")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn nothing_is_opened_that_somebody_has_open() {
    let world = World::new(2);
    let path = world.db.path().unwrap().to_owned();
    let to = path.with_file_name("salvaged.db");
    let mut conn = world.db.connect();
    conn.execute("SELECT 1 FROM players");
    let refused = salvage_file(&path, false).err().unwrap();
    assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
    assert!(!to.exists());
    drop(conn);
    salvage_file(&path, false).unwrap();
    let refused = salvage_file(&path, false).err().unwrap();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
}

//! Holes in the archived log: the server takes each for its end, and we must not.

use std::path::{Path, PathBuf};

use db_backup::postgres::wal::{self, Pushed};
use db_backup::postgres::{Gap, RecoveryTarget, WalFile, gaps, restore_base};
use db_backup::{
    Codec, Error, Identities, LocalStore, Manifest, Method, RestoreOptions, Store, VerifyOptions,
    drill, list, verify,
};
use db_core::{Access, Connection, DatabaseUrl};

use super::pitr::{archive, ask, run};
use super::{as_account, back_up, place};

/// Segments after the base backup, each with a row and a restore point of its own.
const SEGMENTS: usize = 6;

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) store: LocalStore,
    manifest: Manifest,
    /// The segment in which each row is, and the place after it.
    rows: Vec<(WalFile, String)>,
}

pub(super) fn world() -> World {
    let cluster = db_testkit::cluster(&[("wal_keep_size", "1GB")]);
    let (folder, store) = place();
    let url = DatabaseUrl::parse(&cluster.url()).unwrap();
    let mut connection = Connection::open(&url, Access::ReadWrite).unwrap();
    let db_core::Conn::Postgres(conn) = connection.conn() else {
        panic!("not PostgreSQL");
    };
    run(conn, "CREATE TABLE history (id bigint PRIMARY KEY)");
    let manifest = back_up(&cluster.url(), &store, Method::Base).unwrap();
    let mut rows = Vec::new();
    for id in 1..=SEGMENTS {
        run(conn, &format!("INSERT INTO history VALUES ({id})"));
        let (file, _) = ask(conn, "pg_walfile_name(pg_current_wal_lsn())", "0");
        let (lsn, _) = ask(conn, "pg_current_wal_lsn()", "0");
        run(conn, &format!("SELECT pg_create_restore_point('row_{id}')"));
        run(conn, "SELECT pg_switch_wal()");
        rows.push((WalFile::parse(&file).unwrap(), lsn));
    }
    run(conn, "CHECKPOINT");
    let (data, _) = ask(conn, "current_setting('data_directory')", "0");
    let (current, _) = ask(conn, "pg_walfile_name(pg_current_wal_lsn())", "0");
    archive(Path::new(&data), &current, &store);
    World {
        folder,
        store,
        manifest,
        rows,
    }
}

impl World {
    fn restore(&self, target: &RecoveryTarget) -> Result<u64, Error> {
        let options = RestoreOptions::new().with_postgres(as_account());
        let folder = self.folder.path().join("restored");
        let restored = restore_base(
            &self.store,
            &self.manifest,
            (&folder, target),
            &options,
            &mut |_| (),
        );
        let left = self.folder.path().read_dir().unwrap().count();
        // Beside the backups there is what was restored, or nothing.
        assert_eq!(left, 1 + usize::from(restored.is_ok()));
        let recovered = restored?;
        std::fs::remove_dir_all(&folder).unwrap();
        let table = recovered.tables.iter().find(|t| t.name == "public.history");
        Ok(table.unwrap().rows)
    }

    fn stored(&self, file: &WalFile) -> PathBuf {
        let stored = wal::list(&self.store).unwrap();
        let found = stored.into_iter().find(|stored| stored.file == *file);
        Path::new(&self.store.location()).join(found.unwrap().stored)
    }

    fn gaps(&self) -> Vec<Gap> {
        gaps(&self.store, &list(&self.store).unwrap()).unwrap()
    }

    /// The plain segment, taken out of the archive.
    fn take(&self, file: &WalFile) -> Vec<u8> {
        let plain = self.folder.path().join("plain");
        assert!(wal::fetch(&self.store, &Identities::default(), file, &plain).unwrap());
        let bytes = std::fs::read(&plain).unwrap();
        std::fs::remove_file(&plain).unwrap();
        std::fs::remove_file(self.stored(file)).unwrap();
        bytes
    }

    fn put(&self, file: &WalFile, bytes: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file.as_str());
        std::fs::write(&path, bytes).unwrap();
        let pushed = wal::push(&self.store, &Codec::default(), &path).unwrap();
        assert!(matches!(pushed, Pushed::Stored { .. }), "{pushed:?}");
    }
}

fn missing(error: &Error) -> &str {
    match error {
        Error::LogGap { file, .. } => file,
        other => panic!("{other}"),
    }
}

#[test]
fn a_hole_is_not_the_end_of_the_log() {
    let world = world();
    assert_eq!(
        world.restore(&RecoveryTarget::End).unwrap(),
        SEGMENTS as u64
    );
    assert_eq!(world.gaps(), []);
    let (lost, place) = world.rows[2].clone();
    let (last, _) = world.rows[SEGMENTS - 1].clone();
    let segment = world.take(&lost);

    let error = world.restore(&RecoveryTarget::End).unwrap_err();
    assert_eq!(missing(&error), lost.as_str());
    assert!(error.to_string().contains(last.as_str()), "{error}");
    let check = VerifyOptions::new().with_postgres(as_account());
    for error in [
        verify(&world.store, &world.manifest, &check, &mut |_| ()).unwrap_err(),
        drill(&world.store, &world.manifest, &check, &mut |_| ()).unwrap_err(),
    ] {
        assert_eq!(missing(&error), lost.as_str());
    }
    let expected = Gap {
        missing: lost.clone(),
        until: last.clone(),
    };
    assert_eq!(world.gaps(), [expected]);

    // What is before the hole is within reach, and what is behind it is not, however it is named.
    let before = RecoveryTarget::RestorePoint("row_2".to_owned());
    assert_eq!(world.restore(&before).unwrap(), 2);
    let before = RecoveryTarget::Lsn(world.rows[1].1.parse().unwrap());
    assert_eq!(world.restore(&before).unwrap(), 2);
    for behind in [
        RecoveryTarget::Lsn(place.parse().unwrap()),
        RecoveryTarget::RestorePoint("row_4".to_owned()),
        RecoveryTarget::Time(world.manifest.finished_at + chrono::TimeDelta::days(1)),
    ] {
        let error = world.restore(&behind).unwrap_err();
        assert_eq!(missing(&error), lost.as_str(), "{behind:?}");
    }

    // A log that ends earlier has no hole.
    world.put(&lost, &segment);
    world.take(&last);
    assert_eq!(
        world.restore(&RecoveryTarget::End).unwrap(),
        SEGMENTS as u64 - 1
    );
}

#[test]
fn a_segment_that_cannot_be_followed_is_not_the_end_of_the_log() {
    let world = world();
    let (file, _) = &world.rows[2];
    let good = world.take(file);
    // Records that are none, in a segment whose header and hash fit.
    let mut bad = good.clone();
    bad[64..20_000].fill(0);
    world.put(file, &bad);
    let error = world.restore(&RecoveryTarget::End).unwrap_err();
    assert_eq!(missing(&error), world.rows[SEGMENTS - 1].0.as_str());
    assert!(error.to_string().contains("could follow"), "{error}");
    // The segment of another server.
    world.take(file);
    let mut strange = good.clone();
    strange[24] ^= 1;
    world.put(file, &strange);
    let error = world.restore(&RecoveryTarget::End).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("is of the server"), "{error}");
    world.take(file);
    world.put(file, &good);
    // Of a timeline that no history leads to, nothing can be followed.
    let stray = WalFile::segment(2, good.len() as u64 * 1000, good.len() as u64);
    let mut segment = good;
    segment[4..8].copy_from_slice(&2_u32.to_ne_bytes());
    let begin = stray.start(segment.len() as u64).unwrap();
    segment[8..16].copy_from_slice(&begin.to_ne_bytes());
    world.put(&stray, &segment);
    let error = world.restore(&RecoveryTarget::End).unwrap_err();
    assert_eq!(missing(&error), "00000002.history");
}

/// Segments of another server, as they come after an upgrade or where two archive into one place: they
/// are no end of our log, and hide none of its holes.
#[test]
fn what_another_server_archived_is_not_ours() {
    let world = world();
    let (last, _) = world.rows[SEGMENTS - 1].clone();
    let segment = world.take(&last);
    world.put(&last, &segment);
    let size = segment.len() as u64;
    let strange = |behind: u64| {
        let place = last.start(size).unwrap() + behind * size;
        let file = WalFile::segment(1, place, size);
        let mut bytes = segment.clone();
        bytes[8..16].copy_from_slice(&place.to_ne_bytes());
        bytes[24] ^= 1;
        world.put(&file, &bytes);
    };
    // Behind a hole, and then in one row with ours.
    strange(3);
    assert_eq!(world.gaps(), []);
    assert_eq!(
        world.restore(&RecoveryTarget::End).unwrap(),
        SEGMENTS as u64
    );
    strange(1);
    strange(2);
    let lost = world.rows[2].0.clone();
    world.take(&lost);
    let gap = Gap {
        missing: lost.clone(),
        until: last,
    };
    assert_eq!(world.gaps(), [gap]);
    let error = world.restore(&RecoveryTarget::End).unwrap_err();
    assert_eq!(missing(&error), lost.as_str());
}

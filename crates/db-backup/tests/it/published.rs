//! What is left of a backup whose manifest could not be written to its end.

use std::io::Read;

use db_backup::{
    BackupOptions, Draft, Error, LocalStore, Lock, Source, Store, StoredFile, WriteMode, create,
    list,
};
use db_testkit::TestDb;

/// A store that writes a manifest and says that it could not, and shows it to nobody.
#[derive(Debug)]
struct Blind<'s> {
    store: &'s LocalStore,
    removes: bool,
}

fn broken(name: &str) -> Error {
    Error::Io {
        doing: "reach",
        place: name.to_owned(),
        error: std::io::Error::other("the disk is gone"),
    }
}

fn is_manifest(name: &str) -> bool {
    std::path::Path::new(name)
        .extension()
        .is_some_and(|ending| ending == "json")
}

impl Store for Blind<'_> {
    fn location(&self) -> String {
        self.store.location()
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        self.store.list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
        if is_manifest(name) {
            return Err(broken(name));
        }
        self.store.read(name)
    }

    fn publish(
        &self,
        file: Draft,
        name: &str,
        progress: &mut dyn FnMut(u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.store.publish(file, name, progress)
    }

    fn write_small(&self, name: &str, bytes: &[u8], mode: WriteMode) -> Result<(), Error> {
        self.store.write_small(name, bytes, mode)?;
        Err(broken(name))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        if self.removes {
            self.store.remove(name)
        } else {
            Err(broken(name))
        }
    }

    fn draft(&self) -> Result<Draft, Error> {
        self.store.draft()
    }

    fn lock(&self, why: &str) -> Result<Lock, Error> {
        self.store.lock(why)
    }
}

#[test]
fn a_manifest_that_nobody_can_look_at_goes_before_what_it_names() {
    let db = TestDb::sqlite();
    db.connect().execute("CREATE TABLE dice (n)");
    let source = Source {
        url: db_core::DatabaseUrl::parse(&db.url()).unwrap(),
        key: None,
    };
    for (removes, left) in [(true, 0), (false, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let store = &LocalStore::new(folder.path());
        let blind = Blind { store, removes };
        create(&source, &blind, &BackupOptions::new(), &mut |_| {}).unwrap_err();
        let listing = list(store).unwrap();
        assert_eq!(listing.backups.len(), left, "{listing:?}");
        assert!(listing.backups.iter().all(db_backup::Entry::is_complete));
        assert_eq!(store.list().unwrap().len(), 2 * left);
    }
}

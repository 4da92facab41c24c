//! The lock of a bucket: that it expires, is lost to who cannot renew it, and is taken from the dead.

use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use db_backup::retention::Policy;
use db_backup::{BucketStore, Draft, Error, Lock, Store, StoredFile, WriteMode, prune};
use db_core::{Clock, Interrupt, SystemClock};
use db_testkit::{Proxy, wait_until};

use crate::bucket::{MIB, PLAIN, World};
use crate::support::finish;

const SHORT: Duration = Duration::from_secs(8);

/// A store whose machine is cut off at its second removal, until another one has its lock.
#[derive(Debug)]
struct CutOff<'w> {
    store: BucketStore,
    other: &'w BucketStore,
    proxy: Mutex<Proxy>,
    removals: AtomicUsize,
    taken: Mutex<Option<Lock>>,
}

impl Store for CutOff<'_> {
    fn location(&self) -> String {
        self.store.location()
    }

    fn list(&self) -> Result<Vec<StoredFile>, Error> {
        self.store.list()
    }

    fn read(&self, name: &str) -> Result<Box<dyn Read + Send>, Error> {
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
        self.store.write_small(name, bytes, mode)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        if self.removals.fetch_add(1, Ordering::SeqCst) == 1 {
            let mut proxy = self.proxy.lock().unwrap();
            proxy.refuse();
            wait_until("the lock to expire", || {
                let lock = self.other.lock("another");
                assert!(
                    matches!(lock, Ok(_) | Err(Error::Locked { .. })),
                    "{lock:?}"
                );
                *self.taken.lock().unwrap() = lock.ok();
                self.taken.lock().unwrap().is_some()
            });
            proxy.pass();
        }
        self.store.remove(name)
    }

    fn draft(&self) -> Result<Draft, Error> {
        self.store.draft()
    }

    fn lock(&self, why: &str) -> Result<Lock, Error> {
        self.store.lock(why)
    }
}

#[test]
fn a_prune_whose_lock_expires_removes_nothing_more() {
    let world = World::new(1);
    for _ in 0..4 {
        world.ends(0, &PLAIN);
    }
    let other = world.store().with_lock_life(SHORT);
    let proxy = Proxy::to(world.bucket.port());
    let variables = world.bucket.variables(proxy.port());
    let staging = world.place.path("slow");
    let slow = BucketStore::open(world.bucket.url(), staging, variables).unwrap();
    let slow = CutOff {
        store: slow.with_lock_life(SHORT),
        other: &other,
        proxy: Mutex::new(proxy),
        removals: AtomicUsize::new(0),
        taken: Mutex::new(None),
    };
    let before = other.list().unwrap().len();
    let policy = Policy {
        last: 1,
        ..Policy::none()
    };
    let mut gone = Vec::new();
    let error = prune::prune(
        &slow,
        &policy,
        SystemClock.now(),
        (&Interrupt::default(), &mut |name| {
            gone.push(name.to_owned());
        }),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
    // The one that was under way when the lock was lost, and none after it.
    assert_eq!(slow.removals.load(Ordering::SeqCst), 2);
    assert_eq!(other.list().unwrap().len(), before - 2);
    assert_eq!(gone.len(), 1);
    // Who has the lock now keeps it: the first one does not give it back for them.
    let third = world.store().lock("a third");
    assert!(matches!(third, Err(Error::Locked { .. })), "{third:?}");
    let taken = slow.taken.lock().unwrap().take();
    taken.as_ref().unwrap().check().unwrap();
    drop(taken);
    world.ends(
        0,
        &["backup", "prune", "--keep-days", "0", "--keep-last", "1"],
    );
    world.ends(0, &["backup", "verify"]);
}

/// Creating and pruning know the dead of one another, whatever their staging folders are.
#[test]
fn the_lock_of_a_dead_process_is_taken_over_from_another_staging_folder() {
    let world = World::new(20);
    let proxy = Proxy::to(world.bucket.port());
    let mut child = world.held(&proxy, 10 * MIB, &PLAIN);
    let prune = || {
        let mut command = world
            .place
            .command(&["backup", "prune", "--dir", world.bucket.url()]);
        command.envs(world.variables());
        finish(command.args(["--staging", "elsewhere"]))
    };
    let locked = prune();
    assert_eq!(locked.code, 6, "{locked:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let done = prune();
    assert_eq!(done.code, 0, "{done:?}");
}

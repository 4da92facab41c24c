//! Who holds a connection: what is read of it is of one checkout, and each holder has its own slot.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use loom::thread;

use super::slots::{Held, Holding};

/// Two lines of code, each with the process that it is served by.
fn lines() -> BTreeMap<u32, i32> {
    [(first().line(), 1), (second().line(), 2)].into()
}

fn first() -> &'static Location<'static> {
    Location::caller()
}

fn second() -> &'static Location<'static> {
    Location::caller()
}

/// Somebody looks while a connection changes hands: the line and the process belong together, or
/// nothing is seen.
///
/// The first holder has it before the looker comes. loom remembers of each atomic only who touched
/// it last, and a holder reads what it is about to write: a look that comes first would be forgotten.
#[test]
fn what_is_seen_is_of_one_checkout() {
    loom::model(|| {
        let held = Arc::new(Held::new("connection", 1));
        let mine = Holding::claim(&*held, first(), Some(1));
        let seen = Arc::clone(&held);
        let looker = thread::spawn(move || {
            for seen in seen.all() {
                let line = seen.holder.caller.line();
                assert_eq!(lines().get(&line).copied(), seen.pid);
            }
        });
        drop(mine);
        drop(Holding::claim(&*held, second(), Some(2)));
        looker.join().unwrap();
        assert!(held.oldest().is_none());
    });
}

/// As many callers as connections, who look for the same one first: each finds a slot of its own, and gives that one back.
#[test]
fn nobody_takes_a_slot_that_is_held() {
    loom::model(|| {
        let held = Arc::new(Held::new("connection", 2));
        let taking = Arc::clone(&held);
        let other = thread::spawn(move || {
            let mine = Holding::claim(&*taking, first(), Some(4));
            assert!(taking.pids().contains(&4));
            drop(mine);
        });
        let mine = Holding::claim(&*held, second(), Some(2));
        assert!(held.pids().contains(&2));
        other.join().unwrap();
        assert_eq!(held.pids(), [2]);
        drop(mine);
        assert!(held.oldest().is_none());
    });
}

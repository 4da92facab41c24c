//! Who holds a connection: what is read of it is of one checkout, and each holder has its own slot.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use loom::thread;

use super::slots::{Held, Holding};
use crate::bounded;

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

/// Somebody looks while one connection changes hands: the line and the process belong together, or
/// nothing is seen.
#[test]
fn what_is_seen_is_of_one_checkout() {
    bounded(|| {
        let held = Arc::new(Held::new("connection", 1));
        let taking = Arc::clone(&held);
        let taker = thread::spawn(move || {
            drop(Holding::claim(&*taking, first(), Some(1)));
            drop(Holding::claim(&*taking, second(), Some(2)));
        });
        for seen in held.all() {
            let line = seen.holder.caller.line();
            assert_eq!(lines().get(&line).copied(), seen.pid);
        }
        taker.join().unwrap();
        assert!(held.oldest().is_none());
    });
}

/// As many callers as connections: each finds a slot of its own, and gives that one back.
#[test]
fn nobody_takes_a_slot_that_is_held() {
    bounded(|| {
        let held = Arc::new(Held::new("connection", 2));
        let taking = Arc::clone(&held);
        let other = thread::spawn(move || {
            let mine = Holding::claim(&*taking, first(), Some(1));
            assert!(taking.pids().contains(&1));
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

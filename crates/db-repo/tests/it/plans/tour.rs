//! One call of everything that runs often.

mod ledger;
mod money;
mod network;
mod notifications;
mod outbox;
mod reconcile;
mod stats;
mod trail;
mod usage;
mod worlds;

use db_core::Conn;
use db_repo::{Actor, Error, PageRequest, UserRepository};
use db_schema::rows::UserChanges;

use crate::support::{at, new_user};

/// Steps that look at a whole table, and say so in their documentation.
pub(super) const SCANS: &[&str] = &[
    "users: count",
    "outbox: counts",
    "tokens: total_supply",
    "reconcile",
    "worlds: count",
];

/// Takes a name and what to do.
pub(super) type Step<'s> = &'s mut dyn FnMut(&str, &mut dyn FnMut(&mut Conn<'_>));

/// Calls each of them once, in an order in which they succeed.
pub(super) fn run(step: Step<'_>) {
    users(step);
    ledger::run(step);
    notifications::run(step);
    outbox::run(step);
    stats::run(step);
    network::run(step);
    usage::run(step);
    worlds::run(step);
    trail::run(step);
    money::run(step);
    reconcile::run(step);
}

/// One step that has to succeed.
fn go<T>(step: Step<'_>, name: &str, f: impl Fn(&mut Conn<'_>) -> Result<T, Error>) {
    step(name, &mut |conn| {
        if let Err(error) = f(conn) {
            panic!("{name}: {error}");
        }
    });
}

fn users(step: Step<'_>) {
    go(step, "actor", |conn| {
        Actor::new().acts(conn, at(0), |_| Ok::<_, Error>(()))
    });
    go(step, "users: create", |conn| {
        UserRepository::create(conn, &new_user("u1", 0))
    });
    go(step, "users: find", |conn| UserRepository::find(conn, "u1"));
    go(step, "users: find_by_username", |conn| {
        UserRepository::find_by_username(conn, "name of u1")
    });
    go(step, "users: exists", |conn| {
        UserRepository::exists(conn, "u1")
    });
    go(step, "users: list, first page", |conn| {
        UserRepository::list(conn, &PageRequest::default())
    });
    go(step, "users: list, next page", |conn| {
        let after = "2:users:1700000000000000.u1".parse().unwrap();
        UserRepository::list(conn, &PageRequest::default().after(after))
    });
    go(step, "users: update_reputation", |conn| {
        UserRepository::update_reputation(conn, "u1", 1.0, at(1))
    });
    go(step, "users: update", |conn| {
        UserRepository::update(conn, "u1", &UserChanges::default(), at(2))
    });
    go(step, "users: create_many", |conn| {
        UserRepository::create_many(conn, &[new_user("u8", 0), new_user("u9", 0)])
    });
    go(step, "users: delete", |conn| {
        UserRepository::delete(conn, "u9")
    });
    go(step, "users: count", UserRepository::count);
}

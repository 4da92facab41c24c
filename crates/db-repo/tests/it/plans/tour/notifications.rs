//! Messages to players.

use db_repo::{NotificationRepository, PageRequest};

use super::{Step, go};
use crate::notifications::message;
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    go(step, "notifications: create", |conn| {
        NotificationRepository::create(conn, &message("u1", 0))
    });
    go(step, "notifications: find", |conn| {
        NotificationRepository::find(conn, 1)
    });
    go(step, "notifications: list, first page", |conn| {
        NotificationRepository::list(conn, "u1", &PageRequest::default())
    });
    go(step, "notifications: list, next page", |conn| {
        let after = "2:notifications:1700000000000000.1".parse().unwrap();
        NotificationRepository::list(conn, "u1", &PageRequest::default().after(after))
    });
    go(step, "notifications: count_unread", |conn| {
        NotificationRepository::count_unread(conn, "u1")
    });
    go(step, "notifications: mark_read", |conn| {
        NotificationRepository::mark_read(conn, "u1", 1, at(1))?;
        NotificationRepository::mark_read(conn, "u1", 1, at(2))
    });
    go(step, "notifications: mark_all_read", |conn| {
        NotificationRepository::mark_all_read(conn, "u1", at(1))
    });
    go(step, "notifications: delete_older_than", |conn| {
        NotificationRepository::delete_older_than(conn, at(1), 10)
    });
    go(step, "notifications: create_many", |conn| {
        NotificationRepository::create_many(conn, &[message("u1", 8), message("u1", 9)])
    });
}

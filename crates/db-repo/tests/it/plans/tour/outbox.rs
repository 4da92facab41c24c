//! The outbox.

use std::time::Duration;

use db_repo::{FailedDelivery, Lease, OutboxRepository, PageRequest};

use super::{Step, go};
use crate::outbox::entry;
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    const MINUTE: Duration = Duration::from_mins(1);
    let lease = |id, attempt, ends_at| Lease {
        id,
        attempt,
        ends_at: at(ends_at),
    };
    let given_up = FailedDelivery {
        error: "x",
        retry_at: None,
    };
    go(step, "outbox: enqueue", |conn| {
        OutboxRepository::enqueue(conn, &entry(1, 0))
    });
    go(step, "outbox: claim", |conn| {
        OutboxRepository::claim(conn, at(0), MINUTE, 100)
    });
    go(step, "outbox: complete", |conn| {
        OutboxRepository::complete(conn, lease(1, 1, 60), at(1))
    });
    go(step, "outbox: fail", |conn| {
        OutboxRepository::enqueue(conn, &entry(2, 0))?;
        OutboxRepository::claim(conn, at(0), MINUTE, 100)?;
        OutboxRepository::fail(conn, lease(2, 1, 60), given_up, at(1))
    });
    go(step, "outbox: give_back", |conn| {
        OutboxRepository::enqueue(conn, &entry(3, 0))?;
        OutboxRepository::claim(conn, at(0), MINUTE, 100)?;
        OutboxRepository::give_back(conn, lease(3, 1, 60), at(1))
    });
    go(step, "outbox: find", |conn| OutboxRepository::find(conn, 2));
    go(step, "outbox: list_dead, first page", |conn| {
        OutboxRepository::list_dead(conn, &PageRequest::default())
    });
    go(step, "outbox: list_dead, next page", |conn| {
        let after = "2:outbox.dead:1700000000000000.2".parse().unwrap();
        OutboxRepository::list_dead(conn, &PageRequest::default().after(after))
    });
    go(step, "outbox: requeue", |conn| {
        OutboxRepository::requeue(conn, 2, at(2))
    });
    go(step, "outbox: delete_older_than", |conn| {
        OutboxRepository::delete_older_than(conn, at(2), 10)
    });
    go(step, "outbox: counts", OutboxRepository::counts);
    go(
        step,
        "outbox: oldest_waiting",
        OutboxRepository::oldest_waiting,
    );
    go(step, "outbox: complete_many", |conn| {
        let id = OutboxRepository::enqueue(conn, &entry(4, 0))?;
        OutboxRepository::claim(conn, at(3), MINUTE, 100)?;
        OutboxRepository::complete_many(conn, &[lease(id, 1, 63)], at(4))
    });
    go(step, "outbox: enqueue_many", |conn| {
        OutboxRepository::enqueue_many(conn, &[entry(8, 0), entry(9, 0)])
    });
}

//! Messages to players.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{NewNotification, Notification, NotificationType};
use db_schema::schema::notifications;
use db_schema::types::{Json, JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use crate::dialect::old::old_notifications;
use crate::page::Place;
use crate::refusal::{Parent, Row, each_once, refused, touched_one};
use crate::{Page, PageRequest, Result, check};

/// Characters of a title.
const TITLE: std::ops::RangeInclusive<usize> = 1..=256;

/// Most characters of a message.
const MESSAGE_LENGTH: usize = 10_000;

/// Rows of one statement of [`NotificationRepository::create_many`].
const BATCH: usize = 1_000;

/// The foreign key.
const USER: &str = "fk_notifications_user_id";

type Columns = (
    BigInt,
    Text,
    Text,
    Text,
    Text,
    Bool,
    Nullable<UtcTimestamp>,
    UtcTimestamp,
    Nullable<JsonDoc>,
);

statement! {
    struct Create<'a> {
        user_id: &'a str as Text,
        notification_type: NotificationType as Text,
        title: &'a str as Text,
        message: &'a str as Text,
        created_at: UtcTime as UtcTimestamp,
        metadata: Option<&'a Json> as Nullable<JsonDoc>,
    }
    returns BigInt;
    "INSERT INTO notifications (user_id, notification_type, title, message, created_at, metadata)
    VALUES (" user_id ", " notification_type ", " title ", " message ", " created_at ", " metadata
    ") RETURNING id"
}

statement! {
    struct Newest<'a> {
        user_id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, notification_type, title, message, is_read, read_at, created_at, metadata
    FROM notifications WHERE user_id = " user_id "
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct Before<'a> {
        user_id: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Columns;
    "SELECT id, user_id, notification_type, title, message, is_read, read_at, created_at, metadata
    FROM notifications WHERE user_id = " user_id " AND (created_at, id) < (" at ", " id ")
    ORDER BY created_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct CountUnread<'a> {
        user_id: &'a str as Text,
    }
    returns BigInt;
    "SELECT count(*) FROM notifications WHERE user_id = " user_id " AND read_at IS NULL"
}

statement! {
    struct MarkAllRead<'a> {
        user_id: &'a str as Text,
        now: UtcTime as UtcTimestamp,
        read: bool as Bool,
    }
    "UPDATE notifications SET is_read = " read ", read_at = " now
    " WHERE user_id = " user_id " AND read_at IS NULL"
}

/// Messages to players.
#[derive(Debug)]
pub struct NotificationRepository;

impl NotificationRepository {
    /// Sends a message; its key.
    ///
    /// # Errors
    /// `Invalid`, `MissingParent`, `Database`.
    pub fn create(conn: &mut Conn<'_>, new: &NewNotification) -> Result<i64> {
        check_new(new)?;
        let create = Create {
            user_id: &new.user_id,
            notification_type: new.notification_type,
            title: &new.title,
            message: &new.message,
            created_at: new.created_at,
            metadata: new.metadata.as_ref(),
        };
        with_conn!(conn, |c| create.get_result(c))
            .map_err(|error| refused(conn, error, |_| None, &[parent(new)]))
    }

    /// Sends messages, all or none; how many.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_many(conn: &mut Conn<'_>, new: &[NewNotification]) -> Result<usize> {
        new.iter().try_for_each(check_new)?;
        let mut added = 0;
        for batch in new.chunks(BATCH) {
            let values: Vec<_> = batch
                .iter()
                .map(|new| {
                    (
                        notifications::user_id.eq(&new.user_id),
                        notifications::notification_type.eq(new.notification_type),
                        notifications::title.eq(&new.title),
                        notifications::message.eq(&new.message),
                        notifications::created_at.eq(new.created_at),
                        notifications::metadata.eq(new.metadata.as_ref()),
                    )
                })
                .collect();
            added += with_conn!(conn, |c| diesel::insert_into(notifications::table)
                .values(values)
                .execute(c))
            .map_err(|error| {
                refused(conn, error, |_| None, &each_once(batch.iter().map(parent)))
            })?;
        }
        Ok(added)
    }

    /// The message of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<Notification>> {
        Ok(with_conn!(conn, |c| notifications::table.find(id).get_result(c)).optional()?)
    }

    /// A player's messages, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list(
        conn: &mut Conn<'_>,
        user_id: &str,
        page: &PageRequest,
    ) -> Result<Page<Notification>> {
        check::sought("user_id", user_id)?;
        let page = &page.of("notifications")?;
        let rows = page.rows();
        let found: Vec<Notification> = match page.time_id()? {
            None => with_conn!(conn, |c| page.load(Newest { user_id, rows }, c))?,
            Some((at, id)) => {
                let before = Before {
                    user_id,
                    at,
                    id,
                    rows,
                };
                with_conn!(conn, |c| page.load(before, c))?
            }
        };
        Ok(Page::of(found, page, |last| {
            Place::at(last.created_at, last.id)
        }))
    }

    /// How many of a player's messages are not read.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn count_unread(conn: &mut Conn<'_>, user_id: &str) -> Result<i64> {
        check::sought("user_id", user_id)?;
        Ok(with_conn!(conn, |c| CountUnread { user_id }.get_result(c))?)
    }

    /// A player has read a message. The moment of the first time stays.
    ///
    /// # Errors
    /// `Invalid`, `NotFound` if this player has no such message, `Database`.
    pub fn mark_read(conn: &mut Conn<'_>, user_id: &str, id: i64, now: UtcTime) -> Result<()> {
        check::sought("user_id", user_id)?;
        let message = notifications::table
            .find(id)
            .filter(notifications::user_id.eq(user_id));
        let unread = message.filter(notifications::read_at.is_null());
        let set = (
            notifications::is_read.eq(true),
            notifications::read_at.eq(now),
        );
        let rows = with_conn!(conn, |c| diesel::update(unread).set(set).execute(c))?;
        if rows == 1 {
            return Ok(());
        }
        let there = diesel::dsl::select(diesel::dsl::exists(message));
        let there: bool = with_conn!(conn, |c| there.get_result(c))?;
        touched_one(usize::from(there), "notification", id)
    }

    /// A player has read all messages; how many were not.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn mark_all_read(conn: &mut Conn<'_>, user_id: &str, now: UtcTime) -> Result<usize> {
        check::sought("user_id", user_id)?;
        let mark = MarkAllRead {
            user_id,
            now,
            read: true,
        };
        Ok(with_conn!(conn, |c| mark.execute(c))?)
    }

    /// Removes at most so many messages from before this moment, read or not, the oldest first; how many.
    /// Fewer than asked for were the last: see [`RetentionTask`](crate::RetentionTask).
    ///
    /// # Errors
    /// `Invalid` for a limit below 1, `Database`.
    pub fn delete_older_than(conn: &mut Conn<'_>, before: UtcTime, limit: i64) -> Result<usize> {
        check::within("limit", limit, 1..=i64::MAX)?;
        Ok(old_notifications(conn, before, limit)?)
    }
}

fn parent(new: &NewNotification) -> Parent<'_> {
    Parent {
        constraint: USER,
        field: "user_id",
        row: Row::User(&new.user_id),
    }
}

fn check_new(new: &NewNotification) -> Result<()> {
    check::key("user_id", &new.user_id)?;
    check::text("title", &new.title, TITLE)?;
    check::prose("message", &new.message, MESSAGE_LENGTH)?;
    check::moment("created_at", new.created_at)?;
    new.metadata
        .as_ref()
        .map_or(Ok(()), |metadata| check::json("metadata", &metadata.0))
}

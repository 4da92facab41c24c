//! Reading the trail, newest first.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::AuditLog;
use db_schema::types::{JsonDoc, UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::AuditRepository;
use crate::page::{Listing, Place};
use crate::{Page, PageRequest, Result, check};

/// Steps of one page, of [`StepEnd`]'s many lines, which then ends where it is.
const STEPS: usize = 20;

/// The row of a statement.
type Row = (
    BigInt,
    Nullable<Text>,
    Text,
    Text,
    Text,
    Nullable<JsonDoc>,
    Nullable<JsonDoc>,
    Nullable<Text>,
    Nullable<Text>,
    UtcTimestamp,
    Nullable<JsonDoc>,
);

statement! {
    /// Lines of one row of a table, by the index.
    struct OfEntity<'a> {
        entity_type: &'a str as Text,
        entity_id: &'a str as Text,
        user: Option<&'a str> as Nullable<Text>,
        since: Option<UtcTime> as Nullable<UtcTimestamp>,
        until: Option<UtcTime> as Nullable<UtcTimestamp>,
        before: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row;
    "SELECT id, user_id, action, entity_type, entity_id, before_state, after_state, ip_address,
    user_agent, created_at, metadata FROM audit_logs
    WHERE entity_type = " entity_type " AND entity_id = " entity_id " AND id < " before
    " AND user_id IS NOT DISTINCT FROM coalesce(" user ", user_id)
    AND created_at >= coalesce(" since ", created_at)
    AND (created_at >= " until ") IS NOT TRUE
    ORDER BY id DESC LIMIT " rows " + 0"
}

statement! {
    /// Of the next lines of a walk, those that pass.
    struct OfStep<'a> {
        entity_type: Option<&'a str> as Nullable<Text>,
        user: Option<&'a str> as Nullable<Text>,
        since: Option<UtcTime> as Nullable<UtcTimestamp>,
        until: Option<UtcTime> as Nullable<UtcTimestamp>,
        before: i64 as BigInt,
        last: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row;
    "SELECT id, user_id, action, entity_type, entity_id, before_state, after_state, ip_address,
    user_agent, created_at, metadata FROM audit_logs
    WHERE id < " before " AND id >= " last
    " AND entity_type = coalesce(" entity_type ", entity_type)
    AND user_id IS NOT DISTINCT FROM coalesce(" user ", user_id)
    AND created_at >= coalesce(" since ", created_at)
    AND (created_at >= " until ") IS NOT TRUE
    ORDER BY id DESC LIMIT " rows " + 0"
}

statement! {
    /// The last line of the next step of a walk, 5,000 lines; none if there are not so many.
    struct StepEnd {
        before: i64 as BigInt,
    }
    returns BigInt;
    "SELECT id FROM audit_logs WHERE id < " before " ORDER BY id DESC LIMIT 1 OFFSET 4999"
}

statement! {
    struct OneLine {
        id: i64 as BigInt,
    }
    returns Row;
    "SELECT id, user_id, action, entity_type, entity_id, before_state, after_state, ip_address,
    user_agent, created_at, metadata FROM audit_logs WHERE id = " id
}

/// Which lines to list; what is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// Of this table.
    pub entity_type: Option<String>,
    /// Of the row with this key; needs the table.
    pub entity_id: Option<String>,
    /// By this user.
    pub user_id: Option<String>,
    /// From this moment on.
    pub since: Option<UtcTime>,
    /// Before this moment.
    pub until: Option<UtcTime>,
}

impl AuditRepository {
    /// The line of this id.
    ///
    /// # Errors
    /// `Database`.
    pub fn find(conn: &mut Conn<'_>, id: i64) -> Result<Option<AuditLog>> {
        Ok(with_conn!(conn, |c| OneLine { id }.get_result(c)).optional()?)
    }

    /// Lines that pass the filter, newest first.
    ///
    /// There is one index, of tables and keys: every further one would slow every audited write.
    /// Lines of one row are found by it. Any other list walks back from the end and looks at 100,000
    /// lines at most: then the page ends, even if it is not full or empty, and its `next` leads on. A
    /// span of time is no shorter way: times need not be in the order of the lines, so each line is
    /// looked at.
    ///
    /// # Errors
    /// `Invalid`, `Database`.
    pub fn list(
        conn: &mut Conn<'_>,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditLog>> {
        let page = &page.of("audit")?;
        let rows = page.rows();
        let before = page.before_id();
        for (field, value) in [
            ("entity_type", &filter.entity_type),
            ("entity_id", &filter.entity_id),
            ("user_id", &filter.user_id),
        ] {
            if let Some(value) = value {
                check::sought(field, value)?;
            }
        }
        match (&filter.entity_type, &filter.entity_id) {
            (Some(entity_type), Some(entity_id)) => {
                let lines = OfEntity {
                    entity_type,
                    entity_id,
                    user: filter.user_id.as_deref(),
                    since: filter.since,
                    until: filter.until,
                    before,
                    rows,
                };
                let found = with_conn!(conn, |c| page.load(lines, c))?;
                Ok(Page::of(found, page, |last: &AuditLog| {
                    Place::of_id(last.id)
                }))
            }
            (None, Some(_)) => {
                check::rule("entity_id", false, "needs entity_type beside it")?;
                Ok(Page {
                    items: Vec::new(),
                    next: None,
                })
            }
            (_, None) => walk(conn, filter, page, before, rows),
        }
    }
}

fn walk(
    conn: &mut Conn<'_>,
    filter: &AuditFilter,
    page: &Listing<'_>,
    mut before: i64,
    rows: i64,
) -> Result<Page<AuditLog>> {
    let mut found: Vec<AuditLog> = Vec::new();
    for _ in 0..STEPS {
        let step = StepEnd { before };
        let end: Option<i64> = with_conn!(conn, |c| step.get_result(c)).optional()?;
        let last = end.unwrap_or(i64::MIN);
        let missing = rows - i64::try_from(found.len()).unwrap_or(i64::MAX);
        let lines = OfStep {
            entity_type: filter.entity_type.as_deref(),
            user: filter.user_id.as_deref(),
            since: filter.since,
            until: filter.until,
            before,
            last,
            rows: missing,
        };
        found.extend(with_conn!(conn, |c| lines.load::<AuditLog>(c))?);
        if i64::try_from(found.len()) == Ok(rows) || end.is_none() {
            return Ok(Page::of(found, page, |line| Place::of_id(line.id)));
        }
        before = last;
    }
    Ok(Page {
        items: found,
        next: Some(page.cursor(Place::of_id(before))),
    })
}

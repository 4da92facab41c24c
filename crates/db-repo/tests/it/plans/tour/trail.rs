//! Events of games, and the audit trail.

use db_core::with_conn;
use db_repo::{AuditFilter, AuditRepository, EventStore, Expected, PageRequest, Until};
use db_schema::rows::{GameEvent, GamePhase, GameState, NewGameEvent};
use db_schema::schema::games;
use diesel::prelude::*;

use super::{Step, go};
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    let (state, phase) = (GameState::Open, GamePhase::ComeOut);
    go(step, "a game for its events", |conn| {
        let row = (
            games::id.eq("events"),
            games::state.eq(state),
            games::phase.eq(phase),
        );
        with_conn!(conn, |c| diesel::insert_into(games::table)
            .values(row)
            .execute(c))?;
        Ok(())
    });
    let created = NewGameEvent::from(&GameEvent::GameCreated {
        state,
        phase,
        pot: 0,
    });
    go(step, "events: append", |conn| {
        EventStore::append(
            conn,
            "events",
            Expected::Any,
            std::slice::from_ref(&created),
            at(0),
        )
    });
    go(step, "events: version", |conn| {
        EventStore::version(conn, "events")
    });
    go(step, "event store: read", |conn| {
        EventStore::read(conn, "events", 1, 10)
    });
    go(step, "events: replay", |conn| {
        EventStore::replay(conn, "events", Until::Newest)
    });
    go(step, "events: replay to a moment", |conn| {
        EventStore::replay(conn, "events", Until::Time(at(1)))
    });
    go(step, "events: snapshot", |conn| {
        EventStore::snapshot(conn, "events", at(1))
    });
    go(step, "audit: find", |conn| AuditRepository::find(conn, 1));
    let page = PageRequest::default();
    let filter = AuditFilter::default();
    go(step, "audit: list", |conn| {
        AuditRepository::list(conn, &filter, &page)
    });
    let span = AuditFilter {
        since: Some(at(0)),
        ..filter.clone()
    };
    go(step, "audit: list of a span", |conn| {
        AuditRepository::list(conn, &span, &page)
    });
    let entity = AuditFilter {
        entity_type: Some("users".into()),
        entity_id: Some("u1".into()),
        ..filter
    };
    go(step, "audit: list of a row", |conn| {
        AuditRepository::list(conn, &entity, &page)
    });
    go(step, "audit: boundary", |conn| {
        AuditRepository::boundary(conn)
    });
    go(step, "audit: seal", |conn| {
        AuditRepository::seal(conn, 1, 1, at(1))
    });
    go(step, "audit: seal on", |conn| {
        AuditRepository::seal(conn, 2, 1, at(1))
    });
    go(step, "audit: verify", |conn| {
        AuditRepository::verify(conn, &[])
    });
}

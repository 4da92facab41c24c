//! Keys and other texts by which something is looked for, listed, changed or removed.

use std::time::Duration;

use db_repo::{
    AssetRepository, AuditFilter, AuditRepository, BetRepository, ConsensusRepository,
    EventRepository, EventStore, Expected, GameRepository, HouseGameRepository, MetricsRepository,
    NotificationRepository, PageRequest, PeerRepository, ProfileRepository, SessionRepository,
    SettingsRepository, SnapshotFilter, StatsRepository, TokenRepository, TransactionRepository,
    Until, UsageSnapshotRepository, UserRepository, WorldRepository,
};
use db_schema::rows::{GamePhase, PeerState, ProfileChanges, UserChanges};

use super::Door;
use crate::support::at;

/// PostgreSQL has no text that holds it.
const NUL: &str = "a\0b";

fn page() -> PageRequest {
    PageRequest::default()
}

fn by(set: impl Fn(&mut AuditFilter)) -> AuditFilter {
    let mut filter = AuditFilter::default();
    set(&mut filter);
    filter
}

/// A call, and the field that its refusal has to name.
macro_rules! sought {
    ($field:literal, |$conn:ident| $call:expr) => {
        Door::new(stringify!($call), $field, |$conn| $call.map(drop))
    };
}

#[expect(clippy::too_many_lines, reason = "one table, line by line")]
pub(super) fn doors() -> Vec<Door> {
    vec![
        sought!("location", |conn| AssetRepository::find_by_location(
            conn, NUL
        )),
        sought!("kind", |conn| AssetRepository::list_by_kind(
            conn,
            NUL,
            &page()
        )),
        sought!("game_id", |conn| BetRepository::list_by_game(
            conn,
            NUL,
            &page()
        )),
        sought!("player_id", |conn| BetRepository::list_by_player(
            conn,
            NUL,
            &page()
        )),
        sought!("game_id", |conn| BetRepository::list_open_by_game(
            conn,
            NUL,
            &page()
        )),
        sought!("game_id", |conn| ConsensusRepository::list_by_game(
            conn,
            NUL,
            &page()
        )),
        sought!("voter_id", |conn| ConsensusRepository::find_vote(
            conn, 1, NUL
        )),
        sought!("game_id", |conn| EventStore::append(
            conn,
            NUL,
            Expected::Any,
            &[],
            at(0)
        )),
        sought!("game_id", |conn| EventStore::read(conn, NUL, 1, 1)),
        sought!("game_id", |conn| EventStore::version(conn, NUL)),
        sought!("game_id", |conn| EventStore::replay(
            conn,
            NUL,
            Until::Newest
        )),
        sought!("game_id", |conn| EventStore::snapshot(conn, NUL, at(0))),
        sought!("id", |conn| GameRepository::find(conn, NUL)),
        sought!("id", |conn| GameRepository::get(conn, NUL)),
        sought!("id", |conn| GameRepository::start(conn, NUL, at(0))),
        sought!("id", |conn| GameRepository::advance_phase(
            conn,
            NUL,
            GamePhase::Point,
            at(0)
        )),
        sought!("user_id", |conn| HouseGameRepository::list(
            conn,
            NUL,
            &page()
        )),
        sought!("session_id", |conn| HouseGameRepository::list_by_session(
            conn,
            NUL,
            &page()
        )),
        sought!("name", |conn| MetricsRepository::list(
            conn,
            NUL,
            at(0)..at(1),
            &page()
        )),
        sought!("name", |conn| MetricsRepository::find_latest(conn, NUL)),
        sought!("name", |conn| MetricsRepository::roll_up(
            conn,
            NUL,
            at(0)..at(1),
            Duration::from_secs(1)
        )),
        sought!("user_id", |conn| NotificationRepository::list(
            conn,
            NUL,
            &page()
        )),
        sought!("user_id", |conn| NotificationRepository::count_unread(
            conn, NUL
        )),
        sought!("user_id", |conn| NotificationRepository::mark_read(
            conn,
            NUL,
            1,
            at(0)
        )),
        sought!("user_id", |conn| NotificationRepository::mark_all_read(
            conn,
            NUL,
            at(0)
        )),
        sought!("id", |conn| PeerRepository::find(conn, NUL)),
        sought!("id", |conn| PeerRepository::get(conn, NUL)),
        sought!("id", |conn| PeerRepository::update_state(
            conn,
            NUL,
            PeerState::Banned
        )),
        sought!("id", |conn| PeerRepository::delete(conn, NUL)),
        sought!("id", |conn| PeerRepository::exists(conn, NUL)),
        sought!("peer_id", |conn| PeerRepository::connect(
            conn,
            NUL,
            "a:1",
            at(0)
        )),
        sought!("address", |conn| PeerRepository::connect(
            conn,
            "p1",
            NUL,
            at(0)
        )),
        sought!("failure_reason", |conn| PeerRepository::record_failure(
            conn,
            1,
            NUL,
            at(0)
        )),
        sought!("peer_id", |conn| PeerRepository::list_connections(
            conn,
            NUL,
            &page()
        )),
        sought!("user_id", |conn| ProfileRepository::find(conn, NUL)),
        sought!("user_id", |conn| ProfileRepository::get(conn, NUL)),
        sought!("user_id", |conn| ProfileRepository::update(
            conn,
            NUL,
            &ProfileChanges::default(),
            at(0)
        )),
        sought!("user_id", |conn| ProfileRepository::update_email_verified(
            conn,
            NUL,
            true,
            at(0)
        )),
        sought!("user_id", |conn| ProfileRepository::update_phone_verified(
            conn,
            NUL,
            true,
            at(0)
        )),
        sought!("user_id", |conn| ProfileRepository::delete(conn, NUL)),
        sought!("user_id", |conn| ProfileRepository::exists(conn, NUL)),
        sought!("session_id", |conn| SessionRepository::end(
            conn,
            NUL,
            at(0)
        )),
        sought!("session_id", |conn| SessionRepository::find(conn, NUL)),
        sought!("session_id", |conn| SessionRepository::get(conn, NUL)),
        sought!("session_id", |conn| SessionRepository::delete(conn, NUL)),
        sought!("session_id", |conn| SessionRepository::exists(conn, NUL)),
        sought!("session_id", |conn| EventRepository::list_by_session(
            conn,
            NUL,
            &page()
        )),
        sought!("event_type", |conn| EventRepository::list_by_type(
            conn,
            NUL,
            &page()
        )),
        sought!("session_id", |conn| {
            UsageSnapshotRepository::list_by_session(conn, NUL, &page())
        }),
        sought!("session_id", |conn| UsageSnapshotRepository::list(
            conn,
            &SnapshotFilter::recent(at(0)).session(NUL),
            &page()
        )),
        sought!("setting_key", |conn| SettingsRepository::find::<i64>(
            conn, NUL
        )),
        sought!("setting_key", |conn| SettingsRepository::get::<i64>(
            conn, NUL
        )),
        sought!("setting_key", |conn| SettingsRepository::find_row(
            conn, NUL
        )),
        sought!("setting_key", |conn| SettingsRepository::set(
            conn,
            NUL,
            &1,
            at(0)
        )),
        sought!("setting_value", |conn| SettingsRepository::set(
            conn,
            "a",
            NUL,
            at(0)
        )),
        sought!("setting_key", |conn| SettingsRepository::compare_and_set(
            conn,
            NUL,
            None,
            &1,
            at(0)
        )),
        sought!("setting_value", |conn| SettingsRepository::compare_and_set(
            conn,
            "a",
            Some(NUL),
            "b",
            at(0)
        )),
        sought!("setting_key", |conn| SettingsRepository::list(
            conn,
            NUL,
            &page()
        )),
        sought!("setting_key", |conn| SettingsRepository::delete(conn, NUL)),
        sought!("setting_key", |conn| SettingsRepository::exists(conn, NUL)),
        sought!("player_id", |conn| StatsRepository::find_player(conn, NUL)),
        sought!("game_id", |conn| StatsRepository::find_game(conn, NUL)),
        sought!("user_id", |conn| TokenRepository::find(conn, NUL)),
        sought!("user_id", |conn| TokenRepository::get(conn, NUL)),
        sought!("id", |conn| TokenRepository::find_position(conn, NUL)),
        sought!("user_id", |conn| TokenRepository::list_positions(
            conn,
            NUL,
            &page()
        )),
        sought!("user_id", |conn| TransactionRepository::list(
            conn,
            NUL,
            &page()
        )),
        sought!("reference_id", |conn| {
            TransactionRepository::list_by_reference(conn, NUL, &page())
        }),
        sought!("user_id", |conn| TransactionRepository::balances_at(
            conn,
            NUL,
            at(0)
        )),
        sought!("id", |conn| UserRepository::find(conn, NUL)),
        sought!("id", |conn| UserRepository::get(conn, NUL)),
        sought!("username", |conn| UserRepository::find_by_username(
            conn, NUL
        )),
        sought!("id", |conn| UserRepository::update(
            conn,
            NUL,
            &UserChanges::default(),
            at(0)
        )),
        sought!("id", |conn| UserRepository::update_reputation(
            conn,
            NUL,
            1.0,
            at(0)
        )),
        sought!("id", |conn| UserRepository::delete(conn, NUL)),
        sought!("id", |conn| UserRepository::exists(conn, NUL)),
        sought!("name", |conn| WorldRepository::find_by_name(conn, NUL)),
        sought!("object_type", |conn| WorldRepository::list_objects_by_type(
            conn,
            1,
            NUL,
            &page()
        )),
        sought!("user_id", |conn| AuditRepository::list(
            conn,
            &by(|filter| filter.user_id = Some(NUL.into())),
            &page()
        )),
        sought!("entity_type", |conn| AuditRepository::list(
            conn,
            &by(|filter| filter.entity_type = Some(NUL.into())),
            &page()
        )),
        sought!("entity_id", |conn| AuditRepository::list(
            conn,
            &by(|filter| (filter.entity_type, filter.entity_id) =
                (Some("users".into()), Some(NUL.into()))),
            &page()
        )),
    ]
}

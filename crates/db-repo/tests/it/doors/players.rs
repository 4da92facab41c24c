//! Players, and their games.

use db_repo::{
    BetRepository, EventStore, Expected, GameRepository, NotificationRepository, ProfileRepository,
    UserRepository,
};
use db_schema::rows::{Bet, BetOutcome, BetType, NewGameEvent, ProfileChanges, UserChanges};
use db_schema::types::Json;
use serde_json::json;

use super::Door;
use super::wrong::{NO_NUMBERS, Writes, door};
use crate::money::table::bet_id;
use crate::notifications::message;
use crate::rows::{new_game, new_profile};
use crate::support::{at, new_user};

pub(super) fn doors() -> Vec<Door> {
    let mut doors = players();
    doors.extend(games());
    doors
}

fn players() -> Vec<Door> {
    let users = Writes::of(new_user("u1", 0))
        .by(door!(|conn, new| UserRepository::create(conn, new)))
        .by(door!(|conn, new| UserRepository::create_many(
            conn,
            std::slice::from_ref(new)
        )))
        .key("id", |new, text| new.id = text)
        .name("username", |new, text| new.username = text)
        .bytes("public_key", &[0, 4_097], |new, bytes| {
            new.public_key = bytes;
        })
        .moment("created_at", |new, at| new.created_at = at);
    let changes = Writes::of(UserChanges::default())
        .by(door!(|conn, new| UserRepository::update(
            conn,
            "u1",
            new,
            at(0)
        )))
        .name("username", |new, text| new.username = Some(text))
        .bytes("public_key", &[0, 4_097], |new, bytes| {
            new.public_key = Some(bytes);
        })
        .floats("reputation", &NO_NUMBERS, |new, n| new.reputation = Some(n));
    let reputation = Writes::of(0.0)
        .by(door!(|conn, n| UserRepository::update_reputation(
            conn,
            "u1",
            *n,
            at(0)
        )))
        .floats("reputation", &NO_NUMBERS, |new, n| *new = n)
        .floats("reputation", &[1.1e308, f64::MIN], |new, n| *new = n);
    let profiles = Writes::of(new_profile("u1", 1, 0))
        .by(door!(|conn, new| ProfileRepository::create(conn, new)))
        .by(door!(|conn, new| ProfileRepository::upsert(conn, new)))
        .key("user_id", |new, text| new.user_id = text)
        .numbers("telegram_id", &[0, -1, i64::MIN], |new, n| {
            new.telegram_id = n;
        })
        .text("username", |new, text| new.username = Some(text))
        .text("first_name", |new, text| new.first_name = Some(text))
        .text("last_name", |new, text| new.last_name = Some(text))
        .text("language_code", |new, text| new.language_code = Some(text))
        .json("metadata", |new, json| new.metadata = Some(json))
        .moment("created_at", |new, at| new.created_at = at);
    let profile_changes = Writes::of(ProfileChanges::default())
        .by(door!(|conn, new| ProfileRepository::update(
            conn,
            "u1",
            new,
            at(0)
        )))
        .numbers("telegram_id", &[0, -1, i64::MIN], |new, n| {
            new.telegram_id = Some(n);
        })
        .text("username", |new, text| new.username = Some(Some(text)))
        .text("first_name", |new, text| new.first_name = Some(Some(text)))
        .text("last_name", |new, text| new.last_name = Some(Some(text)))
        .text("language_code", |new, text| {
            new.language_code = Some(Some(text));
        })
        .json("metadata", |new, json| new.metadata = Some(Some(json)));
    let messages = Writes::of(message("u1", 0))
        .by(door!(|conn, new| NotificationRepository::create(conn, new)))
        .by(door!(|conn, new| NotificationRepository::create_many(
            conn,
            std::slice::from_ref(new)
        )))
        .key("user_id", |new, text| new.user_id = text)
        .text("title", |new, text| new.title = text)
        .prose("message", |new, text| new.message = text)
        .json("metadata", |new, json| new.metadata = Some(json))
        .moment("created_at", |new, at| new.created_at = at);
    let all = [
        users.doors(),
        changes.doors(),
        reputation.doors(),
        profiles.doors(),
        profile_changes.doors(),
        messages.doors(),
    ];
    all.into_iter().flatten().collect()
}

fn games() -> Vec<Door> {
    let games = Writes::of(new_game("g1", 0))
        .by(door!(|conn, new| GameRepository::create(conn, new)))
        .key("id", |new, text| new.id = text)
        .moment("created_at", |new, at| new.created_at = at);
    let bet = Bet {
        id: bet_id(1),
        game_id: "g1".to_owned(),
        player_id: "u1".to_owned(),
        bet_type: BetType::Pass,
        amount: 1,
        outcome: Some(BetOutcome::Won),
        created_at: at(0),
        resolved_at: Some(at(1)),
    };
    let bets = Writes::of(bet)
        .by(door!(|conn, new| BetRepository::create_many(
            conn,
            std::slice::from_ref(new)
        )))
        .key("game_id", |new, text| new.game_id = text)
        .key("player_id", |new, text| new.player_id = text)
        .numbers("amount", &[0, -1, i64::MIN], |new, n| new.amount = n)
        .with("outcome", |new| new.outcome = None)
        .with("resolved_at", |new| new.resolved_at = None)
        .with("resolved_at", |new| new.resolved_at = Some(at(-1)))
        .moment("created_at", |new, at| new.created_at = at);
    let event = NewGameEvent {
        event_type: "phase_changed".to_owned(),
        payload: Json(json!({})),
    };
    let events = Writes::of(event)
        .by(door!(|conn, new| EventStore::append(
            conn,
            "g1",
            Expected::Any,
            std::slice::from_ref(new),
            at(0)
        )))
        .text("event_type", |new, text| new.event_type = text)
        .json("payload", |new, json| new.payload = json);
    let version = Writes::of(0)
        .by(door!(|conn, n| EventStore::append(
            conn,
            "g1",
            Expected::Version(*n),
            &[],
            at(0)
        )))
        .numbers("version", &[-1, i64::MIN], |new, n| *new = n);
    let limit = Writes::of(0)
        .by(door!(|conn, n| EventStore::read(conn, "g1", 1, *n)))
        .numbers("limit", &[0, -1, 1_001], |new, n| *new = n);
    let all = [
        games.doors(),
        bets.doors(),
        events.doors(),
        version.doors(),
        limit.doors(),
    ];
    all.into_iter().flatten().collect()
}

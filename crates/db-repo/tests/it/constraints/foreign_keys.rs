//! Foreign keys, by who refers to nobody.

use db_repo::{
    BetRepository, ConsensusRepository, EventRepository, EventStore, Expected,
    NotificationRepository, OutboxRepository, PeerRepository, ProfileRepository,
    UsageSnapshotRepository, WorldRepository, money,
};
use db_schema::rows::{Bet, BetOutcome, ConsensusVote, NewConsensusRound, Position};

use super::Meant::{self, Never, Refused};
use super::OF_A_NEW_GAME;
use super::rows::{first_vote, past};
use crate::event_store::created;
use crate::money::table::{bet, deposit, end, house_game, result, stake, transfer};
use crate::notifications::message;
use crate::outbox::entry;
use crate::rows::{event, new_profile, object, round, snapshot};
use crate::support::at;

#[expect(clippy::too_many_lines, reason = "one table, line by line")]
pub(super) fn meant() -> Vec<(&'static str, Meant)> {
    vec![
        (
            "fk_account_entries_account_id",
            Never("a pot comes with its game, the others with the schema"),
        ),
        ("fk_accounts_game_id", Never(OF_A_NEW_GAME)),
        (
            "fk_bets_game_id",
            Refused("game_id: there is no game g9", |conn| {
                let other = Bet {
                    game_id: "g9".into(),
                    ..past()
                };
                BetRepository::create_many(conn, &[other]).map(drop)
            }),
        ),
        (
            "fk_bets_player_id",
            Refused("player_id: there is no user eve", |conn| {
                let other = Bet {
                    player_id: "eve".into(),
                    ..past()
                };
                BetRepository::create_many(conn, &[other]).map(drop)
            }),
        ),
        (
            "fk_consensus_rounds_game_id",
            Refused("game_id: there is no game g9", |conn| {
                let other = NewConsensusRound {
                    game_id: Some("g9".into()),
                    ..round(2)
                };
                ConsensusRepository::start_round(conn, &other).map(drop)
            }),
        ),
        (
            "fk_consensus_votes_round_number",
            Refused("there is no consensus round 9", |conn| {
                ConsensusRepository::vote(
                    conn,
                    &ConsensusVote {
                        round_number: 9,
                        ..first_vote()
                    },
                )
                .map(drop)
            }),
        ),
        (
            "fk_events_session_id",
            Refused("session_id: there is no session s9", |conn| {
                EventRepository::record(conn, &event("s9", "start", 0)).map(drop)
            }),
        ),
        (
            "fk_game_events_game_id",
            Refused("game_id: there is no game g9", |conn| {
                let events = [(&created()).into()];
                EventStore::append(conn, "g9", Expected::Any, &events, at(0)).map(drop)
            }),
        ),
        (
            "fk_game_players_game_id",
            Refused("there is no game g9", |conn| {
                money::place_bet(conn, &bet(9, "g9", "ada", 1), at(2)).map(drop)
            }),
        ),
        (
            "fk_game_players_player_id",
            Refused("there is no user eve", |conn| {
                money::place_bet(conn, &bet(9, "g1", "eve", 1), at(2)).map(drop)
            }),
        ),
        (
            "fk_game_snapshots_game_id",
            Never("of a game without events nothing is kept"),
        ),
        ("fk_game_statistics_game_id", Never(OF_A_NEW_GAME)),
        (
            "fk_games_winner_id",
            Refused("there is no user eve", |conn| {
                let results = vec![result(1, BetOutcome::Lost, 0)];
                money::settle_game(conn, &end("g1", results, Some("eve")), at(2)).map(drop)
            }),
        ),
        (
            "fk_house_games_user_id",
            Refused("there is no user eve", |conn| {
                money::play_house_game(conn, &house_game("h", "eve", (1, 2)), at(2)).map(drop)
            }),
        ),
        (
            "fk_notifications_user_id",
            Refused("user_id: there is no user eve", |conn| {
                NotificationRepository::create(conn, &message("eve", 0)).map(drop)
            }),
        ),
        (
            "fk_outbox_user_id",
            Refused("user_id: there is no user eve", |conn| {
                let mut new = entry(1, 0);
                new.user_id = Some("eve".into());
                OutboxRepository::enqueue(conn, &new).map(drop)
            }),
        ),
        (
            "fk_peer_connections_peer_id",
            Refused("there is no peer p9", |conn| {
                PeerRepository::connect(conn, "p9", "a:1", at(2)).map(drop)
            }),
        ),
        (
            "fk_player_statistics_player_id",
            Refused("there is no user eve", |conn| {
                money::place_bet(conn, &bet(9, "g1", "eve", 1), at(2)).map(drop)
            }),
        ),
        (
            "fk_staking_positions_user_id",
            Refused("there is no user eve", |conn| {
                money::stake(conn, &stake("new", "p9", "eve", 1), at(2)).map(drop)
            }),
        ),
        (
            "fk_telegram_profiles_user_id",
            Refused("user_id: there is no user eve", |conn| {
                ProfileRepository::create(conn, &new_profile("eve", 9, 0)).map(drop)
            }),
        ),
        (
            "fk_token_balances_user_id",
            Refused("there is no user eve", |conn| {
                money::deposit(conn, &deposit("d", "eve", 1), at(2)).map(drop)
            }),
        ),
        (
            "fk_transactions_user_id",
            Refused("there is no user eve", |conn| {
                money::transfer(conn, &transfer("t", "ada", "eve", 1), at(2)).map(drop)
            }),
        ),
        (
            "fk_usage_snapshots_session_id",
            Refused("session_id: there is no session s9", |conn| {
                UsageSnapshotRepository::create(conn, &snapshot("s9", 0)).map(drop)
            }),
        ),
        (
            "fk_world_objects_world_id",
            Refused("world_id: there is no world 999", |conn| {
                let new = object(999, "t", Position::default());
                WorldRepository::create_object(conn, &new).map(drop)
            }),
        ),
    ]
}

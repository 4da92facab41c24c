//! Primary keys, unique constraints and unique indexes.

use db_repo::{
    AssetRepository, ConsensusRepository, GameRepository, ProfileRepository, SessionRepository,
    UsageConfigRepository, UserRepository, WorldRepository, money,
};
use db_schema::rows::{ConsensusVote, UsageConfigChanges};

use super::Meant::{self, Never, Refused};
use super::rows::first_vote;
use super::{OF_A_NEW_GAME, TRIGGER};
use crate::money::table::{bet, deposit, stake};
use crate::rows::{asset, new_game, new_profile, new_session, new_world, round};
use crate::support::{at, new_user};

const NUMBERED: &str = "the database gives the key";
const UPSERT: &str = "the statement takes whatever row is there";
const RACE: &str = "it is a race, which ends as `Serialization` and begins again: \
    `of_rivals_each_is_counted_and_one_is_first`, `two_programs_cannot_make_one_seal`";

#[expect(clippy::too_many_lines, reason = "one table, line by line")]
pub(super) fn meant() -> Vec<(&'static str, Meant)> {
    vec![
        ("pk_account_entries", Never(NUMBERED)),
        ("uq_accounts_game_id", Never(OF_A_NEW_GAME)),
        ("pk_accounts", Never(OF_A_NEW_GAME)),
        ("pk_assets", Never(NUMBERED)),
        (
            "uq_assets_location",
            Refused("the location s3://a is taken", |conn| {
                AssetRepository::create(conn, &asset("b", "s3://a")).map(drop)
            }),
        ),
        (
            "pk_audit_context",
            Never("one row, which its migration writes"),
        ),
        ("pk_audit_logs", Never(TRIGGER)),
        ("pk_audit_seals", Never(RACE)),
        ("uq_audit_seals_last_id", Never(RACE)),
        (
            "pk_bets",
            Refused(
                "there is a bet 00000000-0000-0000-0000-000000000001 already",
                |conn| {
                    let again = money::PlaceBet {
                        reference: "again".into(),
                        ..bet(1, "g1", "bob", 5)
                    };
                    money::place_bet(conn, &again, at(2)).map(drop)
                },
            ),
        ),
        (
            "pk_consensus_rounds",
            Refused("there is a consensus round 1 already", |conn| {
                ConsensusRepository::start_round(conn, &round(1)).map(drop)
            }),
        ),
        (
            "pk_consensus_votes",
            Refused("there is a vote v1 already", |conn| {
                let other = ConsensusVote {
                    voter_id: "p2".into(),
                    ..first_vote()
                };
                ConsensusRepository::vote(conn, &other).map(drop)
            }),
        ),
        (
            "uq_consensus_votes_round_number_voter_id",
            Refused("p1 has voted in round 1 already", |conn| {
                ConsensusRepository::vote(
                    conn,
                    &ConsensusVote {
                        id: "v2".into(),
                        ..first_vote()
                    },
                )
                .map(drop)
            }),
        ),
        ("pk_events", Never(NUMBERED)),
        ("pk_game_events", Never(RACE)),
        ("pk_game_players", Never(UPSERT)),
        ("pk_game_snapshots", Never(UPSERT)),
        ("pk_game_statistics", Never(OF_A_NEW_GAME)),
        (
            "pk_games",
            Refused("there is a game g1 already", |conn| {
                GameRepository::create(conn, &new_game("g1", 0)).map(drop)
            }),
        ),
        ("pk_house_games", Never(NUMBERED)),
        ("pk_notifications", Never(NUMBERED)),
        (
            "pk_operations",
            Refused(
                "there was a deposit under the reference start ada with another content",
                |conn| money::deposit(conn, &deposit("start ada", "ada", 7), at(2)).map(drop),
            ),
        ),
        ("pk_outbox", Never(NUMBERED)),
        ("pk_peer_connections", Never(NUMBERED)),
        ("pk_peers", Never(UPSERT)),
        ("pk_performance_metrics", Never(NUMBERED)),
        ("pk_player_statistics", Never(UPSERT)),
        (
            "pk_sessions",
            Refused("there is a session s1 already", |conn| {
                SessionRepository::start(conn, &new_session("s1", 0)).map(drop)
            }),
        ),
        ("pk_settings", Never(NUMBERED)),
        ("uq_settings_setting_key", Never(UPSERT)),
        (
            "pk_staking_positions",
            Refused("there is a staking position p1 already", |conn| {
                money::stake(conn, &stake("again", "p1", "bob", 10), at(2)).map(drop)
            }),
        ),
        (
            "uq_telegram_profiles_telegram_id",
            Refused("the Telegram account 7 is taken", |conn| {
                ProfileRepository::create(conn, &new_profile("bob", 7, 0)).map(drop)
            }),
        ),
        (
            "pk_telegram_profiles",
            Refused("there is a profile ada already", |conn| {
                ProfileRepository::create(conn, &new_profile("ada", 8, 0)).map(drop)
            }),
        ),
        ("pk_token_balances", Never(UPSERT)),
        ("pk_transactions", Never(NUMBERED)),
        ("pk_usage_config", Never(NUMBERED)),
        ("pk_usage_snapshots", Never(NUMBERED)),
        (
            "idx_usage_config_active",
            Refused(
                "there is a usage configuration that is active already",
                |conn| {
                    UsageConfigRepository::create(conn, &UsageConfigChanges::default(), at(2))
                        .map(drop)
                },
            ),
        ),
        (
            "pk_users",
            Refused("there is a user ada already", |conn| {
                UserRepository::create(conn, &new_user("ada", 0)).map(drop)
            }),
        ),
        (
            "uq_users_username",
            Refused("the username name of ada is taken", |conn| {
                let mut other = new_user("dot", 0);
                other.username = "name of ada".into();
                UserRepository::create(conn, &other).map(drop)
            }),
        ),
        ("pk_world_objects", Never(NUMBERED)),
        ("pk_worlds", Never(NUMBERED)),
        (
            "uq_worlds_name",
            Refused("the world name w is taken", |conn| {
                WorldRepository::create(conn, &new_world("w")).map(drop)
            }),
        ),
    ]
}

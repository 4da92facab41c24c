//! Checks: those that input can break are found at the door, before the database is asked.

use db_repo::{
    AssetRepository, BetRepository, ConsensusRepository, MetricsRepository, PeerRepository,
    UsageConfigRepository, UserRepository, WorldRepository, money,
};
use db_schema::constraints::CHECK;
use db_schema::rows::{Bet, BetOutcome, NewAsset, NewWorldObject, Position, UsageConfigChanges};

use super::Meant::{self, Never, Refused};
use super::TRIGGER;
use super::rows::past;
use crate::money::table::{house_game, stake, verdict, withdraw};
use crate::rows::{asset, new_world, object, round, sample};
use crate::support::at;

const BOOKS: &str = "follows from the balance before, which a conditional update has changed";
const COUNTED: &str = "begins at nothing or one, and grows";
const ENUM: &str = "the word of an enum";
const GIVEN_BACK: &str = "no more is given back than a bet, a hold or a position took";
const SEALED: &str = "follows from the lines, of which there is one at least";
const TOGETHER: &str = "one statement sets both";

pub(super) fn meant() -> Vec<(&'static str, Meant)> {
    let mut meant = written();
    meant.extend(found());
    // What the type of a column says, no text can break.
    let typed = CHECK.iter().map(|row| row.2);
    let typed = typed.filter(|name| name.ends_with("_json") || name.ends_with("_bool"));
    meant.extend(typed.map(|name| (name, Never("the type of the column"))));
    meant
}

/// What input has nothing to do with.
#[expect(clippy::too_many_lines, reason = "one table, line by line")]
fn written() -> Vec<(&'static str, Meant)> {
    let of = |why: &'static str, names: &[&'static str]| -> Vec<_> {
        names.iter().map(|name| (*name, Never(why))).collect()
    };
    [
        of(
            BOOKS,
            &[
                "ck_account_entries_balance",
                "ck_account_entries_balance_after",
                "ck_account_entries_balance_before",
                "ck_account_entries_id",
                "ck_games_pot_size",
                "ck_transactions_balance",
                "ck_transactions_balance_after",
                "ck_transactions_balance_before",
                "ck_transactions_id",
            ],
        ),
        of(
            GIVEN_BACK,
            &[
                "ck_token_balances_locked_balance",
                "ck_token_balances_staked_balance",
            ],
        ),
        of(
            TRIGGER,
            &[
                "ck_audit_logs_action",
                "ck_audit_logs_after_state",
                "ck_audit_logs_before_state",
                "ck_audit_logs_id",
            ],
        ),
        of(
            "one row, which its migration writes",
            &["ck_audit_context_one_row"],
        ),
        of(
            SEALED,
            &[
                "ck_audit_seals_first_id",
                "ck_audit_seals_hash",
                "ck_audit_seals_id",
                "ck_audit_seals_previous_hash",
                "ck_audit_seals_row_count",
            ],
        ),
        of(
            COUNTED,
            &[
                "ck_consensus_rounds_vote_count",
                "ck_game_events_version",
                "ck_game_snapshots_version",
                "ck_game_statistics_bet_count",
                "ck_game_statistics_biggest_win",
                "ck_game_statistics_player_count",
                "ck_game_statistics_total_wagered",
                "ck_game_statistics_total_won",
                "ck_peers_bytes_received",
                "ck_peers_bytes_sent",
                "ck_peers_failure_count",
                "ck_player_statistics_bet_count",
                "ck_player_statistics_bets_won",
                "ck_player_statistics_biggest_win",
                "ck_player_statistics_games_played",
                "ck_player_statistics_games_won",
                "ck_player_statistics_longest_losing_streak",
                "ck_player_statistics_longest_winning_streak",
                "ck_player_statistics_total_wagered",
                "ck_player_statistics_total_won",
                "ck_staking_positions_claimed_rewards",
            ],
        ),
        of(
            TOGETHER,
            &[
                "ck_accounts_game_id",
                "ck_consensus_rounds_finalized",
                "ck_notifications_read_at",
                "ck_outbox_next_retry_at",
                "ck_staking_positions_ends_at",
            ],
        ),
        of(
            ENUM,
            &[
                "ck_accounts_kind",
                "ck_outbox_status",
                "ck_peer_connections_state",
                "ck_peers_state",
                "ck_transactions_status",
                "ck_usage_config_plan",
                "ck_usage_config_theme",
                "ck_usage_config_time_format",
                "ck_usage_config_view",
                "ck_usage_snapshots_snapshot_type",
            ],
        ),
        of("it is SHA-256", &["ck_operations_content_hash"]),
        of(
            "a schedule has fewer: `there_is_at_least_one_attempt`",
            &["ck_outbox_attempts"],
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What is found at the door.
#[expect(clippy::too_many_lines, reason = "one table, line by line")]
fn found() -> Vec<(&'static str, Meant)> {
    vec![
        (
            "ck_accounts_balance",
            Refused("the house has 500, which is less than 10000", |conn| {
                money::resolve_bet(conn, &verdict(1, BetOutcome::Won, 10_000), at(2)).map(drop)
            }),
        ),
        (
            "ck_token_balances_balance",
            Refused("user ada has 890, which is less than 5000", |conn| {
                money::withdraw(conn, &withdraw("w", "ada", 5_000), at(2)).map(drop)
            }),
        ),
        (
            "ck_assets_kind_length",
            Refused(
                "kind: must be a letter and up to 49 more letters, digits, _, - or .",
                |conn| {
                    let wrong = NewAsset {
                        kind: "k".repeat(51),
                        ..asset("b", "s3://b")
                    };
                    AssetRepository::create(conn, &wrong).map(drop)
                },
            ),
        ),
        (
            "ck_assets_name_length",
            Refused("name: needs 1 to 255 characters, has 256", |conn| {
                let wrong = NewAsset {
                    name: "n".repeat(256),
                    ..asset("b", "s3://b")
                };
                AssetRepository::create(conn, &wrong).map(drop)
            }),
        ),
        (
            "ck_assets_size_bytes",
            Refused(
                "size_bytes: must be from 0 to 9223372036854775807, is -1",
                |conn| {
                    AssetRepository::create(
                        conn,
                        &NewAsset {
                            size_bytes: -1,
                            ..asset("b", "s3://b")
                        },
                    )
                    .map(drop)
                },
            ),
        ),
        (
            "ck_bets_amount",
            Refused("amount: must be above 0, is 0", |conn| {
                BetRepository::create_many(
                    conn,
                    &[Bet {
                        amount: 0,
                        ..past()
                    }],
                )
                .map(drop)
            }),
        ),
        (
            "ck_consensus_rounds_round_number",
            Refused(
                "round_number: must be from 0 to 9223372036854775806, is -1",
                |conn| ConsensusRepository::start_round(conn, &round(-1)).map(drop),
            ),
        ),
        (
            "ck_house_games_bet_amount",
            Refused(
                "bet_amount: must be from 1 to 9000000000000000, is -1",
                |conn| {
                    money::play_house_game(conn, &house_game("h", "ada", (-1, 0)), at(2)).map(drop)
                },
            ),
        ),
        (
            "ck_house_games_payout_amount",
            Refused(
                "payout_amount: must be from 0 to 9000000000000000, is -1",
                |conn| {
                    money::play_house_game(conn, &house_game("h", "ada", (1, -1)), at(2)).map(drop)
                },
            ),
        ),
        (
            "ck_house_games_multiplier",
            Refused("multiplier: must be from 0.0 to 1e308, is -0.5", |conn| {
                let wrong = money::PlayHouseGame {
                    multiplier: -0.5,
                    ..house_game("h", "ada", (1, 0))
                };
                money::play_house_game(conn, &wrong, at(2)).map(drop)
            }),
        ),
        (
            "ck_house_games_house_edge",
            Refused("house_edge: must be from -1.0 to 1.0, is 1.5", |conn| {
                let wrong = money::PlayHouseGame {
                    house_edge: 1.5,
                    ..house_game("h", "ada", (1, 0))
                };
                money::play_house_game(conn, &wrong, at(2)).map(drop)
            }),
        ),
        (
            "ck_peer_connections_bytes_sent",
            Refused(
                "bytes_sent: must be from 0 to 9223372036854775807, is -1",
                |conn| PeerRepository::record_bytes(conn, 1, -1, 0),
            ),
        ),
        (
            "ck_peer_connections_bytes_received",
            Refused(
                "bytes_received: must be from 0 to 9223372036854775807, is -1",
                |conn| PeerRepository::record_bytes(conn, 1, 0, -1),
            ),
        ),
        (
            "ck_peer_connections_latency_us",
            Refused(
                "latency_us: must be from 0 to 9223372036854775807, is -1",
                |conn| PeerRepository::record_latency(conn, 1, -1, at(2)),
            ),
        ),
        (
            "ck_peers_latency_us",
            Refused(
                "latency_us: must be from 0 to 9223372036854775807, is -2",
                |conn| PeerRepository::record_latency(conn, 1, -2, at(2)),
            ),
        ),
        (
            "ck_performance_metrics_value",
            Refused("value: must be a finite number up to 1e288", |conn| {
                MetricsRepository::record(conn, &sample("cpu", f64::INFINITY, 0)).map(drop)
            }),
        ),
        (
            "ck_staking_positions_amount",
            Refused("amount: must be from 1 to 9000000000000000, is 0", |conn| {
                money::stake(conn, &stake("new", "p2", "ada", 0), at(2)).map(drop)
            }),
        ),
        (
            "ck_staking_positions_lock_period_days",
            Refused("lock_period_days: must be from 0 to 36500, is -1", |conn| {
                let wrong = money::Stake {
                    lock_period_days: -1,
                    ..stake("new", "p2", "ada", 1)
                };
                money::stake(conn, &wrong, at(2)).map(drop)
            }),
        ),
        (
            "ck_staking_positions_reward_rate",
            Refused(
                "reward_rate: must be from 0.0 to 1000000.0, is NaN",
                |conn| {
                    let wrong = money::Stake {
                        reward_rate: f64::NAN,
                        ..stake("new", "p2", "ada", 1)
                    };
                    money::stake(conn, &wrong, at(2)).map(drop)
                },
            ),
        ),
        (
            "ck_usage_config_custom_limit_tokens",
            Refused(
                "custom_limit_tokens: must be from 1 to 9223372036854775807, is 0",
                |conn| {
                    let wrong = UsageConfigChanges {
                        custom_limit_tokens: Some(Some(0)),
                        ..unchanged()
                    };
                    UsageConfigRepository::update(conn, &wrong, at(2)).map(drop)
                },
            ),
        ),
        (
            "ck_usage_config_refresh_per_second",
            Refused(
                "refresh_per_second: must be from 0.1 to 20.0, is 20.5",
                |conn| {
                    let wrong = UsageConfigChanges {
                        refresh_per_second: Some(20.5),
                        ..unchanged()
                    };
                    UsageConfigRepository::update(conn, &wrong, at(2)).map(drop)
                },
            ),
        ),
        (
            "ck_usage_config_refresh_rate",
            Refused("refresh_rate: must be from 1 to 60, is 61", |conn| {
                let wrong = UsageConfigChanges {
                    refresh_rate: Some(61),
                    ..unchanged()
                };
                UsageConfigRepository::update(conn, &wrong, at(2)).map(drop)
            }),
        ),
        (
            "ck_usage_config_reset_hour",
            Refused("reset_hour: must be from 0 to 23, is 24", |conn| {
                let wrong = UsageConfigChanges {
                    reset_hour: Some(Some(24)),
                    ..unchanged()
                };
                UsageConfigRepository::update(conn, &wrong, at(2)).map(drop)
            }),
        ),
        (
            "ck_users_reputation",
            Refused("reputation: must be a finite number up to 1e308", |conn| {
                UserRepository::update_reputation(conn, "ada", f64::NAN, at(2))
            }),
        ),
        (
            "ck_world_objects_name_length",
            Refused("name: needs 1 to 255 characters, has 256", |conn| {
                let wrong = NewWorldObject {
                    name: "n".repeat(256),
                    ..object(1, "t", Position::default())
                };
                WorldRepository::create_object(conn, &wrong).map(drop)
            }),
        ),
        (
            "ck_world_objects_object_type_length",
            Refused(
                "object_type: must be a letter and up to 49 more letters, digits, _, - or .",
                |conn| {
                    let wrong = NewWorldObject {
                        object_type: "t".repeat(51),
                        ..object(1, "t", Position::default())
                    };
                    WorldRepository::create_object(conn, &wrong).map(drop)
                },
            ),
        ),
        (
            "ck_world_objects_position_x",
            Refused(NO_PLACE, |conn| {
                let wrong = NewWorldObject {
                    position: Position::new(f64::NAN, 0.0, 0.0),
                    ..object(1, "t", Position::default())
                };
                WorldRepository::create_object(conn, &wrong).map(drop)
            }),
        ),
        (
            "ck_world_objects_position_y",
            Refused(NO_PLACE, |conn| {
                let wrong = NewWorldObject {
                    position: Position::new(0.0, f64::MAX, 0.0),
                    ..object(1, "t", Position::default())
                };
                WorldRepository::create_object(conn, &wrong).map(drop)
            }),
        ),
        (
            "ck_world_objects_position_z",
            Refused(NO_PLACE, |conn| {
                let wrong = Position::new(0.0, 0.0, f64::NEG_INFINITY);
                WorldRepository::move_object(conn, 1, wrong, at(2))
            }),
        ),
        (
            "ck_worlds_name_length",
            Refused("name: needs 1 to 255 characters, has 256", |conn| {
                WorldRepository::create(conn, &new_world(&"w".repeat(256))).map(drop)
            }),
        ),
    ]
}

const NO_PLACE: &str = "position: must be a finite number up to 1e308";

fn unchanged() -> UsageConfigChanges {
    UsageConfigChanges::default()
}

//! The tables, as Diesel sees them on both engines.
//!
//! Written by `cargo xtask schema generate` from the catalog of PostgreSQL, which tells time,
//! truth and JSON apart, and checked against both. Not to be edited: change the migrations.
#![expect(
    missing_docs,
    reason = "a column without a comment is what its name says"
)]

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// One line in the ledger of an account. Never changed: a reversal is a line of its own.
    account_entries (id) {
        id -> BigInt,
        account_id -> Text,
        /// Open vocabulary, checked by the program.
        entry_type -> Text,
        /// Smallest unit of CRAP; negative when it leaves the account.
        amount -> BigInt,
        /// Smallest unit of CRAP.
        balance_before -> BigInt,
        /// Smallest unit of CRAP.
        balance_after -> BigInt,
        /// What the line belongs to: a bet, a game, a request, the line it reverses.
        reference_id -> Nullable<Text>,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// An account that is no player's: of the house, of the treasury, or the pot of a game. Its
    /// entries are its trail.
    accounts (id) {
        /// house, treasury, or pot: followed by the id of the game.
        id -> Text,
        kind -> Text,
        /// The game whose pot it is; NULL for the others.
        game_id -> Nullable<Text>,
        /// Smallest unit of CRAP.
        balance -> BigInt,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// What is known of a file that lies in an object store: the bytes themselves are not here.
    assets (id) {
        id -> BigInt,
        name -> Text,
        /// Open vocabulary, checked by the program.
        kind -> Text,
        /// URL or path in the object store.
        location -> Text,
        size_bytes -> BigInt,
        /// SHA-256 of the content.
        hash -> Binary,
        metadata -> JsonDoc,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// One line per changed row of an audited table, in the same transaction. Never changed. Names
    /// users without a foreign key, so that lines stay when a user goes.
    audit_logs (id) {
        id -> BigInt,
        /// Who did it; NULL when done by hand in a shell.
        user_id -> Nullable<Text>,
        action -> Text,
        /// Name of the table.
        entity_type -> Text,
        /// Primary key as text, bytes as lower-case hex; the old one if an update changed it.
        entity_id -> Text,
        /// The row before; NULL for an insert. Times are Unix microseconds, bytes lower-case hex.
        before_state -> Nullable<JsonDoc>,
        /// The row after; NULL for a delete. Same form.
        after_state -> Nullable<JsonDoc>,
        ip_address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        created_at -> UtcTimestamp,
        metadata -> Nullable<JsonDoc>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary};
    use crate::types::UtcTimestamp;

    /// A run of lines of `audit_logs` under one hash, which holds that of the seal before. Never
    /// changed.
    audit_seals (id) {
        /// Given by the program: 1, 2, 3 and so on.
        id -> BigInt,
        /// First line of `audit_logs` in it.
        first_id -> BigInt,
        /// Last line of `audit_logs` in it.
        last_id -> BigInt,
        row_count -> BigInt,
        /// The hash of all its lines, then id and short hash of each in order, to name the first
        /// bad one.
        marks -> Binary,
        /// The hash of the seal before; zeros in the first.
        previous_hash -> Binary,
        /// SHA-256.
        hash -> Binary,
        sealed_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// A bet of one player in one game.
    bets (id) {
        id -> Binary,
        game_id -> Text,
        player_id -> Text,
        /// Open vocabulary, checked by the program.
        bet_type -> Text,
        /// Smallest unit of CRAP.
        amount -> BigInt,
        /// NULL until the bet is settled; open vocabulary.
        outcome -> Nullable<Text>,
        created_at -> UtcTimestamp,
        /// NULL until the bet is settled.
        resolved_at -> Nullable<UtcTimestamp>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// A round of consensus over one proposal.
    consensus_rounds (round_number) {
        /// Given by the protocol, not by the database.
        round_number -> BigInt,
        game_id -> Nullable<Text>,
        proposer_id -> Text,
        proposal_hash -> Binary,
        vote_count -> BigInt,
        finalized -> Bool,
        created_at -> UtcTimestamp,
        /// Set exactly when finalized is.
        finalized_at -> Nullable<UtcTimestamp>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Text};
    use crate::types::UtcTimestamp;

    /// The vote of one peer in one round.
    consensus_votes (id) {
        id -> Text,
        round_number -> BigInt,
        voter_id -> Text,
        vote_hash -> Binary,
        signature -> Binary,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// Something that happened in a session.
    events (id) {
        id -> BigInt,
        session_id -> Text,
        /// Open vocabulary, checked by the program.
        event_type -> Text,
        payload -> JsonDoc,
        timestamp -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// One event of a game. Never changed: its state at any moment is what its events up to then
    /// make.
    game_events (game_id, version) {
        game_id -> Text,
        /// Counts the events of the game: 1, 2, 3 and so on.
        version -> BigInt,
        /// Open vocabulary, checked by the program.
        event_type -> Text,
        payload -> JsonDoc,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::Text;
    use crate::types::UtcTimestamp;

    /// A player who takes part in a game.
    game_players (game_id, player_id) {
        game_id -> Text,
        player_id -> Text,
        joined_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// The state of a game after one of its events, so that replay need not begin at the first.
    game_snapshots (game_id, version) {
        game_id -> Text,
        /// The last event that is in it.
        version -> BigInt,
        state -> JsonDoc,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::UtcTimestamp;

    /// Analytics of one game.
    game_statistics (game_id) {
        game_id -> Text,
        player_count -> BigInt,
        bet_count -> BigInt,
        /// Smallest unit of CRAP.
        total_wagered -> BigInt,
        /// Paid out to players, smallest unit of CRAP.
        total_won -> BigInt,
        /// Largest single payout, smallest unit of CRAP.
        biggest_win -> BigInt,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// A game of dice, from its opening to its end.
    games (id) {
        id -> Text,
        /// Open vocabulary, checked by the program.
        state -> Text,
        /// Smallest unit of CRAP; mirrors the account of the pot.
        pot_size -> BigInt,
        /// Open vocabulary, checked by the program.
        phase -> Text,
        created_at -> UtcTimestamp,
        /// NULL while the game is active.
        completed_at -> Nullable<UtcTimestamp>,
        winner_id -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Double, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// A game of one player against the house, decided by an algorithm.
    house_games (id) {
        id -> BigInt,
        user_id -> Text,
        /// Open vocabulary, checked by the program.
        algorithm_type -> Text,
        /// Smallest unit of CRAP.
        bet_amount -> BigInt,
        /// NULL until the game is decided; open vocabulary.
        outcome -> Nullable<Text>,
        /// Payout in multiples of the bet.
        multiplier -> Double,
        /// Smallest unit of CRAP.
        payout_amount -> BigInt,
        /// Share of the bet that the house keeps on average: 0.014 is 1.4 per cent.
        house_edge -> Double,
        /// Session of play, as the client names it; not a row of sessions.
        session_id -> Nullable<Text>,
        /// Seed of the random numbers, so that the game can be proven fair.
        seed -> Nullable<Text>,
        created_at -> UtcTimestamp,
        metadata -> Nullable<JsonDoc>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// A message to a player.
    notifications (id) {
        id -> BigInt,
        user_id -> Text,
        /// Open vocabulary, checked by the program.
        notification_type -> Text,
        title -> Text,
        message -> Text,
        is_read -> Bool,
        /// Set exactly when `is_read` is.
        read_at -> Nullable<UtcTimestamp>,
        created_at -> UtcTimestamp,
        metadata -> Nullable<JsonDoc>,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Text};
    use crate::types::UtcTimestamp;

    /// An operation on money that was asked for, and what came of it: the same reference with the
    /// same content gets the same answer.
    operations (kind, reference) {
        /// Open vocabulary, checked by the program.
        kind -> Text,
        /// Given by the caller.
        reference -> Text,
        /// SHA-256 of what was asked for.
        content_hash -> Binary,
        /// JSON, kept byte for byte so that it can be given again; empty while the operation runs.
        answer -> Text,
        created_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Integer, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// An event that has to reach the outside, written in the transaction that caused it and
    /// delivered afterwards.
    outbox (id) {
        id -> BigInt,
        user_id -> Nullable<Text>,
        /// Open vocabulary, checked by the program.
        outbox_type -> Text,
        /// failed waits for its next attempt; dead is given up.
        status -> Text,
        payload -> JsonDoc,
        /// Deliveries tried so far.
        attempts -> Integer,
        /// When the entry is due, or its lease ends while processing; NULL when delivered or dead.
        next_retry_at -> Nullable<UtcTimestamp>,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
        metadata -> Nullable<JsonDoc>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// One connection to a peer, from its opening to its end.
    peer_connections (id) {
        id -> BigInt,
        peer_id -> Text,
        address -> Text,
        state -> Text,
        connected_at -> UtcTimestamp,
        /// NULL while the connection is open.
        disconnected_at -> Nullable<UtcTimestamp>,
        /// Last measured round trip, microseconds.
        latency_us -> Nullable<BigInt>,
        bytes_sent -> BigInt,
        bytes_received -> BigInt,
        failure_reason -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// A peer of the network, with totals over all its connections.
    peers (id) {
        /// Identity of the peer, derived from its key.
        id -> Text,
        /// Where it was last reached.
        address -> Text,
        state -> Text,
        first_seen_at -> UtcTimestamp,
        last_seen_at -> UtcTimestamp,
        /// Last measured round trip, microseconds.
        latency_us -> Nullable<BigInt>,
        bytes_sent -> BigInt,
        bytes_received -> BigInt,
        /// Failed attempts to connect, and connections that broke.
        failure_count -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Double, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// One sample of one measured value.
    performance_metrics (id) {
        id -> BigInt,
        name -> Text,
        value -> Double,
        /// Of value, for instance ms, bytes or 1.
        unit -> Nullable<Text>,
        /// What tells samples of one name apart.
        labels -> JsonDoc,
        recorded_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// Totals of one player over all games.
    player_statistics (player_id) {
        player_id -> Text,
        games_played -> BigInt,
        games_won -> BigInt,
        bet_count -> BigInt,
        bets_won -> BigInt,
        /// Smallest unit of CRAP.
        total_wagered -> BigInt,
        /// Smallest unit of CRAP.
        total_won -> BigInt,
        /// Largest single payout, smallest unit of CRAP.
        biggest_win -> BigInt,
        /// Settled bets won in a row; negative: lost in a row.
        current_streak -> BigInt,
        longest_winning_streak -> BigInt,
        longest_losing_streak -> BigInt,
        last_played_at -> Nullable<UtcTimestamp>,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// A session that events and snapshots belong to.
    sessions (session_id) {
        session_id -> Text,
        started_at -> UtcTimestamp,
        /// NULL while the session runs.
        ended_at -> Nullable<UtcTimestamp>,
        metadata -> Nullable<JsonDoc>,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// A setting of the whole application.
    settings (id) {
        id -> BigInt,
        setting_key -> Text,
        setting_value -> JsonDoc,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Double, Integer, Text};
    use crate::types::UtcTimestamp;

    /// CRAP that a player has locked away for a reward.
    staking_positions (id) {
        id -> Text,
        user_id -> Text,
        /// Smallest unit of CRAP.
        amount -> BigInt,
        lock_period_days -> Integer,
        /// Simple interest per year of 365 days: 0.05 is five per cent.
        reward_rate -> Double,
        started_at -> UtcTimestamp,
        ends_at -> UtcTimestamp,
        /// Rewards paid so far, smallest unit of CRAP.
        claimed_rewards -> BigInt,
        is_active -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// The Telegram account of a player.
    telegram_profiles (user_id) {
        user_id -> Text,
        /// Given by Telegram.
        telegram_id -> BigInt,
        /// Without the @; changes at Telegram's side, so not unique.
        username -> Nullable<Text>,
        first_name -> Nullable<Text>,
        last_name -> Nullable<Text>,
        /// IETF language tag.
        language_code -> Nullable<Text>,
        is_bot -> Bool,
        is_premium -> Bool,
        email_verified -> Bool,
        phone_verified -> Bool,
        metadata -> Nullable<JsonDoc>,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::UtcTimestamp;

    /// The CRAP of one player, in its smallest unit. The total is balance + `locked_balance` +
    /// `staked_balance`.
    token_balances (user_id) {
        user_id -> Text,
        /// What is available.
        balance -> BigInt,
        /// Held for open bets.
        locked_balance -> BigInt,
        /// Held in active staking positions.
        staked_balance -> BigInt,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        last_updated -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// One line in the ledger of a player. Never changed: a reversal is a line of its own, and
    /// status is final when the line is written.
    transactions (id) {
        id -> BigInt,
        user_id -> Text,
        /// Open vocabulary, checked by the program.
        transaction_type -> Text,
        /// Smallest unit of CRAP; negative when it leaves the balance.
        amount -> BigInt,
        /// Available balance before this line, smallest unit of CRAP.
        balance_before -> BigInt,
        /// Available balance after this line, smallest unit of CRAP.
        balance_after -> BigInt,
        status -> Text,
        /// What the line belongs to: a bet, a game, a request, the line it reverses.
        reference_id -> Nullable<Text>,
        created_at -> UtcTimestamp,
        metadata -> Nullable<JsonDoc>,
        /// What the line does to the locked balance; smallest unit of CRAP.
        locked_change -> BigInt,
        /// What the line does to the staked balance; smallest unit of CRAP.
        staked_change -> BigInt,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// How usage is shown. At most one row is active.
    usage_config (id) {
        id -> BigInt,
        plan -> Text,
        /// Limit of the custom plan, in tokens of a language model.
        custom_limit_tokens -> Nullable<BigInt>,
        view -> Text,
        /// IANA name, or auto.
        timezone -> Text,
        time_format -> Text,
        theme -> Text,
        /// Seconds between two readings of the data.
        refresh_rate -> Integer,
        /// Times that the display is drawn in a second.
        refresh_per_second -> Double,
        /// Hour of the day, 0 to 23, at which counting starts anew.
        reset_hour -> Nullable<Integer>,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
        is_active -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// Usage at one moment of a session.
    usage_snapshots (id) {
        id -> BigInt,
        session_id -> Text,
        snapshot_data -> JsonDoc,
        snapshot_type -> Text,
        timestamp -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{Binary, Double, Text};
    use crate::types::UtcTimestamp;

    /// A player.
    users (id) {
        id -> Text,
        username -> Text,
        /// Raw bytes of the key that the player signs with.
        public_key -> Binary,
        reputation -> Double,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Text};
    use crate::types::{JsonDoc, UtcTimestamp};

    /// An object in a world.
    world_objects (id) {
        id -> BigInt,
        world_id -> BigInt,
        /// Open vocabulary, checked by the program.
        object_type -> Text,
        name -> Text,
        /// Object with the numbers x, y and z.
        position -> JsonDoc,
        properties -> JsonDoc,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::table! {
    use diesel::sql_types::{BigInt, Nullable, Text};
    use crate::types::UtcTimestamp;

    /// A world that objects stand in.
    worlds (id) {
        id -> BigInt,
        name -> Text,
        description -> Nullable<Text>,
        created_at -> UtcTimestamp,
        /// Set by the writer; a trigger sets it when a statement left it unchanged.
        updated_at -> UtcTimestamp,
    }
}

diesel::joinable!(account_entries -> accounts (account_id));
diesel::joinable!(accounts -> games (game_id));
diesel::joinable!(bets -> games (game_id));
diesel::joinable!(bets -> users (player_id));
diesel::joinable!(consensus_rounds -> games (game_id));
diesel::joinable!(consensus_votes -> consensus_rounds (round_number));
diesel::joinable!(events -> sessions (session_id));
diesel::joinable!(game_events -> games (game_id));
diesel::joinable!(game_players -> games (game_id));
diesel::joinable!(game_players -> users (player_id));
diesel::joinable!(game_snapshots -> games (game_id));
diesel::joinable!(game_statistics -> games (game_id));
diesel::joinable!(games -> users (winner_id));
diesel::joinable!(house_games -> users (user_id));
diesel::joinable!(notifications -> users (user_id));
diesel::joinable!(outbox -> users (user_id));
diesel::joinable!(peer_connections -> peers (peer_id));
diesel::joinable!(player_statistics -> users (player_id));
diesel::joinable!(staking_positions -> users (user_id));
diesel::joinable!(telegram_profiles -> users (user_id));
diesel::joinable!(token_balances -> users (user_id));
diesel::joinable!(transactions -> users (user_id));
diesel::joinable!(usage_snapshots -> sessions (session_id));
diesel::joinable!(world_objects -> worlds (world_id));

diesel::allow_tables_to_appear_in_same_query!(
    account_entries,
    accounts,
    assets,
    audit_logs,
    audit_seals,
    bets,
    consensus_rounds,
    consensus_votes,
    events,
    game_events,
    game_players,
    game_snapshots,
    game_statistics,
    games,
    house_games,
    notifications,
    operations,
    outbox,
    peer_connections,
    peers,
    performance_metrics,
    player_statistics,
    sessions,
    settings,
    staking_positions,
    telegram_profiles,
    token_balances,
    transactions,
    usage_config,
    usage_snapshots,
    users,
    world_objects,
    worlds,
);

//! Players: their three balances, their lines, their open bets and their staking positions.

use std::collections::BTreeMap;

use db_core::{Conn, statement, with_conn};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Text};

use super::part::Parts;
use super::{Books, Break, Check, MOST_BREAKS, count, count_of};
use crate::Result;

statement! {
    struct FirstUsers {
        rows: i64 as BigInt,
    }
    returns Text;
    "SELECT id FROM users ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct NextUsers<'a> {
        after: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Text;
    "SELECT id FROM users WHERE id > " after " ORDER BY id LIMIT " rows " + 0"
}

statement! {
    struct Balances<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt, BigInt, BigInt);
    "SELECT user_id, balance, locked_balance, staked_balance FROM token_balances
    WHERE user_id >= " first " AND user_id <= " last
}

statement! {
    struct Lines<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
    "SELECT user_id, count(*), CAST(sum(amount) AS BIGINT), CAST(sum(locked_change) AS BIGINT),
    CAST(sum(staked_change) AS BIGINT),
    CAST(sum(CASE WHEN transaction_type IN ('lock', 'unlock') THEN locked_change ELSE 0 END) AS BIGINT),
    CAST(sum(CASE WHEN transaction_type IN ('deposit', 'withdrawal') THEN amount ELSE 0 END) AS BIGINT)
    FROM transactions
    WHERE user_id >= " first " AND user_id <= " last " AND status = 'completed' GROUP BY user_id"
}

statement! {
    /// Before V11, when a line says nothing of what is locked and staked.
    struct OldLines<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt, BigInt, BigInt, BigInt, BigInt, BigInt);
    "SELECT user_id, count(*), CAST(sum(amount) AS BIGINT), CAST(0 AS BIGINT), CAST(0 AS BIGINT),
    CAST(0 AS BIGINT), CAST(0 AS BIGINT) FROM transactions
    WHERE user_id >= " first " AND user_id <= " last " AND status = 'completed' GROUP BY user_id"
}

statement! {
    struct BrokenChains<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, BigInt, BigInt, BigInt, BigInt);
    "SELECT user_id, id, expected, balance_before, count(*) OVER () FROM (
        SELECT user_id, id, balance_before, lag(balance_after, 1, CAST(0 AS BIGINT))
            OVER (PARTITION BY user_id ORDER BY id) AS expected
        FROM transactions
        WHERE user_id >= " first " AND user_id <= " last " AND status = 'completed') AS lines
    WHERE balance_before <> expected ORDER BY user_id, id LIMIT " rows " + 0"
}

statement! {
    struct OpenBets<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt, BigInt);
    "SELECT player_id, count(*), CAST(sum(amount) AS BIGINT) FROM bets
    WHERE player_id >= " first " AND player_id <= " last " AND outcome IS NULL GROUP BY player_id"
}

statement! {
    /// Asked so, SQLite does not go along the index of all active ones for each batch.
    struct ActivePositions<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
    }
    returns (Text, BigInt, BigInt);
    "SELECT user_id, count(*), CAST(sum(amount) AS BIGINT) FROM staking_positions
    WHERE user_id >= " first " AND user_id <= " last " AND is_active <> FALSE GROUP BY user_id"
}

statement! {
    /// A reward line names its position. The lines of the batch or those of each position are looked
    /// up: the empty text keeps PostgreSQL from reading the rewards of all players.
    struct WrongRewards<'a> {
        first: &'a str as Text,
        last: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns (Text, BigInt, BigInt, BigInt);
    "SELECT id, paid, claimed_rewards, count(*) OVER () FROM (
        SELECT positions.id, positions.claimed_rewards,
            CAST(coalesce(sum(lines.amount), 0) AS BIGINT) AS paid
        FROM staking_positions AS positions LEFT JOIN transactions AS lines
            ON lines.reference_id = positions.id AND lines.user_id = positions.user_id
            AND lines.transaction_type || '' = 'reward' AND lines.status = 'completed'
            AND lines.user_id >= " first " AND lines.user_id <= " last "
        WHERE positions.user_id >= " first " AND positions.user_id <= " last "
        GROUP BY positions.id, positions.claimed_rewards) AS rewards
    WHERE claimed_rewards <> paid ORDER BY id LIMIT " rows " + 0"
}

type LinesRow = (String, i64, i64, i64, i64, i64, i64);

/// What is stored of a player, and what the lines and the rest say.
#[derive(Default)]
struct Player {
    stored: Sums,
    lines: Sums,
    /// Holds and open bets.
    held: i128,
    positions: i128,
}

#[derive(Default)]
struct Sums {
    available: i128,
    locked: i128,
    staked: i128,
}

impl Sums {
    const fn total(&self) -> i128 {
        self.available + self.locked + self.staked
    }
}

impl From<(i64, i64, i64)> for Sums {
    fn from((available, locked, staked): (i64, i64, i64)) -> Self {
        Self {
            available: available.into(),
            locked: locked.into(),
            staked: staked.into(),
        }
    }
}

pub(super) fn check(conn: &mut Conn<'_>, rows: i64, parts: Parts, books: &mut Books) -> Result<()> {
    let mut batch: Vec<String> = with_conn!(conn, |c| FirstUsers { rows }.load(c))?;
    while let (Some(first), Some(last)) = (batch.first(), batch.last()) {
        books.report.users += count_of(&batch);
        for (id, player) in players(conn, first, last, parts, books)? {
            books.stored += player.stored.total();
            compare(&id, &player, parts, books);
        }
        let chains = BrokenChains {
            first,
            last,
            rows: MOST_BREAKS,
        };
        let breaks: Vec<Break> = with_conn!(conn, |c| chains.load(c))?;
        books.add_breaks(Check::Chain, breaks);
        if parts.balances {
            check_rewards(conn, first, last, books)?;
        }
        batch = with_conn!(conn, |c| NextUsers { after: last, rows }.load(c))?;
    }
    Ok(())
}

/// All that is known of the players from one key to another.
fn players(
    conn: &mut Conn<'_>,
    first: &str,
    last: &str,
    parts: Parts,
    books: &mut Books,
) -> Result<BTreeMap<String, Player>> {
    let mut players: BTreeMap<String, Player> = BTreeMap::new();
    if parts.balances {
        let balances: Vec<(String, i64, i64, i64)> =
            with_conn!(conn, |c| Balances { first, last }.load(c))?;
        for (id, balance, locked, staked) in balances {
            players.entry(id).or_default().stored = (balance, locked, staked).into();
        }
    }
    let lines: Vec<LinesRow> = if parts.accounts {
        with_conn!(conn, |c| Lines { first, last }.load(c))?
    } else {
        with_conn!(conn, |c| OldLines { first, last }.load(c))?
    };
    for (id, lines, available, locked, staked, held, outside) in lines {
        books.report.transactions += count(lines);
        books.outside += i128::from(outside);
        let player = players.entry(id).or_default();
        player.lines = (available, locked, staked).into();
        player.held += i128::from(held);
    }
    let bets: Vec<(String, i64, i64)> = with_conn!(conn, |c| OpenBets { first, last }.load(c))?;
    for (id, bets, amount) in bets {
        books.report.open_bets += count(bets);
        players.entry(id).or_default().held += i128::from(amount);
    }
    if parts.balances {
        let positions: Vec<(String, i64, i64)> =
            with_conn!(conn, |c| ActivePositions { first, last }.load(c))?;
        for (id, positions, amount) in positions {
            books.report.active_positions += count(positions);
            players.entry(id).or_default().positions = amount.into();
        }
    }
    Ok(players)
}

fn check_rewards(conn: &mut Conn<'_>, first: &str, last: &str, books: &mut Books) -> Result<()> {
    let rewards = WrongRewards {
        first,
        last,
        rows: MOST_BREAKS,
    };
    let wrong: Vec<(String, i64, i64, i64)> = with_conn!(conn, |c| rewards.load(c))?;
    let total = wrong.first().map_or(0, |(.., total)| *total);
    books.report.difference_count += count(total).saturating_sub(count_of(&wrong));
    for (position, paid, claimed, _) in wrong {
        books.compare(
            Check::ClaimedRewards,
            &position,
            paid.into(),
            claimed.into(),
        );
    }
    Ok(())
}

fn compare(id: &str, player: &Player, parts: Parts, books: &mut Books) {
    let Player {
        stored,
        lines,
        held,
        positions,
    } = player;
    if parts.balances {
        books.compare(Check::Available, id, lines.available, stored.available);
    }
    if parts.accounts {
        books.compare(Check::Locked, id, lines.locked, stored.locked);
        books.compare(Check::Staked, id, lines.staked, stored.staked);
        books.compare(Check::OpenBets, id, *held, stored.locked);
    }
    if parts.balances {
        books.compare(Check::ActivePositions, id, *positions, stored.staked);
    }
}

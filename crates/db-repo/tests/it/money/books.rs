//! All that money is written down in, and whether it adds up.

use std::collections::BTreeMap;

use db_core::{Conn, Database, statement, with_conn};
use db_repo::{Error, EventStore, Until};
use db_schema::rows::{
    Account, AccountEntry, Bet, EntryType, Game, GameStatistics, PlayerStatistics, StakingPosition,
    TokenBalance, Transaction, TransactionType,
};
use db_schema::schema::{
    account_entries, accounts, bets, game_statistics, games, player_statistics, staking_positions,
    token_balances, transactions,
};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::support::read;

statement! {
    /// Rows of tables that only grow here: enough to see that nothing came or went.
    struct Counts {}
    returns (Text, BigInt);
    "SELECT 'audit_logs', count(*) FROM audit_logs
    UNION ALL SELECT 'game_events', count(*) FROM game_events
    UNION ALL SELECT 'game_players', count(*) FROM game_players
    UNION ALL SELECT 'house_games', count(*) FROM house_games
    UNION ALL SELECT 'notifications', count(*) FROM notifications
    UNION ALL SELECT 'operations', count(*) FROM operations
    UNION ALL SELECT 'operations without an answer', count(*) FROM operations WHERE answer = ''
    UNION ALL SELECT 'outbox', count(*) FROM outbox"
}

/// Everything that an operation may change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Books {
    pub(crate) balances: BTreeMap<String, TokenBalance>,
    pub(crate) accounts: BTreeMap<String, Account>,
    pub(crate) lines: Vec<Transaction>,
    pub(crate) entries: Vec<AccountEntry>,
    pub(crate) bets: Vec<Bet>,
    pub(crate) games: Vec<Game>,
    pub(crate) positions: Vec<StakingPosition>,
    pub(crate) players: Vec<PlayerStatistics>,
    pub(crate) game_statistics: Vec<GameStatistics>,
    pub(crate) counts: BTreeMap<String, i64>,
}

/// Reads all books, which have to add up, and be what the events of the games make.
#[track_caller]
pub(crate) fn books(database: &Database) -> Books {
    let books = read(database, open);
    books.check();
    for game in &books.games {
        let view = read(database, |conn| {
            EventStore::replay(conn, &game.id, Until::Newest)
        });
        let view = view.unwrap();
        assert_eq!(view.game, *game);
        let bets = books.bets.iter().filter(|bet| bet.game_id == game.id);
        assert!(
            view.bets.values().map(|bet| &bet.bet).eq(bets),
            "bets of {}",
            game.id
        );
    }
    books
}

fn open(conn: &mut Conn<'_>) -> Result<Books, Error> {
    macro_rules! all {
        ($query:expr) => {
            with_conn!(conn, |c| $query.load(c))?
        };
    }
    let balances: Vec<TokenBalance> = all!(token_balances::table);
    let accounts: Vec<Account> = all!(accounts::table);
    Ok(Books {
        balances: balances
            .into_iter()
            .map(|row| (row.user_id.clone(), row))
            .collect(),
        accounts: accounts
            .into_iter()
            .map(|row| (row.id.clone(), row))
            .collect(),
        lines: all!(transactions::table.order(transactions::id)),
        entries: all!(account_entries::table.order(account_entries::id)),
        bets: all!(bets::table.order(bets::id)),
        games: all!(games::table.order(games::id)),
        positions: all!(staking_positions::table.order(staking_positions::id)),
        players: all!(player_statistics::table.order(player_statistics::player_id)),
        game_statistics: all!(game_statistics::table.order(game_statistics::game_id)),
        counts: with_conn!(conn, |c| Counts {}.load::<(String, i64)>(c))?
            .into_iter()
            .collect(),
    })
}

impl Books {
    /// Available, locked and staked.
    #[track_caller]
    pub(crate) fn of(&self, user: &str) -> (i64, i64, i64) {
        let row = &self.balances[user];
        (row.balance, row.locked_balance, row.staked_balance)
    }

    #[track_caller]
    pub(crate) fn account(&self, id: &str) -> i64 {
        self.accounts[id].balance
    }

    /// Kind, amount, change of locked and of staked, and reference of a player's lines from one on.
    pub(crate) fn lines_of(
        &self,
        user: &str,
        from: usize,
    ) -> Vec<(TransactionType, i64, i64, i64, &str)> {
        let of_user = self.lines.iter().filter(|line| line.user_id == user);
        of_user
            .skip(from)
            .map(|line| {
                (
                    line.transaction_type,
                    line.amount,
                    line.locked_change,
                    line.staked_change,
                    line.reference_id.as_deref().unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Kind, amount and reference of an account's entries from one on.
    pub(crate) fn entries_of(&self, account: &str, from: usize) -> Vec<(EntryType, i64, &str)> {
        let of_account = self
            .entries
            .iter()
            .filter(|entry| entry.account_id == account);
        of_account
            .skip(from)
            .map(|entry| {
                (
                    entry.entry_type,
                    entry.amount,
                    entry.reference_id.as_deref().unwrap_or_default(),
                )
            })
            .collect()
    }

    #[track_caller]
    pub(crate) fn player(&self, user: &str) -> &PlayerStatistics {
        let found = self.players.iter().find(|row| row.player_id == user);
        found.unwrap()
    }

    /// Everything that holds whatever was done.
    #[track_caller]
    fn check(&self) {
        self.check_conservation();
        self.check_lines();
        self.check_entries();
        self.check_holds();
        assert_eq!(self.counts["operations without an answer"], 0);
        for game in &self.games {
            let pot = self.account(&format!("pot:{}", game.id));
            assert_eq!(game.pot_size, pot, "pot of {}", game.id);
        }
    }

    /// What is there came in from outside and did not go out.
    #[track_caller]
    fn check_conservation(&self) {
        let players = self.balances.values();
        let players: i128 = players
            .flat_map(|row| [row.balance, row.locked_balance, row.staked_balance])
            .map(i128::from)
            .sum();
        let accounts = self.accounts.values();
        let accounts: i128 = accounts.map(|row| i128::from(row.balance)).sum();
        let outside = [TransactionType::Deposit, TransactionType::Withdrawal];
        let lines = self.lines.iter();
        let lines: i128 = lines
            .filter(|line| outside.contains(&line.transaction_type))
            .map(|line| i128::from(line.amount))
            .sum();
        let funds = self.entries.iter();
        let funds: i128 = funds
            .filter(|entry| entry.entry_type == EntryType::Fund)
            .map(|entry| i128::from(entry.amount))
            .sum();
        let came = lines + funds;
        assert_eq!(
            players + accounts,
            came,
            "money came from nowhere, or went there"
        );
    }

    /// The lines of each player form a chain, whose sums are the balances.
    #[track_caller]
    fn check_lines(&self) {
        let mut sums: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
        for line in &self.lines {
            let sum = sums.entry(&line.user_id).or_default();
            assert_eq!(line.balance_before, sum.0, "a broken chain: {line:?}");
            sum.0 += line.amount;
            sum.1 += line.locked_change;
            sum.2 += line.staked_change;
            assert_eq!(line.balance_after, sum.0, "{line:?}");
            assert!(sum.1 >= 0 && sum.2 >= 0, "{line:?}");
        }
        for (user, row) in &self.balances {
            let sum = sums.remove(user.as_str()).unwrap_or_default();
            assert_eq!(
                (row.balance, row.locked_balance, row.staked_balance),
                sum,
                "{user}"
            );
        }
        assert_eq!(sums.len(), 0, "lines without a balance: {sums:?}");
    }

    #[track_caller]
    fn check_entries(&self) {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in &self.entries {
            let sum = sums.entry(&entry.account_id).or_default();
            assert_eq!(entry.balance_before, *sum, "a broken chain: {entry:?}");
            *sum += entry.amount;
            assert_eq!(entry.balance_after, *sum, "{entry:?}");
        }
        for (account, row) in &self.accounts {
            assert_eq!(
                row.balance,
                sums.get(account.as_str()).copied().unwrap_or(0),
                "{account}"
            );
        }
    }

    /// What is locked is held by open bets and holds, what is staked by active positions.
    #[track_caller]
    fn check_holds(&self) {
        let holds = [TransactionType::Lock, TransactionType::Unlock];
        for (user, row) in &self.balances {
            let open = self.bets.iter().filter(|bet| bet.player_id == *user);
            let open: i64 = open
                .filter(|bet| bet.outcome.is_none())
                .map(|bet| bet.amount)
                .sum();
            let held = self.lines.iter().filter(|line| line.user_id == *user);
            let held: i64 = held
                .filter(|line| holds.contains(&line.transaction_type))
                .map(|line| line.locked_change)
                .sum();
            assert_eq!(row.locked_balance, open + held, "locked of {user}");
            let staked = self.positions.iter().filter(|row| row.user_id == *user);
            let staked: i64 = staked
                .filter(|row| row.is_active)
                .map(|row| row.amount)
                .sum();
            assert_eq!(row.staked_balance, staked, "staked of {user}");
        }
    }
}

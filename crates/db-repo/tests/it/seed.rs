//! Data for demonstrations.

use std::collections::BTreeMap;

use db_core::{Conn, Database, with_conn};
use db_repo::{
    Error, EventStore, GameRepository, LeaderboardOrder, PageRequest, Reconciliation,
    StatsRepository, Until, seed,
};
use db_schema::rows::GameState;
use db_schema::schema::{bets, games, token_balances, users};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{open, read};

const OPTIONS: seed::Options = seed::Options {
    users: 40,
    games: 20,
    seed: 3,
};

fn fill(database: &Database) -> seed::Filled {
    seed::fill(database, &OPTIONS, |_| {}).unwrap()
}

both_engines! {
    /// One snapshot for both engines: the same data, down to the last unit of money.
    fn the_same_seed_gives_the_same_data(db: TestDb) {
        let database = open(&db);
        let filled = fill(&database);
        let balances: BTreeMap<String, (i64, i64, i64)> = read(&database, balances);
        let newest: Vec<(String, String)> = read(&database, |conn| {
            let query = users::table
                .order(users::created_at.desc())
                .limit(3)
                .select((users::id, users::username));
            Ok(with_conn!(conn, |c| query.load(c))?)
        });
        let best = read(&database, |conn| {
            StatsRepository::leaderboard(conn, LeaderboardOrder::TotalWon, &PageRequest::first(5))
        });
        let best: Vec<_> = best
            .items
            .into_iter()
            .map(|player| (player.player_id, player.bet_count, player.total_won, player.last_played_at))
            .collect();
        insta::assert_debug_snapshot!("seed", (filled, newest, balances, best));
    }

    fn what_was_made_adds_up_and_its_games_can_be_replayed(db: TestDb) {
        let database = open(&db);
        let filled = fill(&database);
        let report = read(&database, |conn| Reconciliation::new().run(conn));
        assert!(report.is_sound(), "{report:?}");
        let ids: Vec<String> = read(&database, |conn| {
            let query = games::table.order(games::id).select(games::id);
            Ok(with_conn!(conn, |c| query.load(c))?)
        });
        assert_eq!(ids.len() as u64, filled.games);
        let mut bets_replayed = 0;
        for id in &ids {
            let game = read(&database, |conn| GameRepository::get(conn, id));
            let view = read(&database, |conn| EventStore::replay(conn, id, Until::Newest)).unwrap();
            assert_eq!(view.game.state, game.state);
            bets_replayed += view.bets.len() as u64;
        }
        let count: i64 = read(&database, |conn| {
            Ok(with_conn!(conn, |c| bets::table.count().get_result(c))?)
        });
        assert_eq!((bets_replayed, count.unsigned_abs()), (filled.bets, filled.bets));
        let settled = read(&database, |conn| {
            GameRepository::list_by_state(conn, GameState::Completed, &PageRequest::default())
        });
        assert_eq!(settled.items.len(), 18);
    }

    fn an_interrupted_seed_is_gone_on_with(db: TestDb) {
        // Several parts of each phase.
        let options = seed::Options { users: 300, games: 70, seed: 5 };
        let other = TestDb::new(db.engine());
        let whole = open(&other);
        let mut steps = Vec::new();
        let filled = seed::fill(&whole, &options, |at| steps.push(at)).unwrap();
        assert_eq!(steps.len(), 4, "{steps:?}");
        let database = open(&db);
        let mut sum = seed::Filled::default();
        for stop in &steps {
            let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                seed::fill(&database, &options, |at| assert_ne!(at, *stop, "interrupted"))
            }));
            assert!(died.is_err(), "{stop:?} was not told");
            (sum.users, sum.games) = users_and_games(&database);
        }
        assert_eq!((sum.users, sum.games), (filled.users, filled.games));
        let again = seed::fill(&database, &options, |_| {}).unwrap_err();
        assert!(matches!(again, Error::AlreadyExists { entity: "user", .. }), "{again:?}");
        assert_eq!(read(&database, balances), read(&whole, balances));
        let report = read(&database, |conn| Reconciliation::new().run(conn));
        assert!(report.is_sound(), "{report:?}");
    }

    fn a_seed_is_used_once(db: TestDb) {
        let database = open(&db);
        fill(&database);
        let again = seed::fill(&database, &OPTIONS, |_| {}).unwrap_err();
        assert!(matches!(again, Error::AlreadyExists { entity: "user", .. }), "{again:?}");
        let other = seed::Options { seed: 4, ..OPTIONS };
        seed::fill(&database, &other, |_| {}).unwrap();
        let fewer = seed::Options { users: OPTIONS.users - 1, ..OPTIONS };
        let mixed = seed::fill(&database, &fewer, |_| {}).unwrap_err();
        assert!(matches!(mixed, Error::Invalid { field: "seed", .. }), "{mixed:?}");
        let more = seed::Options { games: OPTIONS.games + 2, ..OPTIONS };
        let filled = seed::fill(&database, &more, |_| {}).unwrap();
        assert_eq!((filled.users, filled.games), (0, 2));
        let none = seed::Options { users: 0, seed: 5, ..OPTIONS };
        let refused = seed::fill(&database, &none, |_| {}).unwrap_err();
        assert!(matches!(refused, Error::Invalid { field: "users", .. }), "{refused:?}");
    }
}

fn users_and_games(database: &Database) -> (u64, u64) {
    let (users, games): (i64, i64) = read(database, |conn| {
        let users = with_conn!(conn, |c| users::table.count().get_result(c))?;
        let games = with_conn!(conn, |c| games::table.count().get_result(c))?;
        Ok((users, games))
    });
    (users.unsigned_abs(), games.unsigned_abs())
}

fn balances(conn: &mut Conn<'_>) -> Result<BTreeMap<String, (i64, i64, i64)>, Error> {
    let query = token_balances::table.select((
        token_balances::user_id,
        token_balances::balance,
        token_balances::locked_balance,
        token_balances::staked_balance,
    ));
    let rows: Vec<(String, i64, i64, i64)> = with_conn!(conn, |c| query.load(c))?;
    Ok(rows
        .into_iter()
        .map(|(user, available, locked, staked)| (user, (available, locked, staked)))
        .collect())
}

//! A small casino for one evening: `cargo run -p db-repo --example casino [URL]`.
//!
//! Without a URL it plays on `sqlite://casino.db`; `postgres://…` plays on a server. A second run is
//! a second evening.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use db_core::{Access, Clock, Connection, Database, DatabaseConfig, RetryPolicy, SystemClock};
use db_migrate::{Migrator, Source};
use db_repo::money::{self, BetResult, Fundable, Settlement};
use db_repo::{
    Actor, Error, GameRepository, LeaderboardOrder, PageRequest, StatsRepository, UserRepository,
};
use db_schema::migrations::{POSTGRES, SQLITE};
use db_schema::rows::{BetOutcome, BetType, GamePhase, NewGame, NewUser};
use db_schema::types::{BetId, UtcTime};
use uuid::Uuid;

const PLAYERS: [&str; 3] = ["ada", "grace", "alan"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1);
    let url = url.unwrap_or_else(|| "sqlite://casino.db".to_owned());
    let config = DatabaseConfig::new(url);
    let mut connection = Connection::open_configured(&config, Access::Create)?;
    Migrator::new(Source::embedded(SQLITE, POSTGRES)).run(connection.conn())?;
    drop(connection);

    let casino = Casino {
        database: Database::open(&config)?,
        evening: Uuid::now_v7(),
    };
    for player in PLAYERS {
        casino.welcome(player)?;
    }
    let game = casino.play()?;
    println!("{game} is over.");
    casino.show_the_best()?;
    Ok(())
}

struct Casino {
    database: Database,
    /// Part of every reference: what is asked for twice under one reference happens once.
    evening: Uuid,
}

impl Casino {
    /// A name for an operation of this evening.
    fn reference(&self, what: &str) -> String {
        format!("{}-{what}", self.evening)
    }

    /// One write by the croupier, whom the audit trail names. It is run again if the engine says that
    /// this may help.
    fn write<T: Send>(
        &self,
        mut f: impl FnMut(&mut db_core::Conn<'_>, UtcTime) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let croupier = Actor::new().user("croupier");
        let now = UtcTime::from(SystemClock.now());
        self.database
            .write_with_retry(&RetryPolicy::default(), |conn| {
                croupier.acts(conn, now, |conn| f(conn, now))
            })
    }

    /// A player comes, perhaps for the first time, and brings 1,000 CRAP. All of it is one write.
    fn welcome(&self, player: &str) -> Result<(), Error> {
        let deposit = money::Deposit {
            reference: self.reference(player),
            user_id: player.to_owned(),
            amount: 1_000,
        };
        let balances = self.write(|conn, now| {
            if !UserRepository::exists(conn, player)? {
                let new = NewUser {
                    id: player.to_owned(),
                    username: player.to_owned(),
                    public_key: vec![7; 32],
                    created_at: now,
                };
                UserRepository::create(conn, &new)?;
            }
            money::deposit(conn, &deposit, now)
        })?;
        println!("{player} has {} CRAP.", balances.available);
        Ok(())
    }

    /// One game: everybody bets, the dice fall, the winner takes the pot.
    fn play(&self) -> Result<String, Error> {
        let game = self.reference("game");
        let fund = money::Fund {
            reference: self.reference("house"),
            account: Fundable::House,
            amount: 10_000,
        };
        self.write(|conn, now| {
            money::fund(conn, &fund, now)?;
            let new = NewGame {
                id: game.clone(),
                created_at: now,
            };
            GameRepository::create(conn, &new)?;
            GameRepository::start(conn, &game, now)
        })?;

        let mut results = Vec::new();
        for (seat, player) in PLAYERS.into_iter().enumerate() {
            let bet_id = BetId(Uuid::now_v7());
            let bet = money::PlaceBet {
                reference: self.reference(&format!("bet of {player}")),
                bet_id,
                game_id: game.clone(),
                player_id: player.to_owned(),
                bet_type: BetType::Pass,
                amount: 100,
            };
            let placed = self.write(|conn, now| money::place_bet(conn, &bet, now))?;
            // A client that got no answer asks again, and gets the same one.
            let again = self.write(|conn, now| money::place_bet(conn, &bet, now))?;
            assert_eq!(placed, again);
            println!(
                "{player} bets 100 and has {} left.",
                placed.balances.available
            );
            let won = seat == 0;
            results.push(BetResult {
                bet_id,
                outcome: if won {
                    BetOutcome::Won
                } else {
                    BetOutcome::Lost
                },
                winnings: if won { 100 } else { 0 },
            });
        }

        let settle = money::SettleGame {
            reference: self.reference("end"),
            game_id: game.clone(),
            settlement: Settlement::Completed {
                results,
                winner: Some(PLAYERS[0].to_owned()),
            },
        };
        let settled = self.write(|conn, now| {
            GameRepository::advance_phase(conn, &game, GamePhase::Point, now)?;
            money::settle_game(conn, &settle, now)
        })?;
        println!("{} CRAP were in the pot.", settled.pot);
        Ok(game)
    }

    /// Reads see one snapshot, and never wait for writes.
    fn show_the_best(&self) -> Result<(), Error> {
        let page = self.database.read(|conn| {
            StatsRepository::leaderboard(conn, LeaderboardOrder::TotalWon, &PageRequest::first(3))
        })?;
        for (rank, player) in page.items.iter().enumerate() {
            println!(
                "{}. {}: {} CRAP in {} bets",
                rank + 1,
                player.player_id,
                player.total_won,
                player.bet_count
            );
        }
        Ok(())
    }
}

//! Games, the bets in them, and games against the house.

use db_repo::Error;
use db_repo::money::{
    Balances, BetResult, MOST, PlaceBet, PlacedBet, PlayHouseGame, ResolveBet, ResolvedBet,
    SettleGame, SettledGame, Settlement,
};
use db_schema::rows::{BetOutcome, GameState, HouseGame};
use db_schema::types::{BetId, UtcTime};
use serde_json::Value;

use super::{Answer, Bet, Game, Model, invalid, not_found, value};

impl Model {
    pub(super) fn create_game(&mut self, game: &str, now: UtcTime) -> Answer {
        if self.games.contains_key(game) {
            return Err(Error::AlreadyExists {
                entity: "game",
                key: game.to_owned(),
            });
        }
        let new = Game {
            state: GameState::Open,
            pot: 0,
            winner: None,
        };
        self.games.insert(game.to_owned(), new);
        self.statistics.created(game, now);
        Ok(Value::Null)
    }

    /// The game, if bets may still be placed and settled in it.
    fn open_game(&mut self, game: &str) -> Result<&mut Game, Error> {
        match self.games.get_mut(game) {
            None => Err(not_found("game", game)),
            Some(found) if matches!(found.state, GameState::Open | GameState::Active) => Ok(found),
            Some(found) => Err(Error::GameClosed {
                game: game.to_owned(),
                state: found.state,
            }),
        }
    }

    pub(super) fn place_bet(&mut self, r: &PlaceBet, now: UtcTime) -> Answer {
        self.open_game(&r.game_id)?;
        let balances = self.change(&r.player_id, [-r.amount, r.amount, 0])?;
        if self.bets.contains_key(&r.bet_id) {
            return Err(Error::AlreadyExists {
                entity: "bet",
                key: r.bet_id.to_string(),
            });
        }
        let first = !self
            .bets
            .values()
            .any(|bet| bet.game == r.game_id && bet.player == r.player_id);
        self.statistics
            .placed((&r.game_id, &r.player_id), r.amount, first, now);
        let bet = Bet {
            game: r.game_id.clone(),
            player: r.player_id.clone(),
            amount: r.amount,
            outcome: None,
        };
        self.bets.insert(r.bet_id, bet);
        Ok(value(PlacedBet {
            bet_id: r.bet_id,
            balances,
        }))
    }

    pub(super) fn resolve_bet(&mut self, r: &ResolveBet, now: UtcTime) -> Answer {
        let Some(bet) = self.bets.get(&r.bet_id).cloned() else {
            return Err(not_found("bet", &r.bet_id));
        };
        if bet.outcome.is_some() {
            return Err(Error::AlreadyResolved(r.bet_id));
        }
        self.open_game(&bet.game)?;
        let (payout, balances) = self.resolve(r.bet_id, (r.outcome, r.winnings), now)?;
        Ok(value(ResolvedBet {
            bet_id: r.bet_id,
            pot_size: self.games[&bet.game].pot,
            game_id: bet.game,
            player_id: bet.player,
            payout,
            balances,
        }))
    }

    /// Settles an open bet; what became available, and what its player has.
    fn resolve(
        &mut self,
        id: BetId,
        (outcome, winnings): (BetOutcome, i64),
        now: UtcTime,
    ) -> Result<(i64, Balances), Error> {
        let bet = self.bets.get_mut(&id).unwrap();
        bet.outcome = Some(outcome);
        let bet = bet.clone();
        let payout = match outcome {
            BetOutcome::Lost => {
                self.games.get_mut(&bet.game).unwrap().pot += bet.amount;
                0
            }
            BetOutcome::Push | BetOutcome::Void => bet.amount,
            BetOutcome::Won => {
                let pot = &mut self.games.get_mut(&bet.game).unwrap().pot;
                let from_pot = winnings.min(*pot);
                *pot -= from_pot;
                let needed = winnings - from_pot;
                if self.house < needed {
                    return Err(Error::HouseShort {
                        needed,
                        available: self.house,
                    });
                }
                self.house -= needed;
                bet.amount + winnings
            }
        };
        self.statistics
            .resolved(&bet.game, &bet.player, (outcome, payout), now);
        let balances = self.change(&bet.player, [payout, -bet.amount, 0])?;
        Ok((payout, balances))
    }

    /// The open bets of a game, in the order of their keys.
    pub(crate) fn open_bets(&self, game: &str) -> Vec<BetId> {
        let open = self
            .bets
            .iter()
            .filter(|(_, bet)| bet.game == game && bet.outcome.is_none());
        open.map(|(id, _)| *id).collect()
    }

    pub(super) fn settle_game(&mut self, r: &SettleGame, now: UtcTime) -> Answer {
        self.open_game(&r.game_id)?;
        let open = self.open_bets(&r.game_id);
        let (results, winner, state) = match &r.settlement {
            Settlement::Cancelled => {
                let void = |bet_id: &BetId| BetResult {
                    bet_id: *bet_id,
                    outcome: BetOutcome::Void,
                    winnings: 0,
                };
                (open.iter().map(void).collect(), None, GameState::Cancelled)
            }
            Settlement::Completed { results, winner } => {
                (results.clone(), winner.clone(), GameState::Completed)
            }
        };
        if results.len() < open.len() {
            return Err(Error::OpenBets {
                game: r.game_id.clone(),
                count: u64::try_from(open.len() - results.len()).unwrap(),
            });
        }
        let mut paid = 0;
        let (lost, others): (Vec<_>, Vec<_>) = results
            .iter()
            .partition(|result| result.outcome == BetOutcome::Lost);
        for result in lost.into_iter().chain(others) {
            paid += self
                .resolve(result.bet_id, (result.outcome, result.winnings), now)?
                .0;
        }
        let pot = self.games[&r.game_id].pot;
        match &winner {
            Some(winner) if pot > 0 => {
                self.change(winner, [pot, 0, 0])?;
            }
            Some(winner) if !self.users.contains_key(winner) => {
                return Err(not_found("user", winner));
            }
            Some(_) => {}
            None => self.house += pot,
        }
        if let Some(winner) = &winner {
            self.statistics.game_won(winner, now);
        }
        let game = Game {
            state,
            pot: 0,
            winner: winner.clone(),
        };
        self.games.insert(r.game_id.clone(), game);
        Ok(value(SettledGame {
            game_id: r.game_id.clone(),
            state,
            bets: u64::try_from(results.len()).unwrap(),
            paid,
            pot,
            winner_id: winner,
        }))
    }

    pub(super) fn house_game(&mut self, r: &PlayHouseGame, now: UtcTime) -> Answer {
        self.change(&r.user_id, [-r.bet_amount, 0, 0])?;
        self.house += r.bet_amount;
        if self.house < r.payout_amount {
            return Err(Error::HouseShort {
                needed: r.payout_amount,
                available: self.house,
            });
        }
        self.house -= r.payout_amount;
        self.statistics
            .house_game(&r.user_id, r.bet_amount, r.payout_amount, now);
        self.house_games.push(HouseGame {
            id: 0,
            user_id: r.user_id.clone(),
            algorithm_type: r.algorithm_type.clone(),
            bet_amount: r.bet_amount,
            outcome: Some(r.outcome),
            multiplier: r.multiplier,
            payout_amount: r.payout_amount,
            house_edge: r.house_edge,
            session_id: r.session_id.clone(),
            seed: r.seed.clone(),
            created_at: now,
            metadata: r.metadata.clone(),
        });
        // The key of the row is the engine's own and left out of what is compared.
        Ok(value(self.change(&r.user_id, [r.payout_amount, 0, 0])?))
    }
}

pub(super) fn check_outcome(outcome: BetOutcome, winnings: i64) -> Result<(), Error> {
    let right = match outcome {
        BetOutcome::Won => (0..=MOST).contains(&winnings),
        _ => winnings == 0,
    };
    if right {
        Ok(())
    } else {
        Err(invalid("winnings"))
    }
}

//! A game that is settled in batches leaves what its bets leave that are resolved one by one.

use db_core::{Conn, Database, with_conn};
use db_repo::Error;
use db_repo::money::{self, BetResult, ResolveBet};
use db_schema::rows::{BetOutcome, Notification, OutboxEntry, StoredGameEvent};
use db_schema::schema::{game_events, notifications, outbox};
use db_schema::types::{Json, UtcTime};
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use super::books::{Books, books};
use super::table::{bet, deposit, end, game, settle, table};
use crate::support::{at, read, write};

/// More than one batch of a thousand.
const BETS: u64 = 1_150;

const PLAYERS: [&str; 3] = ["ada", "bob", "cid"];

/// Two games: in one winning streaks go on from one batch into the next, in the other losing ones.
const GAMES: [(&str, u64); 2] = [("g1", 300), ("g2", 1_080)];

both_engines! {
    fn a_game_in_batches_is_what_its_bets_are_one_by_one(db: TestDb) {
        let other = TestDb::new(db.engine());
        let (batches, singles) = (with_bets(&db), with_bets(&other));
        Left::by(&batches).is(&Left::by(&singles));
        for (number, (game, _)) in (0..).zip(GAMES) {
            let results = results(number);
            settle(&batches, &end(game, results.clone(), Some("bob")));
            one_by_one(&singles, results);
            settle(&singles, &end(game, Vec::new(), Some("bob")));
        }
        let (batches, singles) = (Left::by(&batches), Left::by(&singles));
        batches.is(&singles);
        // Otherwise the batches would have nothing to hand on.
        for player in &batches.books.players {
            assert!(player.longest_losing_streak > 300, "{player:?}");
            assert!(player.longest_winning_streak > 20, "{player:?}");
        }
    }
}

/// A table with open bets in both games, of amounts that follow no pattern.
fn with_bets(db: &TestDb) -> Database {
    let database = table(db);
    game(&database, "g2");
    for player in PLAYERS {
        let more = deposit(&format!("more {player}"), player, 10_000_000);
        write(&database, |conn| money::deposit(conn, &more, at(1)));
    }
    let fund = super::table::fund("more", money::Fundable::House, 10_000_000);
    write(&database, |conn| money::fund(conn, &fund, at(1)));
    let mut random = fastrand::Rng::with_seed(7);
    for (number, (game, _)) in (0..).zip(GAMES) {
        write(&database, |conn| {
            for of in bets(number) {
                let player = PLAYERS[random.usize(..PLAYERS.len())];
                let request = bet(of, game, player, random.i64(1..1_000));
                money::place_bet(conn, &request, at(10))?;
            }
            Ok(())
        });
    }
    database
}

fn bets(game: u64) -> impl Iterator<Item = u128> {
    (0..BETS).map(move |number| u128::from(game * BETS + number))
}

/// Lost ones among the others, of which most are won: for nothing, little, and more than is in the pot.
fn results(game: u64) -> Vec<BetResult> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut lost: Vec<bool> = (0..BETS)
        .map(|number| number < GAMES[usize::try_from(game).unwrap()].1)
        .collect();
    random.shuffle(&mut lost);
    let results = bets(game).zip(lost).map(|(bet, lost)| {
        let (outcome, winnings) = match random.u32(..20) {
            _ if lost => (BetOutcome::Lost, 0),
            0 => (BetOutcome::Push, 0),
            1 => (BetOutcome::Void, 0),
            2 => (BetOutcome::Won, 0),
            3 => (BetOutcome::Won, 30_000),
            _ => (BetOutcome::Won, random.i64(1..2_000)),
        };
        super::table::result(bet, outcome, winnings)
    });
    results.collect()
}

/// Lost ones first, as a settlement does it.
fn one_by_one(database: &Database, mut results: Vec<BetResult>) {
    results.sort_by_key(|result| result.outcome != BetOutcome::Lost);
    let resolve = |conn: &mut Conn<'_>, result: &BetResult| {
        let request = ResolveBet {
            reference: result.bet_id.to_string(),
            bet_id: result.bet_id,
            outcome: result.outcome,
            winnings: result.winnings,
        };
        money::resolve_bet(conn, &request, at(30)).map(drop)
    };
    write(database, |conn| {
        results.iter().try_for_each(|result| resolve(conn, result))
    });
}

/// All rows that an end of bets leaves, without what it may be told apart by.
struct Left {
    books: Books,
    outbox: Vec<OutboxEntry>,
    notifications: Vec<Notification>,
    events: Vec<StoredGameEvent>,
}

impl Left {
    #[track_caller]
    fn by(database: &Database) -> Self {
        let mut books = books(database);
        // A batch is one operation, which changes each player's rows once.
        books.counts.remove("operations");
        books.counts.remove("audit_logs");
        let changed = |time: &mut UtcTime| *time = at(0);
        books
            .balances
            .values_mut()
            .for_each(|row| changed(&mut row.last_updated));
        for row in books.accounts.values_mut() {
            changed(&mut row.updated_at);
            // Of the house and the treasury that of the migration.
            changed(&mut row.created_at);
        }
        books
            .players
            .iter_mut()
            .for_each(|row| changed(&mut row.updated_at));
        books
            .game_statistics
            .iter_mut()
            .for_each(|row| changed(&mut row.updated_at));
        let rows = |conn: &mut Conn<'_>| {
            let outbox = with_conn!(conn, |c| outbox::table.order(outbox::id).load(c))?;
            let notes = with_conn!(conn, |c| notifications::table
                .order(notifications::id)
                .load(c))?;
            let events = with_conn!(conn, |c| game_events::table
                .order((game_events::game_id, game_events::version))
                .load(c))?;
            Ok::<_, Error>((outbox, notes, events))
        };
        let (mut outbox, notifications, events): (Vec<OutboxEntry>, _, _) = read(database, rows);
        for entry in &mut outbox {
            let Json(payload) = &mut entry.payload;
            let payload = payload.as_object_mut().unwrap();
            // Of the settlement, or of the bet. And what the settlement itself paid.
            payload.remove("reference");
            payload.remove("paid");
        }
        Self {
            books,
            outbox,
            notifications,
            events,
        }
    }

    /// Table by table, so that a difference can be read.
    #[track_caller]
    fn is(&self, other: &Self) {
        macro_rules! same {
            ($($of:ident).+) => {
                assert_eq!(self.$($of).+.len(), other.$($of).+.len(), stringify!($($of).+));
                for (left, right) in self.$($of).+.iter().zip(other.$($of).+.iter()) {
                    assert_eq!(left, right, stringify!($($of).+));
                }
            };
        }
        same!(books.balances);
        same!(books.accounts);
        same!(books.players);
        same!(books.game_statistics);
        same!(books.bets);
        same!(books.games);
        same!(books.lines);
        same!(books.entries);
        same!(outbox);
        same!(notifications);
        same!(events);
        assert_eq!(self.books.counts, other.books.counts);
    }
}

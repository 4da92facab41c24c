//! Updates that touch no row, since something in the database keeps them from it.

use db_core::{Database, Engine};
use db_repo::money::{self, ClaimRewards, Fundable};
use db_repo::{Error, UserRepository};
use db_schema::rows::BetOutcome;
use db_testkit::{TestDb, both_engines};

use super::table::{cancel, deposit, fund, game, place, refused, stake, table, verdict};
use crate::support::{at, write};

/// From now on no row of this table changes, and nobody says so.
#[track_caller]
fn freeze(db: &TestDb, database: &Database, name: &str) {
    let sql = match db.engine() {
        Engine::Sqlite => format!(
            "CREATE TRIGGER frozen_{name} BEFORE UPDATE ON {name} BEGIN SELECT RAISE(IGNORE); END"
        ),
        Engine::Postgres => format!(
            "CREATE FUNCTION frozen_{name}() RETURNS trigger LANGUAGE plpgsql
                AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER a_frozen BEFORE UPDATE ON {name}
                FOR EACH ROW EXECUTE FUNCTION frozen_{name}()"
        ),
    };
    write(database, |conn| {
        conn.batch_execute(&sql).map_err(Error::from)
    });
}

both_engines! {
    fn a_game_that_cannot_end_is_an_error(db: TestDb) {
        let database = table(&db);
        place(&database, 1, "g1", "ada", 100);
        freeze(&db, &database, "games");
        let lost = refused(&database, |conn, now| {
            money::resolve_bet(conn, &verdict(1, BetOutcome::Lost, 0), now)
        });
        assert_eq!(lost.to_string(), "there is no game g1");
        // One whose pot has changed, and one without a pot.
        game(&database, "g2");
        for id in ["g1", "g2"] {
            let ended = refused(&database, |conn, now| money::settle_game(conn, &cancel(id), now));
            assert_eq!(ended.to_string(), format!("there is no game {id}"));
        }
    }

    fn a_position_that_cannot_pay_is_an_error(db: TestDb) {
        let database = table(&db);
        write(&database, |conn| {
            money::fund(conn, &fund("t", Fundable::Treasury, 1_000), at(0))?;
            let position = money::Stake { reward_rate: 1_000.0, ..stake("s", "p1", "ada", 500) };
            money::stake(conn, &position, at(0))
        });
        freeze(&db, &database, "staking_positions");
        let claim = ClaimRewards { reference: "c".into(), position_id: "p1".into() };
        let refused = refused(&database, |conn, now| money::claim_rewards(conn, &claim, now));
        assert_eq!(refused.to_string(), "there is no staking position p1");
    }

    fn an_answer_that_cannot_be_kept_is_an_error(db: TestDb) {
        let database = table(&db);
        freeze(&db, &database, "operations");
        let request = deposit("d", "ada", 5);
        let lost = refused(&database, |conn, now| money::deposit(conn, &request, now));
        assert_eq!(lost.to_string(), "there is no deposit d");
    }

    fn a_row_that_does_not_change_is_an_error(db: TestDb) {
        let database = table(&db);
        freeze(&db, &database, "users");
        let same = refused(&database, |conn, now| {
            UserRepository::update_reputation(conn, "ada", 1.0, now)
        });
        assert_eq!(same.to_string(), "there is no user ada");
    }
}

//! Games against the house.

use db_core::{Conn, Database, with_conn};
use db_repo::{Error, HouseGameRepository, Page, PageRequest};
use db_schema::rows::{HouseGame, HouseOutcome};
use db_schema::schema::house_games;
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{at, open, read, users, write};

fn play(conn: &mut Conn<'_>, user: &str, session: &str, seconds: i64) -> Result<i64, Error> {
    let values = (
        house_games::user_id.eq(user),
        house_games::algorithm_type.eq("dice"),
        house_games::bet_amount.eq(10),
        house_games::outcome.eq(HouseOutcome::Won),
        house_games::multiplier.eq(2.5),
        house_games::payout_amount.eq(25),
        house_games::house_edge.eq(0.014),
        house_games::session_id.eq(session),
        house_games::seed.eq("seed"),
        house_games::created_at.eq(at(seconds)),
        house_games::metadata.eq(Json(serde_json::json!({ "roll": 7 }))),
    );
    Ok(with_conn!(conn, |c| diesel::insert_into(
        house_games::table
    )
    .values(values)
    .returning(house_games::id)
    .get_result(c))?)
}

/// All pages of seven.
fn pages(
    database: &Database,
    list: impl Fn(&mut Conn<'_>, &PageRequest) -> Result<Page<HouseGame>, Error>,
) -> Vec<HouseGame> {
    let mut seen = Vec::new();
    let mut request = PageRequest::first(7);
    loop {
        let page = read(database, |conn| list(conn, &request));
        seen.extend(page.items);
        match page.next {
            Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
            None => return seen,
        }
    }
}

both_engines! {
    fn a_game_is_read_as_it_was_written(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let id = write(&database, |conn| play(conn, "u1", "s1", 3));
        let found = read(&database, |conn| HouseGameRepository::find(conn, id));
        assert_eq!(
            found,
            Some(HouseGame {
                id,
                user_id: "u1".into(),
                algorithm_type: "dice".into(),
                bet_amount: 10,
                outcome: Some(HouseOutcome::Won),
                multiplier: 2.5,
                payout_amount: 25,
                house_edge: 0.014,
                session_id: Some("s1".into()),
                seed: Some("seed".into()),
                created_at: at(3),
                metadata: Some(Json(serde_json::json!({ "roll": 7 }))),
            })
        );
        assert_eq!(read(&database, |conn| HouseGameRepository::find(conn, id + 1)), None);
    }

    fn games_are_listed_by_player_and_by_session(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| {
            for n in 0..60 {
                let user = if n % 2 == 0 { "u1" } else { "u2" };
                let session = if n % 3 == 0 { "s1" } else { "s2" };
                play(conn, user, session, n / 4)?;
            }
            Ok(())
        });
        let of_player = pages(&database, |conn, page| HouseGameRepository::list(conn, "u1", page));
        assert_eq!(of_player.len(), 30);
        assert!(of_player.iter().all(|game| game.user_id == "u1"));
        assert!(of_player.is_sorted_by(|a, b| (a.created_at, a.id) > (b.created_at, b.id)));
        let of_session = pages(&database, |conn, page| {
            HouseGameRepository::list_by_session(conn, "s1", page)
        });
        assert_eq!(of_session.len(), 20);
        assert!(of_session.iter().all(|game| game.session_id.as_deref() == Some("s1")));
        assert!(of_session.is_sorted_by(|a, b| a.id < b.id));
    }
}

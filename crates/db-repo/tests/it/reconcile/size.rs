//! How much is in memory at once.

use db_repo::Reconciliation;
use db_testkit::{TestDb, both_engines};

use crate::plans::Heard;
use crate::support::{open, users};

/// How many statements read the lines of players, when so many are taken at a time.
fn batches(db: &TestDb, batch: i64) -> usize {
    let heard = Heard::default();
    let mut conn = db.connect();
    heard.listen(&mut conn);
    let found = Reconciliation::new()
        .with_batch(batch)
        .run(&mut conn.conn());
    assert!(found.unwrap().is_sound());
    heard.count("status = 'completed' GROUP BY user_id")
}

both_engines! {
    /// With ten times as many players there are ten times as many batches, none larger.
    fn players_are_held_a_batch_at_a_time(db: TestDb) {
        let database = open(&db);
        let ids: Vec<_> = (0..40).map(|n| format!("u{n:02}")).collect();
        users(&database, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(batches(&db, 40), 1);
        assert_eq!(batches(&db, 4), 10);
        assert_eq!(batches(&db, 1), 40);
    }
}

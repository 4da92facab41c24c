//! What has to be true of the data, as a check.

use db_backup::Invariant;
use db_backup::health::{Cost, Selection, State};
use db_core::Conn;
use db_testkit::{TestDb, both_engines};

use super::{find, patient_of};

/// Fails where two statements may see two moments.
const ONE_SNAPSHOT: &str = "DO $$ BEGIN
    IF current_setting('transaction_isolation') <> 'repeatable read' THEN RAISE 'no snapshot'; END IF;
END $$";

both_engines! {
    fn what_has_to_be_true_is_a_check(db: TestDb) {
        let (_, examiner) = patient_of(&db);
        let said = |words: &'static [&'static str]| {
            move |_: &mut Conn<'_>| Ok(words.iter().map(ToString::to_string).collect())
        };
        let examiner = examiner
            .with_invariant(Cost::Cheap, Invariant::new("holds", said(&[])))
            .with_invariant(Cost::Cheap, Invariant::new("broken", said(&["ada has 7 too much"])))
            .with_invariant(Cost::Expensive, Invariant::new("twice", said(&["one", "two"])))
            .with_invariant(Cost::Cheap, Invariant::no_half_copy());
        let cheap = examiner.examine(&Selection::Cheap);
        assert!(cheap.find("twice").is_none());
        let all = examiner.examine(&Selection::All);
        let seen = |name| {
            let result = find(&all, name);
            (result.state, result.observed.clone(), result.names.clone())
        };
        let well = || (State::Ok, "nothing is wrong".to_owned(), Vec::new());
        assert_eq!(seen("holds"), well());
        assert_eq!(seen("half_copy"), well());
        assert_eq!(seen("broken"), (State::Fail, "ada has 7 too much".into(), Vec::new()));
        let two = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(seen("twice"), (State::Fail, "2 things are wrong".into(), two));
    }
}

#[test]
fn the_half_of_a_copy_is_seen_on_postgres() {
    let db = TestDb::postgres();
    let (_, examiner) = patient_of(&db);
    let snapshot = Invariant::new("snapshot", |conn| {
        conn.batch_execute(ONE_SNAPSHOT)?;
        Ok(Vec::new())
    });
    let examiner = examiner
        .with_invariant(Cost::Cheap, Invariant::no_half_copy())
        .with_invariant(Cost::Cheap, snapshot);
    let mut conn = db.connect();
    conn.execute("CREATE TABLE __db_migrate_copy (step bigint, undo text)");
    let report = examiner.examine(&Selection::Cheap);
    let result = find(&report, "half_copy");
    assert_eq!(result.state, State::Fail);
    assert!(
        result.observed.contains("copy --undo"),
        "{}",
        result.observed
    );
}

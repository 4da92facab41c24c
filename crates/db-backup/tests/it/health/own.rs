//! What an application tells of its own data, as checks.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use db_backup::health::{Cost, Selection, State};
use db_backup::{Invariant, Observation};
use db_core::{Clock as _, Conn, Error, ErrorKind, SystemClock};
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
        let in_words = |observed: &'static str, wrong: &'static [&'static str]| {
            let wrong = wrong.iter().map(ToString::to_string);
            let said = (observed.to_owned(), wrong.collect::<Vec<_>>());
            Invariant::observing(observed, move |_| Ok(said.clone())).with_hint("ask ada")
        };
        let later = Invariant::where_possible("later", |_| {
            Ok(Observation::Unchecked { why: "there are no tables yet".to_owned() })
        });
        let examiner = examiner
            .with_invariant(Cost::Cheap, Invariant::new("holds", said(&[])))
            .with_invariant(Cost::Cheap, Invariant::new("broken", said(&["ada has 7 too much"])))
            .with_invariant(Cost::Expensive, Invariant::new("twice", said(&["one", "two"])))
            .with_invariant(Cost::Cheap, in_words("all of it is there", &[]))
            .with_invariant(Cost::Cheap, in_words("30 are gone", &["one", "and 29 more"]))
            .with_invariant(Cost::Cheap, later)
            .with_invariant(Cost::Cheap, Invariant::no_half_copy());
        let cheap = examiner.examine(&Selection::Cheap);
        assert!(cheap.find("twice").is_none());
        let all = examiner.examine(&Selection::All);
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (name, state, observed, named, hint) in [
            ("holds", State::Ok, "nothing is wrong", names(&[]), None),
            ("broken", State::Fail, "ada has 7 too much", names(&[]), None),
            ("twice", State::Fail, "2 things are wrong", names(&["one", "two"]), None),
            ("all of it is there", State::Ok, "all of it is there", names(&[]), None),
            ("30 are gone", State::Fail, "30 are gone", names(&["one", "and 29 more"]), Some("ask ada")),
            ("later", State::Unknown, "there are no tables yet", names(&[]), None),
            ("half_copy", State::Ok, "no copy into it has stopped half way", names(&[]), None),
        ] {
            let seen = find(&all, name);
            assert_eq!((seen.state, &*seen.observed), (state, observed), "{name}");
            assert_eq!((&seen.names, seen.hint.as_deref()), (&named, hint), "{name}");
        }
    }

    fn events_that_stay_in_the_outbox_are_a_check(db: TestDb) {
        let (world, examiner) = patient_of(&db);
        let now = SystemClock.now();
        let holds = Arc::new(Mutex::new(Ok((None, 0, 0))));
        let outbox = Arc::clone(&holds);
        let examiner = examiner.with_outbox(move |_| outbox.lock().unwrap().clone());
        let look = || {
            let report = examiner.examine(&Selection::Named(vec!["outbox".to_owned()]));
            let seen = find(&report, "outbox");
            (seen.state, seen.observed.clone(), seen.hint.is_some())
        };
        assert_eq!(look(), (State::Ok, "0 waiting, the oldest for 0 µs, 0 given up".into(), false));
        *holds.lock().unwrap() = Ok((None, 0, 1));
        assert_eq!((look().0, look().2), (State::Warn, true));
        *holds.lock().unwrap() = Ok((Some(now), 3, 1));
        for (later, state) in [(4, State::Warn), (61, State::Fail)] {
            // It goes by the clock of the one who looks.
            *world.offset.lock().unwrap() = TimeDelta::minutes(later);
            let (seen, observed, has_hint) = look();
            assert!(seen == state && has_hint, "{later} minutes: {seen}, {observed}");
            assert!(observed.starts_with("3 waiting, the oldest for "), "{observed}");
        }
        *holds.lock().unwrap() = Ok((Some(now + TimeDelta::days(1)), 3, 0));
        assert_eq!(look().0, State::Ok);
        let damage = || Error::new(ErrorKind::Corrupt, "torn");
        *holds.lock().unwrap() = Err(damage());
        assert_eq!(look().0, State::Fail);
        *holds.lock().unwrap() = Err(Error::new(ErrorKind::Statement, "no such table: outbox"));
        let (state, observed, _) = look();
        assert_eq!((state, &*observed), (State::Unknown, "no such table: outbox"));
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

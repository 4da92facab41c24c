//! A backup that does not pass its trial restore, as a timer meets it that starts a process each time.

use db_backup::Invariant;
use db_testkit::both_engines;

use super::*;

both_engines! {
    fn what_fails_its_trial_is_not_made_again_before_its_time(db: TestDb) {
        db.connect().execute("CREATE TABLE t (id INTEGER PRIMARY KEY)");
        let url = DatabaseUrl::parse(&db.url()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        let job = || {
            let never = Invariant::new("never", |_| Ok(vec!["no".to_owned()]));
            let verify = VerifyOptions::new().with_server(url.clone()).with_invariant(never);
            let source = Source { url: url.clone(), key: None };
            let options = (BackupOptions::new(), verify);
            let policy = db_backup::retention::Policy::none();
            StoreJob::new(source, Arc::new(store.clone()), options, policy)
        };
        let mut told = Vec::new();
        for _ in 0..3 {
            let at: (Arc<dyn Timer>, _) = (Arc::new(Patient::default()), &Interrupt::default());
            let state = run(Schedule::default(), job(), at, true, &mut |event| match event {
                Event::Made { .. } => told.push("made"),
                Event::Failed { part: "drill", error: Error::Unsound { .. } } => told.push("failed"),
                Event::Failed { part, error } => panic!("{part}: {error}"),
                _ => {}
            });
            let state = state.unwrap();
            assert!(state.alarms.contains(&Alarm::DrillFailing), "{state:?}");
        }
        // It is tried each time, so that it stays alarming, and made once.
        assert_eq!(told, ["made", "failed", "failed", "failed"]);
        let now = db_core::Clock::now(&db_core::SystemClock);
        let found = status(&store, now).unwrap();
        assert_eq!((found.damaged.len(), &found.series[0].newest), (1, &None));
        let facts = job().facts().unwrap();
        assert!(facts.newest.is_none() && facts.last_made.is_some(), "{facts:?}");
    }
}

//! Settings.

use std::sync::Barrier;

use db_repo::{Error, SettingsRepository};
use db_testkit::{TestDb, both_engines};
use serde_json::{Value, json};

use crate::support::{all_pages, at, open, read, refusal, write};

both_engines! {
    fn a_value_is_read_as_the_type_it_was_set_from(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| SettingsRepository::set(conn, "limits.bet", &(1, 500), at(1)));
        write(&database, |conn| SettingsRepository::set(conn, "name", "CRAP", at(1)));
        write(&database, |conn| SettingsRepository::set(conn, "edge", &0.1_f64, at(1)));
        write(&database, |conn| SettingsRepository::set(conn, "none", &Value::Null, at(1)));
        let limits: (i32, i32) = read(&database, |conn| SettingsRepository::get(conn, "limits.bet"));
        assert_eq!(limits, (1, 500));
        let name: Option<String> = read(&database, |conn| SettingsRepository::find(conn, "name"));
        assert_eq!(name.as_deref(), Some("CRAP"));
        let edge: f64 = read(&database, |conn| SettingsRepository::get(conn, "edge"));
        assert_eq!(edge.to_bits(), 0.1_f64.to_bits());
        let none: Option<Value> = read(&database, |conn| SettingsRepository::find(conn, "none"));
        assert_eq!(none, Some(Value::Null));
        let absent: Option<Value> = read(&database, |conn| SettingsRepository::find(conn, "absent"));
        assert_eq!(absent, None);
        let mismatch =
            database.read(|conn| SettingsRepository::get::<u8>(conn, "name")).unwrap_err();
        assert!(matches!(mismatch, Error::SettingMismatch { ref key, .. } if key == "name"), "{mismatch:?}");
        let missing =
            database.read(|conn| SettingsRepository::get::<u8>(conn, "absent")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no setting absent");
        assert!(read(&database, |conn| SettingsRepository::exists(conn, "name")));
        assert!(!read(&database, |conn| SettingsRepository::exists(conn, "absent")));
    }

    fn a_value_is_replaced_and_removed(db: TestDb) {
        let database = open(&db);
        let first = write(&database, |conn| SettingsRepository::set(conn, "k", &1, at(1)));
        let second = write(&database, |conn| SettingsRepository::set(conn, "k", "two", at(2)));
        assert_eq!((second.id, second.created_at, second.updated_at), (first.id, at(1), at(2)));
        assert_eq!(second.setting_value.0, json!("two"));
        assert_eq!(read(&database, |conn| SettingsRepository::find_row(conn, "k")), Some(second));
        write(&database, |conn| SettingsRepository::delete(conn, "k"));
        assert_eq!(read(&database, |conn| SettingsRepository::find_row(conn, "k")), None);
        let refused = refusal(&database, |conn| SettingsRepository::delete(conn, "k"));
        assert_eq!(refused.to_string(), "there is no setting k");
        let refused = refusal(&database, |conn| SettingsRepository::set(conn, "", &1, at(1)));
        assert!(matches!(refused, Error::Invalid { field: "setting_key", .. }), "{refused:?}");
        let large = "x".repeat(1 << 20);
        let refused = refusal(&database, |conn| SettingsRepository::set(conn, "k", &large, at(1)));
        assert!(matches!(refused, Error::Invalid { field: "setting_value", .. }), "{refused:?}");
        let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        let refused = refusal(&database, |conn| SettingsRepository::set(conn, "k", &keys, at(1)));
        assert!(matches!(refused, Error::Invalid { field: "setting_value", .. }), "{refused:?}");
    }

    fn names_are_listed_by_their_beginning(db: TestDb) {
        let database = open(&db);
        for key in ["a", "a.", "a.b", "a.c", "a.é", "a/", "a%", "b", "A.x", "a.b.c"] {
            write(&database, |conn| SettingsRepository::set(conn, key, &0, at(1)));
        }
        let of = |prefix| -> Vec<_> {
            all_pages(&database, 2, |conn, page| SettingsRepository::list(conn, prefix, page))
                .into_iter()
                .map(|setting| setting.setting_key)
                .collect()
        };
        assert_eq!(of("a."), ["a.", "a.b", "a.b.c", "a.c", "a.é"]);
        assert_eq!(of("a%"), ["a%"]);
        assert_eq!(of("c"), [""; 0]);
        assert_eq!(of(""), ["A.x", "a", "a%", "a.", "a.b", "a.b.c", "a.c", "a.é", "a/", "b"]);
    }

    fn a_value_is_set_only_in_the_place_of_the_expected_one(db: TestDb) {
        let database = open(&db);
        let swap = |expected: Option<Value>, value: Value, second| {
            write(&database, |conn| {
                SettingsRepository::compare_and_set(conn, "k", expected.as_ref(), &value, at(second))
            })
        };
        assert!(!swap(Some(json!(1)), json!(2), 1));
        assert!(swap(None, json!({"b": 1, "a": [1.5, null]}), 2));
        assert!(!swap(None, json!(2), 3));
        assert!(!swap(Some(json!({"b": 1})), json!(2), 4));
        assert!(swap(Some(json!({"a": [1.5, null], "b": 1})), json!("x"), 5));
        let now = read(&database, |conn| SettingsRepository::find_row(conn, "k")).unwrap();
        assert_eq!((now.setting_value.0, now.updated_at), (json!("x"), at(5)));
        let refused = refusal(&database, |conn| {
            SettingsRepository::compare_and_set(conn, "", Some(&1), &2, at(1))
        });
        assert!(matches!(refused, Error::Invalid { field: "setting_key", .. }), "{refused:?}");
    }

    fn numbers_are_compared_by_what_they_are_worth(db: TestDb) {
        let database = open(&db);
        let swap = |expected: Value, value: Value| {
            write(&database, |conn| {
                SettingsRepository::compare_and_set(conn, "k", Some(&expected), &value, at(1))
            })
        };
        let beyond = 2_f64.powi(64);
        for number in [1e15, 1e16, -1e16, beyond, 1e22, 1e300, -1e300, 1e-300, 0.1, -0.0] {
            for value in [json!(number), json!({"a": [number, "x"]})] {
                write(&database, |conn| SettingsRepository::set(conn, "k", &value, at(1)));
                assert!(swap(value.clone(), json!(0)), "{value}");
            }
        }
        for (stored, expected, is_same) in [
            (json!(1), json!(1.0), true),
            (json!(10_000_000_000_000_000_i64), json!(1e16), true),
            (json!(10_000_000_000_000_001_i64), json!(1e16), false),
            (json!(u64::MAX), json!(beyond), false),
            (json!(1), json!(1.5), false),
            (json!([1, 2]), json!([1]), false),
            (json!({"a": 1}), json!({"b": 1}), false),
            (json!(1), json!("1"), false),
        ] {
            write(&database, |conn| SettingsRepository::set(conn, "k", &stored, at(1)));
            assert_eq!(swap(expected.clone(), json!(0)), is_same, "{stored} {expected}");
        }
    }

    fn of_several_that_expect_the_same_one_sets(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| SettingsRepository::set(conn, "turn", &0, at(0)));
        let together = Barrier::new(6);
        for round in 0..5_i64 {
            let set: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..6_i64).map(|n| {
                    let (database, together) = (&database, &together);
                    scope.spawn(move || {
                        together.wait();
                        write(database, |conn| {
                            let (now, next) = (round * 10, (round + 1) * 10 + n);
                            SettingsRepository::compare_and_set(conn, "turn", Some(&now), &next, at(1))
                        })
                    })
                }).collect();
                threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum()
            });
            assert_eq!(set, 1);
            write(&database, |conn| SettingsRepository::set(conn, "turn", &((round + 1) * 10), at(2)));
        }
    }
}

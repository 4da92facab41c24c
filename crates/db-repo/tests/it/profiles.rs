//! Telegram accounts.

use db_repo::{Error, ProfileRepository, UserRepository};
use db_schema::rows::{NewProfile, ProfileChanges};
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};
use serde_json::json;

use crate::rows::new_profile;
use crate::support::{all_pages, at, open, read, refusal, users, write};

both_engines! {
    fn an_account_is_found_by_player_and_by_number(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        let new = new_profile("u1", 77, 1);
        let made = write(&database, |conn| ProfileRepository::create(conn, &new));
        assert_eq!((made.telegram_id, made.is_premium, made.email_verified), (77, true, false));
        assert_eq!(made.metadata, Some(Json(json!({"from": "test"}))));
        assert_eq!((made.created_at, made.updated_at), (at(1), at(1)));
        assert_eq!(read(&database, |conn| ProfileRepository::find(conn, "u1")), Some(made.clone()));
        assert_eq!(read(&database, |conn| ProfileRepository::get(conn, "u1")), made);
        let by_number = read(&database, |conn| ProfileRepository::find_by_telegram_id(conn, 77));
        assert_eq!(by_number, Some(made));
        assert_eq!(read(&database, |conn| ProfileRepository::find_by_telegram_id(conn, 78)), None);
        assert!(read(&database, |conn| ProfileRepository::exists(conn, "u1")));
        assert!(!read(&database, |conn| ProfileRepository::exists(conn, "u2")));
        let missing = database.read(|conn| ProfileRepository::get(conn, "u2")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no profile u2");
    }

    fn one_account_per_player_and_one_player_per_account(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| ProfileRepository::create(conn, &new_profile("u1", 77, 0)));
        for number in [77, 78] {
            let again = new_profile("u1", number, 0);
            let refused = refusal(&database, |conn| ProfileRepository::create(conn, &again));
            assert!(matches!(refused, Error::AlreadyExists { entity: "profile", .. }), "{refused:?}");
        }
        let theirs = new_profile("u2", 77, 0);
        let refused = refusal(&database, |conn| ProfileRepository::create(conn, &theirs));
        assert!(matches!(refused, Error::TelegramIdTaken(77)), "{refused:?}");
        let refused = refusal(&database, |conn| ProfileRepository::upsert(conn, &theirs));
        assert!(matches!(refused, Error::TelegramIdTaken(77)), "{refused:?}");
        write(&database, |conn| ProfileRepository::create(conn, &new_profile("u2", 78, 0)));
        let changes = ProfileChanges { telegram_id: Some(77), ..ProfileChanges::default() };
        let refused = refusal(&database, |conn| ProfileRepository::update(conn, "u2", &changes, at(1)));
        assert!(matches!(refused, Error::TelegramIdTaken(77)), "{refused:?}");
        for refused in [
            refusal(&database, |conn| ProfileRepository::create(conn, &new_profile("u9", 79, 0))),
            refusal(&database, |conn| ProfileRepository::upsert(conn, &new_profile("u9", 79, 0))),
        ] {
            assert_eq!(refused.to_string(), "user_id: there is no user u9");
        }
    }

    fn what_telegram_says_last_counts(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        write(&database, |conn| ProfileRepository::upsert(conn, &new_profile("u1", 77, 1)));
        write(&database, |conn| ProfileRepository::update_email_verified(conn, "u1", true, at(2)));
        let later = NewProfile {
            first_name: None,
            is_premium: false,
            metadata: None,
            ..new_profile("u1", 80, 3)
        };
        let changed = write(&database, |conn| ProfileRepository::upsert(conn, &later));
        assert_eq!((changed.telegram_id, changed.first_name.clone()), (80, None));
        assert!(changed.email_verified && !changed.is_premium);
        assert_eq!(changed.metadata, Some(Json(json!({"from": "test"}))));
        assert_eq!((changed.created_at, changed.updated_at), (at(1), at(3)));
        assert_eq!(read(&database, |conn| ProfileRepository::get(conn, "u1")), changed);
    }

    fn changes_are_made_in_parts(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        write(&database, |conn| ProfileRepository::create(conn, &new_profile("u1", 77, 1)));
        let changes = ProfileChanges {
            username: Some(None),
            last_name: Some(Some("Lovelace".into())),
            metadata: Some(Some(Json(json!([1])))),
            ..ProfileChanges::default()
        };
        let changed =
            write(&database, |conn| ProfileRepository::update(conn, "u1", &changes, at(2)));
        assert_eq!((changed.username.clone(), changed.last_name.as_deref()), (None, Some("Lovelace")));
        assert_eq!((changed.first_name.as_deref(), changed.telegram_id), (Some("Ada"), 77));
        assert_eq!(changed.metadata, Some(Json(json!([1]))));
        write(&database, |conn| ProfileRepository::update_phone_verified(conn, "u1", true, at(3)));
        write(&database, |conn| ProfileRepository::update_email_verified(conn, "u1", true, at(4)));
        write(&database, |conn| ProfileRepository::update_phone_verified(conn, "u1", false, at(5)));
        let now = read(&database, |conn| ProfileRepository::get(conn, "u1"));
        assert_eq!((now.email_verified, now.phone_verified, now.updated_at), (true, false, at(5)));
        for refused in [
            refusal(&database, |conn| ProfileRepository::update(conn, "u9", &changes, at(9))),
            refusal(&database, |conn| ProfileRepository::update_email_verified(conn, "u9", true, at(9))),
            refusal(&database, |conn| ProfileRepository::update_phone_verified(conn, "u9", true, at(9))),
            refusal(&database, |conn| ProfileRepository::delete(conn, "u9")),
        ] {
            assert_eq!(refused.to_string(), "there is no profile u9");
        }
    }

    fn an_account_goes_alone_or_with_its_player(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        write(&database, |conn| ProfileRepository::create(conn, &new_profile("u1", 1, 0)));
        write(&database, |conn| ProfileRepository::create(conn, &new_profile("u2", 2, 0)));
        write(&database, |conn| ProfileRepository::delete(conn, "u1"));
        write(&database, |conn| UserRepository::delete(conn, "u2"));
        for user in ["u1", "u2"] {
            assert_eq!(read(&database, |conn| ProfileRepository::find(conn, user)), None);
        }
    }

    fn lists_hold_each_account_once_newest_first(db: TestDb) {
        let database = open(&db);
        let ids: Vec<_> = (0..17).map(|n| format!("u{n:02}")).collect();
        users(&database, &ids.iter().map(String::as_str).collect::<Vec<_>>());
        for (n, id) in (0..).zip(&ids) {
            let new = new_profile(id, n + 1, n / 3);
            write(&database, |conn| ProfileRepository::create(conn, &new));
            if n % 4 == 0 {
                write(&database, |conn| {
                    ProfileRepository::update_email_verified(conn, id, true, at(90 + n))
                });
            }
        }
        let seen: Vec<_> = all_pages(&database, 5, ProfileRepository::list)
            .into_iter()
            .map(|profile| profile.user_id)
            .collect();
        let newest: Vec<_> = ids.iter().rev().cloned().collect();
        assert_eq!(seen, newest);
        let seen: Vec<_> = all_pages(&database, 5, ProfileRepository::list_with_unverified_email)
            .into_iter()
            .map(|profile| profile.user_id)
            .collect();
        let open: Vec<_> =
            (0..17).rev().filter(|n| n % 4 != 0).map(|n| format!("u{n:02}")).collect();
        assert_eq!(seen, open);
    }

    fn what_cannot_be_is_refused_by_field(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let right = new_profile("u1", 1, 0);
        let long = Some("x".repeat(65));
        for (field, wrong) in [
            ("user_id", NewProfile { user_id: String::new(), ..right.clone() }),
            ("telegram_id", NewProfile { telegram_id: 0, ..right.clone() }),
            ("username", NewProfile { username: long.clone(), ..right.clone() }),
            ("first_name", NewProfile { first_name: long.clone(), ..right.clone() }),
            ("last_name", NewProfile { last_name: long, ..right.clone() }),
            ("language_code", NewProfile { language_code: Some("x".into()), ..right }),
        ] {
            for refused in [
                refusal(&database, |conn| ProfileRepository::create(conn, &wrong)),
                refusal(&database, |conn| ProfileRepository::upsert(conn, &wrong)),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
    }
}

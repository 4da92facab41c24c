//! Players.

use db_core::Engine;
use db_repo::{Cursor, Error, GameRepository, PageRequest, TransactionRepository, UserRepository};
use db_schema::rows::{NewUser, UserChanges};
use db_testkit::{TestDb, both_engines};

use crate::support::{at, new_user, open, read, refusal, users, write};

both_engines! {
    /// A page is not shorter by a row that nobody can read.
    fn a_row_that_cannot_be_read_fails_its_page(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        let beyond = match db.engine() {
            Engine::Sqlite => "9223372036854775807",
            Engine::Postgres => "'290000-01-01'",
        };
        db.connect().execute(&format!("UPDATE users SET created_at = {beyond} WHERE id = 'u1'"));
        let page = database.read(|conn| UserRepository::list(conn, &PageRequest::default()));
        assert!(matches!(page, Err(Error::Database(_))), "{page:?}");
    }

    fn a_player_is_found_by_key_and_by_name(db: TestDb) {
        let database = open(&db);
        let new = new_user("u1", 3);
        let made = write(&database, |conn| UserRepository::create(conn, &new));
        assert_eq!(made.username, "name of u1");
        assert_eq!((made.created_at, made.updated_at), (at(3), at(3)));
        let by_key = read(&database, |conn| UserRepository::find(conn, "u1"));
        let by_name = read(&database, |conn| UserRepository::find_by_username(conn, "name of u1"));
        assert_eq!(by_key.as_ref(), Some(&made));
        assert_eq!(by_name, Some(made));
        assert_eq!(read(&database, |conn| UserRepository::find(conn, "u2")), None);
        assert!(read(&database, |conn| UserRepository::exists(conn, "u1")));
        assert!(!read(&database, |conn| UserRepository::exists(conn, "u2")));
        let missing = database.read(|conn| UserRepository::get(conn, "u2")).unwrap_err();
        assert_eq!(missing.to_string(), "there is no user u2");
    }

    fn names_and_keys_are_taken_once(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        let same_key = NewUser { username: "other".into(), ..new_user("u1", 0) };
        let refused = refusal(&database, |conn| UserRepository::create(conn, &same_key));
        assert!(matches!(refused, Error::AlreadyExists { entity: "user", ref key } if key == "u1"));
        let same_name = NewUser { id: "u3".into(), ..new_user("u1", 0) };
        let refused = refusal(&database, |conn| UserRepository::create(conn, &same_name));
        assert!(matches!(refused, Error::UsernameTaken(ref name) if name == "name of u1"));
        let changes = UserChanges { username: Some("name of u1".into()), ..UserChanges::default() };
        let refused = refusal(&database, |conn| UserRepository::update(conn, "u2", &changes, at(1)));
        assert!(matches!(refused, Error::UsernameTaken(_)), "{refused:?}");
    }

    fn changes_are_made_in_parts(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let changes = UserChanges { reputation: Some(-1.5), ..UserChanges::default() };
        let changed = write(&database, |conn| UserRepository::update(conn, "u1", &changes, at(9)));
        assert_eq!((changed.reputation, changed.updated_at), (-1.5, at(9)));
        assert_eq!(changed.username, "name of u1");
        write(&database, |conn| UserRepository::update_reputation(conn, "u1", 4.5, at(10)));
        let user = read(&database, |conn| UserRepository::get(conn, "u1"));
        assert_eq!((user.reputation, user.updated_at), (4.5, at(10)));
        for refused in [
            refusal(&database, |conn| UserRepository::update(conn, "u9", &changes, at(9))),
            refusal(&database, |conn| UserRepository::update_reputation(conn, "u9", 1.0, at(9))),
            refusal(&database, |conn| UserRepository::delete(conn, "u9")),
        ] {
            assert_eq!(refused.to_string(), "there is no user u9");
        }
        let refused = refusal(&database, |conn| {
            UserRepository::update_reputation(conn, "u1", f64::INFINITY, at(9))
        });
        assert!(matches!(refused, Error::Invalid { field: "reputation", .. }));
    }

    fn a_change_of_nothing_moves_only_the_time(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let changed = write(&database, |conn| {
            UserRepository::update(conn, "u1", &UserChanges::default(), at(9))
        });
        assert_eq!(changed.updated_at, at(9));
    }

    fn pages_hold_every_player_once_newest_first(db: TestDb) {
        let database = open(&db);
        // Two of them came at each moment.
        let new: Vec<_> = (0..25).map(|n| new_user(&format!("u{n:02}"), n / 2)).collect();
        write(&database, |conn| UserRepository::create_many(conn, &new));
        let mut seen = Vec::new();
        let mut request = PageRequest::first(7);
        loop {
            let page = read(&database, |conn| UserRepository::list(conn, &request));
            assert!(page.items.len() <= 7);
            seen.extend(page.items.into_iter().map(|user| user.id));
            match page.next {
                Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        let newest_first: Vec<_> = (0..25).rev().map(|n| format!("u{n:02}")).collect();
        assert_eq!(seen, newest_first);
        assert_eq!(read(&database, UserRepository::count), 25);
    }

    fn many_are_all_or_none(db: TestDb) {
        let database = open(&db);
        let mut new: Vec<_> = (0..2_500).map(|n| new_user(&format!("u{n}"), n)).collect();
        assert_eq!(write(&database, |conn| UserRepository::create_many(conn, &new)), 2_500);
        new.truncate(1);
        new.insert(0, new_user("fresh", 0));
        let refused = refusal(&database, |conn| UserRepository::create_many(conn, &new));
        assert!(matches!(&refused, Error::AlreadyExists { entity: "user", key } if key == "u0"), "{refused:?}");
        new[1].id = "other".into();
        let refused = refusal(&database, |conn| UserRepository::create_many(conn, &new));
        assert!(matches!(&refused, Error::UsernameTaken(name) if name == "name of u0"), "{refused:?}");
        // Twice among them.
        new[1] = NewUser { username: "another".into(), ..new_user("fresh", 0) };
        let refused = refusal(&database, |conn| UserRepository::create_many(conn, &new));
        assert!(matches!(&refused, Error::AlreadyExists { key, .. } if key == "fresh"), "{refused:?}");
        new[1] = NewUser { username: "name of fresh".into(), ..new_user("other", 0) };
        let refused = refusal(&database, |conn| UserRepository::create_many(conn, &new));
        assert!(matches!(&refused, Error::UsernameTaken(name) if name == "name of fresh"), "{refused:?}");
        assert_eq!(read(&database, UserRepository::count), 2_500);
    }

    fn what_cannot_be_is_refused_by_field(db: TestDb) {
        let database = open(&db);
        let right = new_user("u1", 0);
        for (field, wrong) in [
            ("id", NewUser { id: String::new(), ..right.clone() }),
            ("username", NewUser { username: "x".repeat(65), ..right.clone() }),
            ("username", NewUser { username: "a\0b".into(), ..right.clone() }),
            ("username", NewUser { username: " ".into(), ..right.clone() }),
            ("username", NewUser { username: " lead".into(), ..right.clone() }),
            ("public_key", NewUser { public_key: Vec::new(), ..right }),
        ] {
            let refused = refusal(&database, |conn| UserRepository::create(conn, &wrong));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
        users(&database, &["u1"]);
        let changes = UserChanges { username: Some("trail ".into()), ..UserChanges::default() };
        let refused = refusal(&database, |conn| UserRepository::update(conn, "u1", &changes, at(1)));
        assert_eq!(refused.to_string(), "username: must not begin or end with white space");
    }

    fn a_cursor_of_another_list_is_refused(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2", "u3"]);
        let page = read(&database, |conn| UserRepository::list(conn, &PageRequest::first(1)));
        let next = PageRequest::first(1).after(page.next.unwrap());
        let of_games = database.read(|conn| GameRepository::list_active(conn, &next)).unwrap_err();
        let of_lines = database.read(|conn| TransactionRepository::list(conn, "u1", &next)).unwrap_err();
        for refused in [of_games, of_lines] {
            assert_eq!(
                refused.to_string(),
                "after: must be the cursor of a page of this list"
            );
        }
        // As an earlier version gave it.
        let old: Result<Cursor, Error> = "t:1700000000000000.u1".parse().map_err(Error::from);
        assert!(matches!(old, Err(Error::Invalid { field: "after", .. })), "{old:?}");
    }
}

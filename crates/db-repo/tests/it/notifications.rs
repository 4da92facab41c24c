//! Messages to players.

use db_repo::{Error, NotificationRepository, PageRequest};
use db_schema::rows::{NewNotification, NotificationType};
use db_schema::types::Json;
use db_testkit::{TestDb, both_engines};

use crate::support::{at, open, read, refusal, users, write};

/// A message to this player, at `at(seconds)`.
pub(crate) fn message(user: &str, seconds: i64) -> NewNotification {
    NewNotification {
        user_id: user.to_owned(),
        notification_type: NotificationType::Win,
        title: "You won".to_owned(),
        message: format!("{seconds} CRAP.\nCongratulations!"),
        metadata: None,
        created_at: at(seconds),
    }
}

both_engines! {
    fn a_message_is_unread_until_its_player_reads_it(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        let new = NewNotification {
            metadata: Some(Json(serde_json::json!({ "amount": 7 }))),
            ..message("u1", 3)
        };
        let id = write(&database, |conn| NotificationRepository::create(conn, &new));
        let found = read(&database, |conn| NotificationRepository::find(conn, id)).unwrap();
        assert_eq!((found.is_read, found.read_at), (false, None));
        assert_eq!((found.created_at, &found.metadata), (at(3), &new.metadata));
        assert_eq!((found.title, found.message), (new.title, new.message));
        assert_eq!(found.notification_type, NotificationType::Win);

        let refused = refusal(&database, |conn| {
            NotificationRepository::mark_read(conn, "u2", id, at(4))
        });
        assert_eq!(refused.to_string(), format!("there is no notification {id}"));
        assert_eq!(read(&database, |conn| NotificationRepository::count_unread(conn, "u1")), 1);
        write(&database, |conn| NotificationRepository::mark_read(conn, "u1", id, at(5)));
        // Twice is no error, and changes nothing.
        write(&database, |conn| NotificationRepository::mark_read(conn, "u1", id, at(6)));
        let found = read(&database, |conn| NotificationRepository::find(conn, id)).unwrap();
        assert_eq!((found.is_read, found.read_at), (true, Some(at(5))));
        assert_eq!(read(&database, |conn| NotificationRepository::count_unread(conn, "u1")), 0);
    }

    fn pages_hold_a_players_messages_newest_first(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        // Two of them at each moment, and as many of another player.
        let new: Vec<_> = (0..50).map(|n| message(if n % 2 == 0 { "u1" } else { "u2" }, n / 4)).collect();
        assert_eq!(write(&database, |conn| NotificationRepository::create_many(conn, &new)), 50);
        let mut seen = Vec::new();
        let mut request = PageRequest::first(7);
        loop {
            let page = read(&database, |conn| NotificationRepository::list(conn, "u1", &request));
            assert!(page.items.iter().all(|message| message.user_id == "u1"));
            seen.extend(page.items.into_iter().map(|message| (message.created_at, message.id)));
            match page.next {
                Some(next) => request = PageRequest::first(7).after(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        assert_eq!(seen.len(), 25);
        assert!(seen.is_sorted_by(|a, b| a > b));
    }

    fn all_are_read_at_once(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1", "u2"]);
        let new: Vec<_> = (0..6).map(|n| message(["u1", "u2"][n % 2], 0)).collect();
        write(&database, |conn| NotificationRepository::create_many(conn, &new));
        let mark = |user| {
            write(&database, |conn| NotificationRepository::mark_all_read(conn, user, at(9)))
        };
        assert_eq!([mark("u1"), mark("u1")], [3, 0]);
        assert_eq!(read(&database, |conn| NotificationRepository::count_unread(conn, "u2")), 3);
    }

    fn the_old_are_deleted_in_batches(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let new: Vec<_> = (0..1_205).map(|n| message("u1", n)).collect();
        write(&database, |conn| NotificationRepository::create_many(conn, &new));
        let delete = || write(&database, |conn| NotificationRepository::delete_older_than(conn, at(1_200), 1_000));
        assert_eq!([delete(), delete(), delete()], [1_000, 200, 0]);
        let left = read(&database, |conn| {
            NotificationRepository::list(conn, "u1", &PageRequest::default())
        });
        let left: Vec<_> = left.items.into_iter().map(|message| message.created_at).collect();
        assert_eq!(left, [at(1_204), at(1_203), at(1_202), at(1_201), at(1_200)]);
    }

    fn what_cannot_be_is_refused_by_field(db: TestDb) {
        let database = open(&db);
        users(&database, &["u1"]);
        let right = message("u1", 0);
        for (field, wrong) in [
            ("title", NewNotification { title: String::new(), ..right.clone() }),
            ("message", NewNotification { message: "a\0".into(), ..right.clone() }),
            ("message", NewNotification { message: "x".repeat(10_001), ..right.clone() }),
        ] {
            let refused = refusal(&database, |conn| NotificationRepository::create(conn, &wrong));
            assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
        }
        let nobody = message("nobody", 0);
        let refused = refusal(&database, |conn| NotificationRepository::create(conn, &nobody));
        assert_eq!(refused.to_string(), "user_id: there is no user nobody");
        let many = [right, nobody];
        let refused = refusal(&database, |conn| NotificationRepository::create_many(conn, &many));
        assert_eq!(refused.to_string(), "user_id: there is no user nobody");
        assert_eq!(read(&database, |conn| NotificationRepository::count_unread(conn, "u1")), 0);
    }
}

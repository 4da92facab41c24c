//! How usage is shown.

use db_core::Conn;
use db_repo::{Error, UsageConfigRepository};
use db_schema::rows::{Theme, TimeFormat, UsageConfigChanges, UsagePlan, UsageView};
use db_testkit::{TestDb, both_engines};

use crate::support::{after_a_rival, at, open, read, refusal, write};

fn everything() -> UsageConfigChanges {
    UsageConfigChanges {
        plan: Some(UsagePlan::Max20),
        custom_limit_tokens: Some(Some(1)),
        view: Some(UsageView::Session),
        timezone: Some("Europe/Berlin".to_owned()),
        time_format: Some(TimeFormat::Hours12),
        theme: Some(Theme::Classic),
        refresh_rate: Some(60),
        refresh_per_second: Some(20.0),
        reset_hour: Some(Some(23)),
    }
}

both_engines! {
    fn a_new_database_has_the_defaults(db: TestDb) {
        let database = open(&db);
        let first = read(&database, UsageConfigRepository::get);
        assert_eq!((first.plan, first.view, first.theme), (UsagePlan::Custom, UsageView::Realtime, Theme::Auto));
        assert_eq!((first.refresh_rate, first.reset_hour, first.is_active), (10, None, true));
        // What a reset sets is what the table has, and what a new row gets.
        let changed = write(&database, |conn| UsageConfigRepository::update(conn, &everything(), at(1)));
        assert_eq!((changed.timezone.as_str(), changed.reset_hour), ("Europe/Berlin", Some(23)));
        assert_eq!((changed.id, changed.updated_at), (first.id, at(1)));
        let mut reset = write(&database, |conn| UsageConfigRepository::reset(conn, at(2)));
        assert_eq!(reset.updated_at, at(2));
        reset.updated_at = first.updated_at;
        assert_eq!(reset, first);
        write(&database, |conn| UsageConfigRepository::deactivate(conn, at(3)));
        let mut made = write(&database, |conn| UsageConfigRepository::reset(conn, at(4)));
        assert_ne!(made.id, first.id);
        assert_eq!((made.created_at, made.updated_at), (at(4), at(4)));
        (made.id, made.created_at, made.updated_at) = (first.id, first.created_at, first.updated_at);
        assert_eq!(made, first);
    }

    fn changes_are_made_in_parts(db: TestDb) {
        let database = open(&db);
        write(&database, |conn| UsageConfigRepository::update(conn, &everything(), at(1)));
        let changes = UsageConfigChanges {
            plan: Some(UsagePlan::Pro),
            custom_limit_tokens: Some(None),
            ..UsageConfigChanges::default()
        };
        let changed = write(&database, |conn| UsageConfigRepository::update(conn, &changes, at(2)));
        assert_eq!((changed.plan, changed.custom_limit_tokens), (UsagePlan::Pro, None));
        assert_eq!((changed.theme, changed.time_format), (Theme::Classic, TimeFormat::Hours12));
        assert_eq!((changed.refresh_rate, changed.reset_hour), (60, Some(23)));
        assert_eq!(read(&database, UsageConfigRepository::find), Some(changed));
        let none = UsageConfigChanges::default();
        let same = write(&database, |conn| UsageConfigRepository::update(conn, &none, at(3)));
        assert_eq!((same.plan, same.updated_at), (UsagePlan::Pro, at(3)));
    }

    fn one_is_active(db: TestDb) {
        let database = open(&db);
        let refused = refusal(&database, |conn| UsageConfigRepository::create(conn, &everything(), at(1)));
        assert!(matches!(refused, Error::AlreadyExists { entity: "usage configuration", .. }), "{refused:?}");
        write(&database, |conn| UsageConfigRepository::deactivate(conn, at(1)));
        assert_eq!(read(&database, UsageConfigRepository::find), None);
        for refused in [
            refusal(&database, |conn| UsageConfigRepository::get(conn).map(drop)),
            refusal(&database, |conn| UsageConfigRepository::update(conn, &everything(), at(2)).map(drop)),
            refusal(&database, |conn| UsageConfigRepository::deactivate(conn, at(2))),
        ] {
            assert_eq!(refused.to_string(), "there is no usage configuration that is active");
        }
        let made = write(&database, |conn| UsageConfigRepository::create(conn, &everything(), at(3)));
        assert_eq!((made.plan, made.refresh_per_second.to_bits()), (UsagePlan::Max20, 20.0_f64.to_bits()));
        assert_eq!(read(&database, UsageConfigRepository::get), made);
    }

    fn ranges_are_those_of_the_table(db: TestDb) {
        let database = open(&db);
        let none = UsageConfigChanges::default;
        for right in [
            UsageConfigChanges { refresh_rate: Some(1), refresh_per_second: Some(0.1), ..none() },
            UsageConfigChanges { refresh_rate: Some(60), reset_hour: Some(Some(0)), ..none() },
        ] {
            write(&database, |conn| UsageConfigRepository::update(conn, &right, at(1)));
        }
        for (field, wrong) in [
            ("custom_limit_tokens", UsageConfigChanges { custom_limit_tokens: Some(Some(0)), ..none() }),
            ("timezone", UsageConfigChanges { timezone: Some(String::new()), ..none() }),
            ("timezone", UsageConfigChanges { timezone: Some("here; there".into()), ..none() }),
            ("refresh_rate", UsageConfigChanges { refresh_rate: Some(0), ..none() }),
            ("refresh_rate", UsageConfigChanges { refresh_rate: Some(61), ..none() }),
            ("refresh_per_second", UsageConfigChanges { refresh_per_second: Some(0.099), ..none() }),
            ("refresh_per_second", UsageConfigChanges { refresh_per_second: Some(20.1), ..none() }),
            ("refresh_per_second", UsageConfigChanges { refresh_per_second: Some(f64::NAN), ..none() }),
            ("reset_hour", UsageConfigChanges { reset_hour: Some(Some(24)), ..none() }),
            ("reset_hour", UsageConfigChanges { reset_hour: Some(Some(-1)), ..none() }),
        ] {
            for refused in [
                refusal(&database, |conn| UsageConfigRepository::update(conn, &wrong, at(2)).map(drop)),
                refusal(&database, |conn| UsageConfigRepository::create(conn, &wrong, at(2)).map(drop)),
            ] {
                assert!(matches!(refused, Error::Invalid { field: f, .. } if f == field), "{refused}");
            }
        }
    }

    fn a_rival_may_put_another_in_its_place(db: TestDb) {
        let database = open(&db);
        let first = read(&database, UsageConfigRepository::get);
        let none = UsageConfigChanges::default;
        let replace = move |second| move |conn: &mut Conn<'_>| {
            UsageConfigRepository::deactivate(conn, at(second))?;
            UsageConfigRepository::create(conn, &none(), at(second)).map(drop)
        };
        let changed = after_a_rival(&db, replace(1), |conn| {
            UsageConfigRepository::update(conn, &everything(), at(2))
        });
        let changed = changed.unwrap();
        assert_ne!(changed.id, first.id);
        assert_eq!((changed.created_at, changed.updated_at, changed.plan), (at(1), at(2), UsagePlan::Max20));
        let reset = after_a_rival(&db, replace(3), |conn| UsageConfigRepository::reset(conn, at(4)));
        assert_eq!(reset.unwrap().created_at, at(3));
        after_a_rival(&db, replace(5), |conn| UsageConfigRepository::deactivate(conn, at(6))).unwrap();
        assert_eq!(read(&database, UsageConfigRepository::find), None);
    }
}

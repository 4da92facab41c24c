//! Who made a change, as the audit trail says it.

use db_core::{Conn, with_conn};
use db_repo::{Actor, Error, UserRepository};
use db_schema::schema::audit_logs;
use db_schema::types::UtcTime;
use db_testkit::{TestDb, both_engines};
use diesel::prelude::*;

use crate::support::{at, new_user, open, read, refusal, write};

type Line = (
    Option<String>,
    String,
    String,
    Option<String>,
    Option<String>,
    UtcTime,
);

fn lines(conn: &mut Conn<'_>) -> Result<Vec<Line>, Error> {
    let query = audit_logs::table.order(audit_logs::id).select((
        audit_logs::user_id,
        audit_logs::action,
        audit_logs::entity_id,
        audit_logs::ip_address,
        audit_logs::user_agent,
        audit_logs::created_at,
    ));
    Ok(with_conn!(conn, |c| query.load(c))?)
}

both_engines! {
    fn the_trail_names_who_acted_and_nobody_afterwards(db: TestDb) {
        let database = open(&db);
        let actor = Actor::new().user("admin").address("203.0.113.7").agent("test/1");
        let new = new_user("u1", 0);
        write(&database, |conn| actor.acts(conn, at(5), |conn| UserRepository::create(conn, &new)));
        write(&database, |conn| UserRepository::update_reputation(conn, "u1", 2.0, at(6)));
        let lines = read(&database, lines);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            lines[0],
            (text("admin"), "insert".into(), "u1".into(), text("203.0.113.7"), text("test/1"), at(5))
        );
        assert_eq!(lines[1].0, None);
        assert_eq!((lines[1].3.as_ref(), lines[1].4.as_ref()), (None, None));
        assert_eq!(lines.len(), 2);
    }

    fn a_change_that_was_rolled_back_leaves_no_line(db: TestDb) {
        let database = open(&db);
        let actor = Actor::new().user("admin");
        let new = new_user("u1", 0);
        let refused = refusal(&database, |conn| {
            actor.acts(conn, at(0), |conn| {
                UserRepository::create(conn, &new)?;
                UserRepository::create(conn, &new)
            })
        });
        assert!(matches!(refused, Error::AlreadyExists { entity: "user", .. }), "{refused:?}");
        assert_eq!(read(&database, lines), []);
    }

    fn an_actor_of_too_many_words_is_refused(db: TestDb) {
        let database = open(&db);
        let actor = Actor::new().agent("x".repeat(513));
        let refused = refusal(&database, |conn| actor.acts(conn, at(0), |_| Ok::<_, Error>(())));
        assert_eq!(refused.to_string(), "user_agent: needs 0 to 512 characters, has 513");
    }
}

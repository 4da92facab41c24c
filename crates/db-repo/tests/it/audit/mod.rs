//! The audit trail: read, sealed, verified, tampered with.

mod boundary;
mod effects;
mod forged;
mod list;
mod seal;
mod tamper;

use db_core::{Conn, Database, FixedClock};
use db_repo::{Actor, AuditRepository, Error, Sealed, UserRepository, Verification};
use db_testkit::TestConn;

use crate::support::{at, new_user, read, write};

/// Changes of players, so many: each is a line of its own, at its own moment.
fn changes(database: &Database, count: i64) {
    write(database, |conn| {
        for n in 0..count {
            let user = format!("u{}", n / 3);
            let actor = Actor::new().user(format!("admin{}", n % 2)).agent("test/1");
            let now = at(n);
            actor.acts(conn, now, |conn| match n % 3 {
                0 => UserRepository::create(conn, &new_user(&user, n)).map(drop),
                1 => UserRepository::update_reputation(conn, &user, 1.5, now),
                _ => UserRepository::delete(conn, &user),
            })?;
        }
        Ok(())
    });
}

fn seal_all(database: &Database, lines: i64) -> Sealed {
    AuditRepository::seal_all(database, lines, &FixedClock(*at(0)), None).unwrap()
}

fn verified(database: &Database) -> Verification {
    read(database, |conn| AuditRepository::verify(conn, &[]))
}

/// A connection on which the trail can be changed: without its triggers and checks.
fn unguarded(mut conn: TestConn) -> TestConn {
    let sql = match conn.conn() {
        Conn::Sqlite(_) => {
            "PRAGMA ignore_check_constraints = ON;
            DROP TRIGGER audit_logs_append_only_update;
            DROP TRIGGER audit_logs_append_only_delete;
            DROP TRIGGER audit_logs_append_only_replace;
            DROP TRIGGER audit_seals_append_only_update;
            DROP TRIGGER audit_seals_append_only_delete;
            DROP TRIGGER audit_seals_append_only_replace;"
        }
        Conn::Postgres(_) => {
            "ALTER TABLE audit_logs DISABLE TRIGGER USER;
            ALTER TABLE audit_seals DISABLE TRIGGER USER;
            ALTER TABLE audit_logs DROP CONSTRAINT ck_audit_logs_id;
            ALTER TABLE audit_logs DROP CONSTRAINT ck_audit_logs_action;
            ALTER TABLE audit_logs DROP CONSTRAINT ck_audit_logs_before_state;
            ALTER TABLE audit_logs DROP CONSTRAINT ck_audit_logs_after_state;
            ALTER TABLE audit_seals DROP CONSTRAINT ck_audit_seals_first_id;
            ALTER TABLE audit_seals DROP CONSTRAINT ck_audit_seals_row_count;"
        }
    };
    conn.execute(sql);
    conn
}

fn verify_on(conn: &mut TestConn, anchors: &[db_repo::Anchor]) -> Result<Verification, Error> {
    AuditRepository::verify(&mut conn.conn(), anchors)
}

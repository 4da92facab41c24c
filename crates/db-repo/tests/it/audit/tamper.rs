//! Random tampering: each is detected, and the first bad line or seal named.
#![expect(
    clippy::print_stdout,
    reason = "a seed is printed, to run the same again"
)]

use std::fmt::Write as _;

use db_core::{Conn, with_conn};
use db_repo::{Anchor, AuditRepository, Fault};
use db_schema::rows::AuditSeal;
use db_schema::schema::{audit_logs, audit_seals};
use db_testkit::{TestConn, TestDb, both_engines, size};
use diesel::prelude::*;
use fastrand::Rng;

use super::{changes, seal_all, unguarded, verify_on};
use crate::support::{at, open};

/// Lines under one seal.
const LINES: i64 = 6;

/// A sealed trail and all that is known of it.
struct Trail {
    conn: TestConn,
    /// The lines that are sealed; there are gaps between them.
    lines: Vec<i64>,
    gaps: Vec<i64>,
    seals: Vec<AuditSeal>,
    anchors: Vec<Anchor>,
}

impl Trail {
    fn of(db: &TestDb) -> Self {
        let database = open(db);
        changes(&database, 33);
        let mut conn = unguarded(db.connect());
        conn.execute("DELETE FROM audit_logs WHERE id IN (1, 9, 10, 20, 31)");
        seal_all(&database, LINES);
        // Behind the seals there are lines of which nothing is said.
        conn.execute(
            "INSERT INTO audit_logs (action, entity_type, entity_id, after_state)
            VALUES ('insert', 'dice', 'd1', '{}'), ('insert', 'dice', 'd2', '{}')",
        );
        let mut c = conn.conn();
        let lines: Vec<i64> = with_conn!(c, |c| audit_logs::table
            .filter(audit_logs::entity_type.ne("dice"))
            .order(audit_logs::id)
            .select(audit_logs::id)
            .load(c))
        .unwrap();
        let seals: Vec<AuditSeal> = with_conn!(c, |c| audit_seals::table
            .order(audit_seals::id)
            .select(AuditSeal::as_select())
            .load(c))
        .unwrap();
        let anchors = seals
            .iter()
            .map(|seal| Anchor {
                seal: seal.id,
                hash: seal.hash.clone().try_into().unwrap(),
            })
            .collect();
        assert_eq!((lines.len(), seals.len()), (28, 5));
        Self {
            conn,
            lines,
            gaps: vec![1, 9, 10, 20, 31],
            seals,
            anchors,
        }
    }

    /// Tampers once, and says what verification has to say.
    fn tamper(&mut self, rng: &mut Rng) -> (String, Fault) {
        match rng.u8(..10) {
            0..3 => self.edit_a_line(rng),
            3 => {
                let id = one_of(rng, &self.lines);
                (
                    format!("DELETE FROM audit_logs WHERE id = {id}"),
                    Fault::LineMissing { id },
                )
            }
            4 => {
                let (id, like) = (one_of(rng, &self.gaps), one_of(rng, &self.lines));
                let columns = "user_id, action, entity_type, entity_id, before_state, after_state,
                    ip_address, user_agent, created_at, metadata";
                let sql = format!(
                    "INSERT INTO audit_logs (id, {columns}) SELECT {id}, {columns} FROM audit_logs WHERE id = {like}"
                );
                (sql, Fault::LineInserted { id })
            }
            5 => {
                let (id, content_of) = two_of(rng, &self.lines);
                // To change their ids is to change all the rest.
                let sql = format!(
                    "UPDATE audit_logs SET id = -id WHERE id IN ({id}, {content_of});
                    UPDATE audit_logs SET id = CASE id WHEN -{id} THEN {content_of} ELSE {id} END
                    WHERE id IN (-{id}, -{content_of})"
                );
                (sql, Fault::LineReordered { id, content_of })
            }
            6 => {
                let seal = self.one_seal(rng).id;
                (
                    format!("DELETE FROM audit_seals WHERE id = {seal}"),
                    Fault::SealMissing { seal },
                )
            }
            7 => self.edit_a_seal(rng),
            8 => {
                // The tail, with its seals.
                let seal = self.one_seal(rng);
                let sql = format!(
                    "DELETE FROM audit_logs WHERE id >= {}; DELETE FROM audit_seals WHERE id >= {}",
                    seal.first_id, seal.id
                );
                (sql, Fault::SealMissing { seal: seal.id })
            }
            _ => {
                // Everything made anew from some line on, by the rules.
                let seal = self.one_seal(rng).clone();
                let last = self.seals.last().map(|seal| seal.last_id).unwrap();
                let sql = format!(
                    "DELETE FROM audit_seals WHERE id >= {};
                    UPDATE audit_logs SET user_agent = 'forged' WHERE id = {}",
                    seal.id, seal.first_id
                );
                self.conn.execute(&sql);
                while AuditRepository::seal(&mut self.conn.conn(), last, LINES, at(0))
                    .unwrap()
                    .is_some()
                {}
                (
                    "SELECT 1".to_owned(),
                    Fault::AnchorDiffers { seal: seal.id },
                )
            }
        }
    }

    fn edit_a_line(&mut self, rng: &mut Rng) -> (String, Fault) {
        let id = one_of(rng, &self.lines);
        let column = rng.choice([
            "id",
            "user_id",
            "action",
            "entity_type",
            "entity_id",
            "before_state",
            "after_state",
            "ip_address",
            "user_agent",
            "created_at",
            "metadata",
        ]);
        let number = rng.u32(..);
        let (set, fault) = match column.unwrap() {
            "id" => {
                let beyond = self.lines.last().unwrap() + 100;
                let gap = one_of(rng, &self.gaps);
                let new = one_of(rng, &[gap, beyond, -5]);
                let fault = if new < id {
                    Fault::LineInserted { id: new }
                } else {
                    Fault::LineMissing { id }
                };
                (format!("id = {new}"), fault)
            }
            column @ ("before_state" | "after_state" | "metadata") => (
                format!("{column} = '{{\"forged\": {number}}}'"),
                Fault::LineChanged { id },
            ),
            "created_at" => {
                let by = match (self.conn.conn(), rng.bool()) {
                    (Conn::Sqlite(_), true) => "1",
                    (Conn::Sqlite(_), false) => "-1",
                    (Conn::Postgres(_), true) => "interval '1 microsecond'",
                    (Conn::Postgres(_), false) => "interval '-1 microsecond'",
                };
                (
                    format!("created_at = created_at + {by}"),
                    Fault::LineChanged { id },
                )
            }
            // What is empty now was not, and the other way round.
            "user_id" if rng.bool() => ("user_id = NULL".to_owned(), Fault::LineChanged { id }),
            column @ ("ip_address" | "user_agent") if rng.bool() => {
                (format!("{column} = ''"), Fault::LineChanged { id })
            }
            column => (
                format!("{column} = 'forged{number}'"),
                Fault::LineChanged { id },
            ),
        };
        (
            format!("UPDATE audit_logs SET {set} WHERE id = {id}"),
            fault,
        )
    }

    fn edit_a_seal(&mut self, rng: &mut Rng) -> (String, Fault) {
        let seal = self.one_seal(rng).clone();
        let id = seal.id;
        let changed = Fault::SealChanged { seal: id };
        let mut flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let at = rng.usize(..bytes.len());
            bytes[at] ^= 1 << rng.u8(..8);
            let mut hex = String::new();
            for byte in bytes {
                write!(hex, "{byte:02x}").unwrap();
            }
            match self.conn.conn() {
                Conn::Sqlite(_) => format!("x'{hex}'"),
                Conn::Postgres(_) => format!("'\\x{hex}'"),
            }
        };
        let (marks, previous, hash) = (
            flipped(&seal.marks),
            flipped(&seal.previous_hash),
            flipped(&seal.hash),
        );
        let moment = match self.conn.conn() {
            Conn::Sqlite(_) => one_of(rng, &["sealed_at + 1", "-9223372036854775808"]),
            Conn::Postgres(_) => {
                one_of(rng, &["sealed_at + interval '1 microsecond'", "'infinity'"])
            }
        };
        let (set, fault) = match rng.u8(..9) {
            0 => (format!("marks = {marks}"), changed),
            1 => (format!("previous_hash = {previous}"), changed),
            2 => (format!("hash = {hash}"), changed),
            3 => (format!("sealed_at = {moment}"), changed),
            4 => ("first_id = first_id + 1".to_owned(), changed),
            5 => ("last_id = last_id + 1".to_owned(), changed),
            6 => (
                format!("row_count = {}", one_of(rng, &[-1, 0, LINES * 2])),
                changed,
            ),
            7 => ("marks = substr(marks, 1, 48)".to_owned(), changed),
            _ => (
                format!("id = {}", 100 + id),
                Fault::SealMissing { seal: id },
            ),
        };
        (
            format!("UPDATE audit_seals SET {set} WHERE id = {id}"),
            fault,
        )
    }

    fn one_seal(&self, rng: &mut Rng) -> &AuditSeal {
        &self.seals[rng.usize(..self.seals.len())]
    }
}

fn one_of<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

/// Two of them, in order.
fn two_of(rng: &mut Rng, from: &[i64]) -> (i64, i64) {
    let first = rng.usize(..from.len() - 1);
    (from[first], from[rng.usize(first + 1..from.len())])
}

both_engines! {
    fn random_tampering_is_detected_and_the_first_bad_one_named(db: TestDb) {
        let seed = size("SEED", fastrand::u64(..));
        println!("BITCRAPS_TEST_SEED={seed}");
        let mut rng = Rng::with_seed(seed);
        let mut trail = Trail::of(&db);
        let untouched = verify_on(&mut trail.conn, &trail.anchors).unwrap();
        assert_eq!((untouched.fault, untouched.anchors, untouched.unsealed), (None, 5, 2));
        for n in 0..size("TAMPERINGS", 2_000) {
            trail.conn.execute("BEGIN");
            let (sql, fault) = trail.tamper(&mut rng);
            trail.conn.execute(&sql);
            let found = verify_on(&mut trail.conn, &trail.anchors);
            trail.conn.execute("ROLLBACK");
            let found = found.unwrap_or_else(|error| panic!("{n}: {sql}: {error}"));
            assert_eq!(found.fault, Some(fault), "{n}: {sql}");
        }
        let untouched = verify_on(&mut trail.conn, &trail.anchors).unwrap();
        assert!(untouched.is_sound(), "{untouched:?}");
    }
}

//! Seals that somebody put there: nothing is sealed on from them, and verification ends.

use db_core::{Conn, FixedClock, with_conn};
use db_repo::{AnchorFile, AuditRepository, Error, Fault};
use db_schema::rows::AuditSeal;
use db_schema::schema::audit_seals;
use db_testkit::{TestConn, TestDb, both_engines};
use diesel::prelude::*;
use sha2::{Digest as _, Sha256};

use super::{changes, seal_all, unguarded, verify_on};
use crate::support::{at, new_user, open, write};

/// Lines under one seal.
const FEW: i64 = 8;

/// A seal over two lines at most, whole in itself.
fn forged(id: i64, (first_id, last_id): (i64, i64), previous_hash: &[u8]) -> AuditSeal {
    let mut marks = vec![0; 32];
    let lines = if first_id == last_id {
        vec![first_id]
    } else {
        vec![first_id, last_id]
    };
    for line in &lines {
        marks.extend(line.to_be_bytes());
        marks.extend([7; 8]);
    }
    let mut seal = AuditSeal {
        id,
        first_id,
        last_id,
        row_count: i64::try_from(lines.len()).unwrap(),
        marks,
        previous_hash: previous_hash.to_vec(),
        hash: Vec::new(),
        sealed_at: at(0),
    };
    let mut hash = Sha256::new();
    hash.update(b"bitcraps audit seal 1\n");
    hash.update(32_u64.to_be_bytes());
    hash.update(&seal.previous_hash);
    for number in [
        id,
        first_id,
        last_id,
        seal.row_count,
        at(0).timestamp_micros(),
    ] {
        hash.update(number.to_be_bytes());
    }
    hash.update((seal.marks.len() as u64).to_be_bytes());
    hash.update(&seal.marks);
    seal.hash = hash.finalize().to_vec();
    seal
}

fn put(conn: &mut Conn<'_>, seal: &AuditSeal) {
    with_conn!(conn, |c| diesel::insert_into(audit_seals::table)
        .values(seal)
        .execute(c))
    .unwrap();
}

fn hash_of(conn: &mut TestConn, id: i64) -> Vec<u8> {
    let mut conn = conn.conn();
    with_conn!(conn, |c| audit_seals::table
        .find(id)
        .select(audit_seals::hash)
        .get_result(c))
    .unwrap()
}

both_engines! {
    fn nothing_is_sealed_on_from_a_seal_that_was_put_there(db: TestDb) {
        let database = open(&db);
        changes(&database, 20);
        seal_all(&database, FEW);
        for id in ["x", "y"] {
            write(&database, |conn| db_repo::UserRepository::create(conn, &new_user(id, 0)));
        }
        let mut conn = db.connect();
        let third = hash_of(&mut conn, 3);
        let beyond = 1_000_000_000_000_000;
        let nonsense = AuditSeal { hash: vec![9; 32], ..forged(999, (21, beyond), &[8; 32]) };
        let next_to_last = forged(i64::MAX - 1, (21, 21), &third);
        let last = forged(i64::MAX, (22, 22), &next_to_last.hash);
        let fewer = AuditSeal { row_count: 1, ..forged(4, (21, 22), &third) };
        for (seals, fault) in [
            (vec![nonsense.clone()], Fault::SealChanged { seal: 999 }),
            (vec![fewer], Fault::SealChanged { seal: 4 }),
            (vec![forged(999, (21, 22), &third)], Fault::SealMissing { seal: 998 }),
            (vec![forged(4, (21, 22), &[8; 32])], Fault::ChainBroken { seal: 4 }),
            (vec![forged(4, (20, 22), &third)], Fault::ChainBroken { seal: 4 }),
            (vec![forged(4, (21, beyond), &third)], Fault::LineMissing { id: beyond }),
            (vec![next_to_last, last], Fault::ChainBroken { seal: i64::MAX }),
        ] {
            conn.execute("BEGIN");
            for seal in &seals {
                put(&mut conn.conn(), seal);
            }
            let refused = AuditRepository::seal(&mut conn.conn(), 22, FEW, at(0));
            conn.execute("ROLLBACK");
            assert!(matches!(refused, Err(Error::TrailBroken(found)) if found == fault), "{fault:?}: {refused:?}");
        }
        // Nor is it written down.
        let folder = tempfile::tempdir().unwrap();
        let file = AnchorFile::new(folder.path().join("anchors")).to_begin();
        put(&mut conn.conn(), &nonsense);
        let refused = AuditRepository::seal_all(&database, FEW, &FixedClock(*at(9)), Some(&file));
        assert!(matches!(refused, Err(Error::TrailBroken(Fault::SealChanged { seal: 999 }))), "{refused:?}");
        assert!(!file.path().exists());
    }

    fn verification_ends_at_the_last_number_that_a_seal_can_have(db: TestDb) {
        let database = open(&db);
        changes(&database, 20);
        seal_all(&database, FEW);
        let mut conn = unguarded(db.connect());
        put(&mut conn.conn(), &forged(i64::MAX, (21, 22), &[8; 32]));
        assert_eq!(verify_on(&mut conn, &[]).unwrap().fault, Some(Fault::SealMissing { seal: 4 }));
        // Looks through all seals for what the line holds now.
        conn.execute("UPDATE audit_logs SET user_id = 'nobody' WHERE id = 3");
        assert_eq!(verify_on(&mut conn, &[]).unwrap().fault, Some(Fault::LineChanged { id: 3 }));
    }

    fn the_first_line_that_can_be_is_seen(db: TestDb) {
        let database = open(&db);
        changes(&database, 20);
        seal_all(&database, FEW);
        let mut conn = unguarded(db.connect());
        conn.execute(&format!(
            "INSERT INTO audit_logs (id, action, entity_type, entity_id, after_state)
            VALUES ({}, 'insert', 'dice', 'd1', '{{}}')",
            i64::MIN
        ));
        assert_eq!(verify_on(&mut conn, &[]).unwrap().fault, Some(Fault::LineInserted { id: i64::MIN }));
    }
}

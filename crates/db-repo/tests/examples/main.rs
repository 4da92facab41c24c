//! The examples as programs: started, used, and ended as whoever runs them ends them.
//!
//! `cargo test` builds them unless it is told what to build; then `cargo build -p db-repo --examples` does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on must fail, and say where"
)]
#![cfg(unix)]

mod client;
mod program;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use db_core::with_conn;
use db_repo::{Error, OutboxRepository, TokenRepository};
use db_schema::rows::OutboxType;
use db_schema::schema::outbox;
use db_testkit::TestDb;
use diesel::prelude::*;

use self::client::Client;
use self::program::Program;

/// Clients that deposit until nobody answers any more.
const CLIENTS: usize = 4;

/// Answers of each before the end.
const ANSWERS: usize = 10;

/// What the service promises, and some time for a machine under load.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

fn started(db: &TestDb) -> (Program, Client) {
    let service = Program::start("service", &[&db.url(), "127.0.0.1:0"]);
    let said = service.line_with("listening on ");
    let address = said.trim_start_matches("listening on ").to_owned();
    (service, Client { address })
}

/// Clients are busy when the signal comes: what was answered is there, and nothing waits.
fn ends_clean(db: &TestDb, signal: &str) {
    let (service, client) = started(db);
    for player in 0..CLIENTS {
        let made = client.post("/players", None, &format!(r#"{{"id":"p{player}"}}"#));
        assert_eq!(made.unwrap().0, 201);
    }
    let refused = client.post("/players/p0/deposits", None, r#"{"amount":1}"#);
    assert_eq!(refused.unwrap().0, 400, "without a key");
    let is_sent = AtomicBool::new(false);
    let acknowledged: Vec<usize> = std::thread::scope(|scope| {
        let (client, is_sent) = (&client, &is_sent);
        let (busy, are_busy) = std::sync::mpsc::channel();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|player| {
                let busy = busy.clone();
                scope.spawn(move || deposit(client, player, is_sent, &busy))
            })
            .collect();
        for _ in 0..CLIENTS {
            are_busy.recv().unwrap();
        }
        is_sent.store(true, Ordering::SeqCst);
        service.signal(signal);
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    let lines = service.ended_well(ENDS_WITHIN);
    assert_eq!(lines.last().map(String::as_str), Some("ended"));
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("cut off") || line.contains("wait")),
        "{lines:?}"
    );

    if let Some(file) = db.path() {
        let log = file.with_extension("db-wal");
        assert!(!log.exists(), "what is committed is in the file");
    }
    let database = db.database();
    for (player, answers) in acknowledged.into_iter().enumerate() {
        let has = database.read(|conn| TokenRepository::get(conn, &format!("p{player}")));
        // A request may have been done whose answer did not arrive.
        let has = usize::try_from(has.unwrap().balance).unwrap();
        assert!(
            (answers..=answers + 1).contains(&has),
            "{has} of {answers} answered"
        );
    }
    let waiting = database.read(OutboxRepository::oldest_waiting).unwrap();
    assert_eq!(waiting, None);
    let kept: i64 = database
        .read(|conn| Ok::<_, Error>(with_conn!(conn, |c| outbox::table.count().get_result(c))?))
        .unwrap();
    let told = lines
        .iter()
        .filter(|line| line.starts_with("event "))
        .count();
    assert_eq!(i64::try_from(told).unwrap(), kept, "each was delivered");
}

/// Deposits one by one until nobody answers; how many were acknowledged.
fn deposit(
    client: &Client,
    player: usize,
    is_sent: &AtomicBool,
    busy: &std::sync::mpsc::Sender<()>,
) -> usize {
    for number in 0.. {
        if number == ANSWERS {
            busy.send(()).unwrap();
        }
        let path = format!("/players/p{player}/deposits");
        match client.post(&path, Some(&format!("d{number}")), r#"{"amount":1}"#) {
            Some((200, _)) => {}
            Some(other) => panic!("{other:?}"),
            None => {
                assert!(is_sent.load(Ordering::SeqCst), "it ended by itself");
                return number;
            }
        }
    }
    unreachable!("it ends some time")
}

#[test]
fn a_service_on_a_file_ends_clean_by_sigterm() {
    ends_clean(&TestDb::sqlite(), "TERM");
}

#[test]
fn a_service_on_a_file_ends_clean_by_ctrl_c() {
    ends_clean(&TestDb::sqlite(), "INT");
}

#[test]
fn a_service_on_a_server_ends_clean_by_sigterm_postgres() {
    ends_clean(&TestDb::postgres(), "TERM");
}

#[test]
fn a_second_signal_does_not_wait_for_requests() {
    let db = TestDb::sqlite();
    let (service, client) = started(&db);
    let _half = client.half_a_request();
    service.signal("TERM");
    service.is_deaf(&client.address);
    let since = Instant::now();
    service.signal("TERM");
    let lines = service.ended_well(ENDS_WITHIN);
    assert!(
        lines.iter().any(|line| line == "requests are cut off"),
        "{lines:?}"
    );
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn a_service_does_what_its_guide_shows() {
    let db = TestDb::sqlite();
    let (service, client) = started(&db);
    let post = |path: &str, key: Option<&str>, body: &str| client.post(path, key, body).unwrap();
    assert_eq!(post("/players", None, r#"{"id":"ada"}"#).0, 201);
    let deposit = || post("/players/ada/deposits", Some("d1"), r#"{"amount":500}"#);
    let first = deposit();
    assert_eq!(first.0, 200);
    // Asked again it has no second effect, and the same answer.
    assert_eq!(deposit(), first);
    assert_eq!(post("/games", None, r#"{"id":"g1"}"#).0, 201);
    let bet = r#"{"player":"ada","bet_type":"pass","amount":20}"#;
    assert_eq!(post("/games/g1/bets", Some("b1"), bet).0, 200);
    let (status, best) = client.get("/leaderboard").unwrap();
    assert_eq!(status, 200);
    assert!(best.contains(r#""player_id":"ada""#), "{best}");
    service.signal("INT");
    let lines = service.ended_well(ENDS_WITHIN);
    let events: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("event "))
        .collect();
    assert_eq!(events.len(), 2);
    assert!(
        events[1].contains(OutboxType::BetPlaced.as_str()),
        "{events:?}"
    );
    let database = db.database();
    let has = database
        .read(|conn| TokenRepository::get(conn, "ada"))
        .unwrap();
    assert_eq!((has.balance, has.locked_balance), (480, 20));
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let service = Program::start("service", &[&TestDb::sqlite().url(), &address]);
    assert_eq!(service.ended(ENDS_WITHIN).0, Some(1));
}

#[test]
fn a_casino_has_one_evening_after_the_other() {
    let db = TestDb::sqlite();
    for _ in 0..2 {
        let lines = Program::start("casino", &[&db.url()]).ended_well(ENDS_WITHIN);
        assert!(
            lines.iter().any(|line| line.ends_with(" is over.")),
            "{lines:?}"
        );
    }
}

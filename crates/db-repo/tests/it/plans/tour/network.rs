//! Telegram accounts, peers and consensus.

use db_core::Conn;
use db_repo::{ConsensusRepository, Error, PageRequest, PeerRepository, ProfileRepository};
use db_schema::rows::{PeerState, ProfileChanges};

use super::{Step, go};
use crate::rows::{new_profile, round, sighting, vote};
use crate::support::at;

pub(super) fn run(step: Step<'_>) {
    profiles(step);
    peers(step);
    consensus(step);
}

fn profiles(step: Step<'_>) {
    let first = PageRequest::default;
    let profile = new_profile("u1", 1, 0);
    go(step, "profiles: create", |conn| {
        ProfileRepository::create(conn, &profile)
    });
    go(step, "profiles: upsert", |conn| {
        ProfileRepository::upsert(conn, &profile)
    });
    go(step, "profiles: find", |conn| {
        ProfileRepository::find(conn, "u1")?;
        ProfileRepository::find_by_telegram_id(conn, 1)?;
        ProfileRepository::exists(conn, "u1")
    });
    go(step, "profiles: list", |conn| {
        ProfileRepository::list(conn, &first())
    });
    go(step, "profiles: list_with_unverified_email", |conn| {
        ProfileRepository::list_with_unverified_email(conn, &first())
    });
    go(step, "profiles: update", |conn| {
        ProfileRepository::update(conn, "u1", &ProfileChanges::default(), at(1))?;
        ProfileRepository::update_email_verified(conn, "u1", true, at(2))?;
        ProfileRepository::update_phone_verified(conn, "u1", true, at(3))
    });
    go(step, "profiles: delete", |conn| {
        ProfileRepository::delete(conn, "u1")
    });
}

/// Opens a connection and does something with it.
fn with_connection<T>(
    conn: &mut Conn<'_>,
    f: impl FnOnce(&mut Conn<'_>, i64) -> Result<T, Error>,
) -> Result<T, Error> {
    let id = PeerRepository::connect(conn, "p1", "host:1", at(1))?.id;
    f(conn, id)
}

fn peers(step: Step<'_>) {
    let first = PageRequest::default;
    let sighting = sighting("p1", 0);
    go(step, "peers: upsert", |conn| {
        PeerRepository::upsert(conn, &sighting)
    });
    go(step, "peers: find", |conn| {
        PeerRepository::find(conn, "p1")?;
        PeerRepository::exists(conn, "p1")
    });
    go(step, "peers: list", |conn| {
        PeerRepository::list(conn, &first())
    });
    go(step, "peers: list_by_state", |conn| {
        PeerRepository::list_by_state(conn, PeerState::Connected, &first())
    });
    go(step, "peers: connect", |conn| {
        with_connection(conn, |_, _| Ok(()))
    });
    go(step, "peers: update_established", |conn| {
        with_connection(conn, |conn, id| {
            PeerRepository::update_established(conn, id, at(2))
        })
    });
    go(step, "peers: record_latency", |conn| {
        with_connection(conn, |conn, id| {
            PeerRepository::record_latency(conn, id, 1, at(2))
        })
    });
    go(step, "peers: record_bytes", |conn| {
        with_connection(conn, |conn, id| {
            PeerRepository::record_bytes(conn, id, 1, 1)
        })
    });
    go(step, "peers: disconnect", |conn| {
        with_connection(conn, |conn, id| PeerRepository::disconnect(conn, id, at(2)))
    });
    go(step, "peers: record_failure", |conn| {
        with_connection(conn, |conn, id| {
            PeerRepository::record_failure(conn, id, "reset", at(2))
        })
    });
    go(step, "peers: find_connection", |conn| {
        PeerRepository::find_connection(conn, 1)
    });
    go(step, "peers: list_open", |conn| {
        PeerRepository::list_open(conn, &first())
    });
    go(step, "peers: list_connections", |conn| {
        PeerRepository::list_connections(conn, "p1", &first())
    });
    go(step, "peers: update_state", |conn| {
        PeerRepository::update_state(conn, "p1", PeerState::Disconnected)
    });
    go(step, "peers: delete_older_than", |conn| {
        PeerRepository::delete_older_than(conn, at(0), 10)
    });
    go(step, "peers: delete", |conn| {
        PeerRepository::delete(conn, "p1")
    });
}

fn consensus(step: Step<'_>) {
    let first = PageRequest::default;
    let round = round(1);
    let vote = vote(1, "p1", 1);
    go(step, "consensus: start_round", |conn| {
        ConsensusRepository::start_round(conn, &round)
    });
    go(step, "consensus: find", |conn| {
        ConsensusRepository::find(conn, 1)
    });
    go(step, "consensus: list_by_game", |conn| {
        ConsensusRepository::list_by_game(conn, "g1", &first())
    });
    go(step, "consensus: list_open", |conn| {
        ConsensusRepository::list_open(conn, &first())
    });
    go(step, "consensus: vote", |conn| {
        ConsensusRepository::vote(conn, &vote)
    });
    go(step, "consensus: find_vote", |conn| {
        ConsensusRepository::find_vote(conn, 1, "p1")
    });
    go(step, "consensus: list_votes", |conn| {
        ConsensusRepository::list_votes(conn, 1, &first())
    });
    go(step, "consensus: quorum", |conn| {
        ConsensusRepository::quorum(conn, 1, 1)
    });
    go(step, "consensus: finalize", |conn| {
        ConsensusRepository::finalize(conn, 1, 1, at(1))
    });
}

//! Connections to peers.
//!
//! Each write takes the row of the peer first: then two that end at once see of each other, and the
//! peer's totals and state are right.

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{ConnectionState, PeerConnection};
use db_schema::schema::peer_connections;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::{ADDRESS, ENTITY, PeerRepository};
use crate::page::Place;
use crate::{Error, Page, PageRequest, Result, check};

const CONNECTION: &str = "connection";

/// Characters of a reason.
const REASON: std::ops::RangeInclusive<usize> = 1..=1_024;

/// Columns in the order of [`PeerConnection`].
type Row10 = (
    BigInt,
    Text,
    Text,
    Text,
    UtcTimestamp,
    Nullable<UtcTimestamp>,
    Nullable<BigInt>,
    BigInt,
    BigInt,
    Nullable<Text>,
);

statement! {
    /// Takes the peer to whom a connection is being made, unless it is banned.
    struct TakeToConnect<'a> {
        peer: &'a str as Text,
        address: &'a str as Text,
        at: UtcTime as UtcTimestamp,
    }
    "UPDATE peers SET address = " address ",
    state = CASE WHEN state = 'connected' THEN state ELSE 'connecting' END,
    last_seen_at = CASE WHEN last_seen_at > " at " THEN last_seen_at ELSE " at " END
    WHERE id = " peer " AND state <> 'banned'"
}

statement! {
    struct Insert<'a> {
        peer: &'a str as Text,
        address: &'a str as Text,
        at: UtcTime as UtcTimestamp,
    }
    returns Row10;
    "INSERT INTO peer_connections (peer_id, address, connected_at)
    VALUES (" peer ", " address ", " at ")
    RETURNING id, peer_id, address, state, connected_at, disconnected_at, latency_us, bytes_sent,
    bytes_received, failure_reason"
}

statement! {
    /// Takes the peer of a connection: it was seen just now.
    struct TakeOf {
        id: i64 as BigInt,
        at: UtcTime as UtcTimestamp,
    }
    "UPDATE peers SET
    last_seen_at = CASE WHEN last_seen_at > " at " THEN last_seen_at ELSE " at " END
    WHERE id = (SELECT peer_id FROM peer_connections WHERE id = " id ")"
}

statement! {
    struct Establish {
        id: i64 as BigInt,
    }
    returns Text;
    "UPDATE peer_connections SET state = 'connected'
    WHERE id = " id " AND disconnected_at IS NULL RETURNING peer_id"
}

statement! {
    struct PeerEstablished<'a> {
        peer: &'a str as Text,
    }
    "UPDATE peers SET state = 'connected' WHERE id = " peer " AND state <> 'banned'"
}

statement! {
    struct End<'a> {
        id: i64 as BigInt,
        state: ConnectionState as Text,
        reason: Option<&'a str> as Nullable<Text>,
        at: UtcTime as UtcTimestamp,
    }
    returns Row10;
    "UPDATE peer_connections SET state = " state ", failure_reason = " reason ",
    disconnected_at = " at " WHERE id = " id " AND disconnected_at IS NULL
    RETURNING id, peer_id, address, state, connected_at, disconnected_at, latency_us, bytes_sent,
    bytes_received, failure_reason"
}

statement! {
    /// What a connection came to is added to its peer, who is disconnected unless another one is
    /// open. Totals end at the largest 64-bit number: one that cannot grow any more must not keep a
    /// connection open for ever.
    struct PeerEnded<'a> {
        peer: &'a str as Text,
        sent: i64 as BigInt,
        received: i64 as BigInt,
        failures: i64 as BigInt,
    }
    "UPDATE peers SET bytes_sent = CASE WHEN bytes_sent > 9223372036854775807 - " sent "
        THEN 9223372036854775807 ELSE bytes_sent + " sent " END,
    bytes_received = CASE WHEN bytes_received > 9223372036854775807 - " received "
        THEN 9223372036854775807 ELSE bytes_received + " received " END,
    failure_count = CASE WHEN failure_count > 9223372036854775807 - " failures "
        THEN 9223372036854775807 ELSE failure_count + " failures " END,
    state = CASE WHEN state = 'banned' THEN state
        WHEN EXISTS (SELECT 1 FROM peer_connections WHERE peer_id = " peer "
            AND state = 'connected') THEN 'connected'
        WHEN EXISTS (SELECT 1 FROM peer_connections WHERE peer_id = " peer "
            AND state = 'connecting') THEN 'connecting'
        ELSE 'disconnected' END
    WHERE id = " peer
}

statement! {
    struct Latency {
        id: i64 as BigInt,
        latency: i64 as BigInt,
    }
    returns Text;
    "UPDATE peer_connections SET latency_us = " latency "
    WHERE id = " id " AND disconnected_at IS NULL RETURNING peer_id"
}

statement! {
    struct PeerLatency<'a> {
        peer: &'a str as Text,
        latency: i64 as BigInt,
    }
    "UPDATE peers SET latency_us = " latency " WHERE id = " peer
}

statement! {
    struct Bytes {
        id: i64 as BigInt,
        sent: i64 as BigInt,
        received: i64 as BigInt,
    }
    "UPDATE peer_connections SET bytes_sent = CASE
        WHEN bytes_sent > 9223372036854775807 - " sent " THEN 9223372036854775807
        ELSE bytes_sent + " sent " END,
    bytes_received = CASE
        WHEN bytes_received > 9223372036854775807 - " received " THEN 9223372036854775807
        ELSE bytes_received + " received " END
    WHERE id = " id " AND disconnected_at IS NULL"
}

statement! {
    struct Open {
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row10;
    "SELECT id, peer_id, address, state, connected_at, disconnected_at, latency_us, bytes_sent,
    bytes_received, failure_reason FROM peer_connections
    WHERE disconnected_at IS NULL AND (connected_at, id) < (" at ", " id ")
    ORDER BY connected_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    struct OfPeer<'a> {
        peer: &'a str as Text,
        at: UtcTime as UtcTimestamp,
        id: i64 as BigInt,
        rows: i64 as BigInt,
    }
    returns Row10;
    "SELECT id, peer_id, address, state, connected_at, disconnected_at, latency_us, bytes_sent,
    bytes_received, failure_reason FROM peer_connections
    WHERE peer_id = " peer " AND (connected_at, id) < (" at ", " id ")
    ORDER BY connected_at DESC, id DESC LIMIT " rows " + 0"
}

/// Connections.
impl PeerRepository {
    /// Begins to connect to a known peer.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `PeerBanned`, `Database`.
    pub fn connect(
        conn: &mut Conn<'_>,
        peer: &str,
        address: &str,
        now: UtcTime,
    ) -> Result<PeerConnection> {
        check::sought("peer_id", peer)?;
        check::text("address", address, ADDRESS)?;
        let take = TakeToConnect {
            peer,
            address,
            at: now,
        };
        if with_conn!(conn, |c| take.execute(c))? == 0 {
            return Err(if Self::exists(conn, peer)? {
                Error::PeerBanned(peer.to_owned())
            } else {
                Error::not_found(ENTITY, peer)
            });
        }
        let insert = Insert {
            peer,
            address,
            at: now,
        };
        Ok(with_conn!(conn, |c| insert.get_result(c))?)
    }

    /// The connection has come about.
    ///
    /// # Errors
    /// `NotFound`, `Ended`, `Database`.
    pub fn update_established(conn: &mut Conn<'_>, id: i64, now: UtcTime) -> Result<()> {
        take(conn, id, now)?;
        let peer: Option<String> = with_conn!(conn, |c| Establish { id }.get_result(c).optional())?;
        let Some(peer) = peer else {
            return Err(Error::ended(CONNECTION, id));
        };
        with_conn!(conn, |c| PeerEstablished { peer: &peer }.execute(c))?;
        Ok(())
    }

    /// Ends a connection; what it came to is added to the peer.
    ///
    /// # Errors
    /// `NotFound`, `Ended`, `Database`.
    pub fn disconnect(conn: &mut Conn<'_>, id: i64, now: UtcTime) -> Result<PeerConnection> {
        let end = End {
            id,
            state: ConnectionState::Disconnected,
            reason: None,
            at: now,
        };
        end_with(conn, end, 0)
    }

    /// Ends a connection that broke or never came about: a failure of the peer.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Ended`, `Database`.
    pub fn record_failure(
        conn: &mut Conn<'_>,
        id: i64,
        reason: &str,
        now: UtcTime,
    ) -> Result<PeerConnection> {
        check::text("failure_reason", reason, REASON)?;
        let end = End {
            id,
            state: ConnectionState::Failed,
            reason: Some(reason),
            at: now,
        };
        end_with(conn, end, 1)
    }

    /// Notes a round trip, in microseconds, of an open connection and of its peer.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Ended`, `Database`.
    pub fn record_latency(
        conn: &mut Conn<'_>,
        id: i64,
        latency_us: i64,
        now: UtcTime,
    ) -> Result<()> {
        check::within("latency_us", latency_us, 0..=i64::MAX)?;
        take(conn, id, now)?;
        let latency = Latency {
            id,
            latency: latency_us,
        };
        let peer: Option<String> = with_conn!(conn, |c| latency.get_result(c).optional())?;
        let Some(peer) = peer else {
            return Err(Error::ended(CONNECTION, id));
        };
        let latency = PeerLatency {
            peer: &peer,
            latency: latency_us,
        };
        with_conn!(conn, |c| latency.execute(c))?;
        Ok(())
    }

    /// Adds bytes that went over an open connection; the peer gets them when it ends. What no 64-bit
    /// number counts is the largest one.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Ended`, `Database`.
    pub fn record_bytes(conn: &mut Conn<'_>, id: i64, sent: i64, received: i64) -> Result<()> {
        check::within("bytes_sent", sent, 0..=i64::MAX)?;
        check::within("bytes_received", received, 0..=i64::MAX)?;
        let bytes = Bytes { id, sent, received };
        if with_conn!(conn, |c| bytes.execute(c))? == 1 {
            return Ok(());
        }
        Self::get_connection(conn, id)?;
        Err(Error::ended(CONNECTION, id))
    }

    /// The connection of this key.
    ///
    /// # Errors
    /// `Database`.
    pub fn find_connection(conn: &mut Conn<'_>, id: i64) -> Result<Option<PeerConnection>> {
        Ok(with_conn!(conn, |c| peer_connections::table
            .find(id)
            .select(PeerConnection::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The connection of this key, which has to be there.
    ///
    /// # Errors
    /// `NotFound`, `Database`.
    pub fn get_connection(conn: &mut Conn<'_>, id: i64) -> Result<PeerConnection> {
        Self::find_connection(conn, id)?.ok_or_else(|| Error::not_found(CONNECTION, id))
    }

    /// Connections that are open or being made, newest first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_open(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<PeerConnection>> {
        let page = &page.of("connections.open")?;
        let rows = page.rows();
        let (at, id) = page.before_time_id()?;
        let found = with_conn!(conn, |c| page.load(Open { at, id, rows }, c))?;
        Ok(Page::of(found, page, place))
    }

    /// Connections to one peer, newest first.
    ///
    /// # Errors
    /// `Invalid` for a key or a page that cannot be, `Database`.
    pub fn list_connections(
        conn: &mut Conn<'_>,
        peer: &str,
        page: &PageRequest,
    ) -> Result<Page<PeerConnection>> {
        check::sought("peer_id", peer)?;
        let page = &page.of("connections.of_peer")?;
        let rows = page.rows();
        let (at, id) = page.before_time_id()?;
        let list = OfPeer { peer, at, id, rows };
        let found = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, place))
    }
}

fn place(last: &PeerConnection) -> Place {
    Place::at(last.connected_at, last.id)
}

/// Takes the peer of a connection.
fn take(conn: &mut Conn<'_>, id: i64, now: UtcTime) -> Result<()> {
    match with_conn!(conn, |c| TakeOf { id, at: now }.execute(c))? {
        0 => Err(Error::not_found(CONNECTION, id)),
        _ => Ok(()),
    }
}

fn end_with(conn: &mut Conn<'_>, end: End<'_>, failures: i64) -> Result<PeerConnection> {
    let id = end.id;
    take(conn, id, end.at)?;
    let ended: Option<PeerConnection> = with_conn!(conn, |c| end.get_result(c).optional())?;
    let Some(ended) = ended else {
        return Err(Error::ended(CONNECTION, id));
    };
    let totals = PeerEnded {
        peer: &ended.peer_id,
        sent: ended.bytes_sent,
        received: ended.bytes_received,
        failures,
    };
    with_conn!(conn, |c| totals.execute(c))?;
    Ok(ended)
}

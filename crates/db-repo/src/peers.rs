//! Peers of the network and the connections to them.

mod connections;

use db_core::{Conn, statement, with_conn};
use db_schema::rows::{Peer, PeerSighting, PeerState};
use db_schema::schema::peers;
use db_schema::types::{UtcTime, UtcTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::dialect::old::old_peers;
use crate::page::Place;
use crate::refusal::touched_one;
use crate::{Error, Page, PageRequest, Result, check};

pub(super) const ENTITY: &str = "peer";

/// Characters of an address: a host name has at most 253, with room for scheme, port and path.
pub(super) const ADDRESS: std::ops::RangeInclusive<usize> = 1..=512;

/// Columns in the order of [`Peer`].
type Row9 = (
    Text,
    Text,
    Text,
    UtcTimestamp,
    UtcTimestamp,
    Nullable<BigInt>,
    BigInt,
    BigInt,
    BigInt,
);

statement! {
    /// A sighting that is older than the last one changes nothing but the first.
    struct Sight<'a> {
        id: &'a str as Text,
        address: &'a str as Text,
        at: UtcTime as UtcTimestamp,
    }
    returns Row9;
    "INSERT INTO peers (id, address, first_seen_at, last_seen_at)
    VALUES (" id ", " address ", " at ", " at ")
    ON CONFLICT (id) DO UPDATE SET
    address = CASE WHEN excluded.last_seen_at >= peers.last_seen_at
        THEN excluded.address ELSE peers.address END,
    first_seen_at = CASE WHEN excluded.first_seen_at < peers.first_seen_at
        THEN excluded.first_seen_at ELSE peers.first_seen_at END,
    last_seen_at = CASE WHEN excluded.last_seen_at > peers.last_seen_at
        THEN excluded.last_seen_at ELSE peers.last_seen_at END
    RETURNING id, address, state, first_seen_at, last_seen_at, latency_us, bytes_sent,
    bytes_received, failure_count"
}

statement! {
    /// A page of those seen last.
    struct LastSeen<'a> {
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Row9;
    "SELECT id, address, state, first_seen_at, last_seen_at, latency_us, bytes_sent,
    bytes_received, failure_count FROM peers WHERE (last_seen_at, id) < (" at ", " id ")
    ORDER BY last_seen_at DESC, id DESC LIMIT " rows " + 0"
}

statement! {
    /// A page of those seen last, in one state.
    struct LastSeenIn<'a> {
        state: PeerState as Text,
        at: UtcTime as UtcTimestamp,
        id: &'a str as Text,
        rows: i64 as BigInt,
    }
    returns Row9;
    "SELECT id, address, state, first_seen_at, last_seen_at, latency_us, bytes_sent,
    bytes_received, failure_count FROM peers
    WHERE state = " state " AND (last_seen_at, id) < (" at ", " id ")
    ORDER BY last_seen_at DESC, id DESC LIMIT " rows " + 0"
}

/// Peers, what is known of them, and the connections to them.
#[derive(Debug)]
pub struct PeerRepository;

impl PeerRepository {
    /// Notes that a peer was seen; a new one is added. Sightings may come in any order.
    ///
    /// # Errors
    /// `Invalid`, `Database`.
    pub fn upsert(conn: &mut Conn<'_>, sighting: &PeerSighting) -> Result<Peer> {
        check::key("id", &sighting.id)?;
        check::text("address", &sighting.address, ADDRESS)?;
        check::moment("last_seen_at", sighting.seen_at)?;
        let sight = Sight {
            id: &sighting.id,
            address: &sighting.address,
            at: sighting.seen_at,
        };
        Ok(with_conn!(conn, |c| sight.get_result(c))?)
    }

    /// The peer of this identity.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn find(conn: &mut Conn<'_>, id: &str) -> Result<Option<Peer>> {
        check::sought("id", id)?;
        Ok(with_conn!(conn, |c| peers::table
            .find(id)
            .select(Peer::as_select())
            .get_result(c))
        .optional()?)
    }

    /// The peer of this identity, who has to be known.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn get(conn: &mut Conn<'_>, id: &str) -> Result<Peer> {
        Self::find(conn, id)?.ok_or_else(|| Error::not_found(ENTITY, id))
    }

    /// Peers, most recently seen first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list(conn: &mut Conn<'_>, page: &PageRequest) -> Result<Page<Peer>> {
        let page = &page.of("peers")?;
        let rows = page.rows();
        let (at, id) = page.before_time()?;
        let found = with_conn!(conn, |c| page.load(LastSeen { at, id, rows }, c))?;
        Ok(Page::of(found, page, place))
    }

    /// Peers in one state, most recently seen first.
    ///
    /// # Errors
    /// `Invalid` for a page that cannot be, `Database`.
    pub fn list_by_state(
        conn: &mut Conn<'_>,
        state: PeerState,
        page: &PageRequest,
    ) -> Result<Page<Peer>> {
        let page = &page.of("peers.by_state")?;
        let rows = page.rows();
        let (at, id) = page.before_time()?;
        let list = LastSeenIn {
            state,
            at,
            id,
            rows,
        };
        let found = with_conn!(conn, |c| page.load(list, c))?;
        Ok(Page::of(found, page, place))
    }

    /// Sets the state of a peer: to ban it, for instance.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn update_state(conn: &mut Conn<'_>, id: &str, state: PeerState) -> Result<()> {
        check::sought("id", id)?;
        let rows = with_conn!(conn, |c| diesel::update(peers::table.find(id))
            .set(peers::state.eq(state))
            .execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// Removes at most so many peers that were last seen before this moment, and their connections, those
    /// first that were seen longest ago; how many. Those who are banned or connected stay. Fewer than asked
    /// for were the last.
    ///
    /// # Errors
    /// `Invalid` for a limit below 1, `Database`.
    pub fn delete_older_than(conn: &mut Conn<'_>, before: UtcTime, limit: i64) -> Result<usize> {
        check::within("limit", limit, 1..=i64::MAX)?;
        Ok(old_peers(conn, before, limit)?)
    }

    /// Removes a peer and its connections.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Database`.
    pub fn delete(conn: &mut Conn<'_>, id: &str) -> Result<()> {
        check::sought("id", id)?;
        let rows = with_conn!(conn, |c| diesel::delete(peers::table.find(id)).execute(c))?;
        touched_one(rows, ENTITY, id)
    }

    /// Whether a peer is known.
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be, `Database`.
    pub fn exists(conn: &mut Conn<'_>, id: &str) -> Result<bool> {
        check::sought("id", id)?;
        let query = diesel::dsl::select(diesel::dsl::exists(peers::table.find(id)));
        Ok(with_conn!(conn, |c| query.get_result(c))?)
    }
}

fn place(last: &Peer) -> Place {
    Place::at(last.last_seen_at, &last.id)
}

//! Peers of the network and the connections to them.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::schema::{peer_connections, peers};
use crate::types::{UtcTime, vocabulary};

vocabulary! {
    /// How a peer stands to us.
    pub enum PeerState {
        /// Heard of, never connected to.
        Discovered = "discovered",
        /// A connection is being made.
        Connecting = "connecting",
        /// A connection is open.
        Connected = "connected",
        /// There was a connection.
        Disconnected = "disconnected",
        /// No connection is to be made.
        Banned = "banned",
    }
}

vocabulary! {
    /// How a connection stands.
    pub enum ConnectionState {
        /// It is being made.
        Connecting = "connecting",
        /// It is open.
        Connected = "connected",
        /// It ended well.
        Disconnected = "disconnected",
        /// It broke, or never came about.
        Failed = "failed",
    }
}

/// A peer of the network, with totals over all its ended connections.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = peers, check_for_backend(Sqlite, Pg))]
pub struct Peer {
    /// Identity of the peer, derived from its key.
    pub id: String,
    /// Where it was last reached.
    pub address: String,
    /// How it stands to us.
    pub state: PeerState,
    /// First sighting.
    pub first_seen_at: UtcTime,
    /// Last sighting.
    pub last_seen_at: UtcTime,
    /// Last measured round trip, microseconds.
    pub latency_us: Option<i64>,
    /// Over all ended connections.
    pub bytes_sent: i64,
    /// Over all ended connections.
    pub bytes_received: i64,
    /// Failed attempts to connect, and connections that broke.
    pub failure_count: i64,
}

/// That a peer was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSighting {
    /// Identity of the peer.
    pub id: String,
    /// Where it was seen.
    pub address: String,
    /// When.
    pub seen_at: UtcTime,
}

/// One connection to a peer, from its opening to its end.
#[derive(
    Debug, Clone, PartialEq, Eq, Queryable, Selectable, Identifiable, Serialize, Deserialize,
)]
#[diesel(table_name = peer_connections, check_for_backend(Sqlite, Pg))]
pub struct PeerConnection {
    /// Key.
    pub id: i64,
    /// Whom to.
    pub peer_id: String,
    /// Where.
    pub address: String,
    /// How it stands.
    pub state: ConnectionState,
    /// When its making began.
    pub connected_at: UtcTime,
    /// When it ended; none while it is open.
    pub disconnected_at: Option<UtcTime>,
    /// Last measured round trip, microseconds.
    pub latency_us: Option<i64>,
    /// So far.
    pub bytes_sent: i64,
    /// So far.
    pub bytes_received: i64,
    /// Why it failed.
    pub failure_reason: Option<String>,
}

-- V2 peer_connections: the peers of the network and the connections to them.

-- peers -------------------------------------------------------------------------------------------

CREATE TABLE peers (
    -- A peer of the network, with totals over all its connections.
    id             TEXT    NOT NULL, -- Identity of the peer, derived from its key.
    address        TEXT    NOT NULL, -- Where it was last reached.
    state          TEXT    NOT NULL DEFAULT 'discovered',
    first_seen_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    last_seen_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    latency_us     INTEGER, -- Last measured round trip, microseconds.
    bytes_sent     INTEGER NOT NULL DEFAULT 0,
    bytes_received INTEGER NOT NULL DEFAULT 0,
    failure_count  INTEGER NOT NULL DEFAULT 0, -- Failed attempts to connect, and connections that broke.

    CONSTRAINT pk_peers PRIMARY KEY (id),
    CONSTRAINT ck_peers_state
        CHECK (state IN ('discovered', 'connecting', 'connected', 'disconnected', 'banned')),
    CONSTRAINT ck_peers_latency_us CHECK (latency_us >= 0),
    CONSTRAINT ck_peers_bytes_sent CHECK (bytes_sent >= 0),
    CONSTRAINT ck_peers_bytes_received CHECK (bytes_received >= 0),
    CONSTRAINT ck_peers_failure_count CHECK (failure_count >= 0)
) STRICT;

-- Peers in one state, most recently seen first.
CREATE INDEX idx_peers_state_last_seen_at ON peers (state, last_seen_at);

-- Peers not seen for long.
CREATE INDEX idx_peers_last_seen_at ON peers (last_seen_at);

-- peer_connections --------------------------------------------------------------------------------

CREATE TABLE peer_connections (
    -- One connection to a peer, from its opening to its end.
    id              INTEGER NOT NULL,
    peer_id         TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    state           TEXT    NOT NULL DEFAULT 'connecting',
    connected_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    disconnected_at INTEGER, -- NULL while the connection is open.
    latency_us      INTEGER, -- Last measured round trip, microseconds.
    bytes_sent      INTEGER NOT NULL DEFAULT 0,
    bytes_received  INTEGER NOT NULL DEFAULT 0,
    failure_reason  TEXT,

    CONSTRAINT pk_peer_connections PRIMARY KEY (id),
    CONSTRAINT fk_peer_connections_peer_id FOREIGN KEY (peer_id) REFERENCES peers (id) ON DELETE CASCADE,
    CONSTRAINT ck_peer_connections_state CHECK (state IN ('connecting', 'connected', 'disconnected', 'failed')),
    CONSTRAINT ck_peer_connections_latency_us CHECK (latency_us >= 0),
    CONSTRAINT ck_peer_connections_bytes_sent CHECK (bytes_sent >= 0),
    CONSTRAINT ck_peer_connections_bytes_received CHECK (bytes_received >= 0)
) STRICT;

-- Connections of one peer, in order of time; the foreign key.
CREATE INDEX idx_peer_connections_peer_id_connected_at ON peer_connections (peer_id, connected_at);

-- Connections of a span of time.
CREATE INDEX idx_peer_connections_connected_at ON peer_connections (connected_at);

-- Open connections.
CREATE INDEX idx_peer_connections_open ON peer_connections (connected_at) WHERE disconnected_at IS NULL;

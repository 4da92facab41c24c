-- Undoes V2 peer_connections.

DROP TABLE peer_connections;
DROP TABLE peers;

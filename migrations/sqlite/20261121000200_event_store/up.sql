-- V12 event_store: what happened in each game, event by event, and states to replay from.

-- game_events -------------------------------------------------------------------------------------

CREATE TABLE game_events (
    -- One event of a game. Never changed: its state at any moment is what its events up to then make.
    game_id    TEXT    NOT NULL,
    version    INTEGER NOT NULL, -- Counts the events of the game: 1, 2, 3 and so on.
    event_type TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    payload    TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_game_events PRIMARY KEY (game_id, version),
    CONSTRAINT fk_game_events_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT ck_game_events_version CHECK (version > 0),
    CONSTRAINT ck_game_events_payload_json CHECK (json_valid(payload))
) STRICT;

CREATE TRIGGER game_events_append_only_update
    BEFORE UPDATE ON game_events
BEGIN
    SELECT RAISE(ABORT, 'game_events is append-only: UPDATE is refused');
END;

CREATE TRIGGER game_events_append_only_delete
    BEFORE DELETE ON game_events
BEGIN
    SELECT RAISE(ABORT, 'game_events is append-only: DELETE is refused');
END;

-- As on transactions: REPLACE would remove the old row without firing a delete trigger.
CREATE TRIGGER game_events_append_only_replace
    BEFORE INSERT ON game_events
    WHEN EXISTS (SELECT 1 FROM game_events WHERE game_id = NEW.game_id AND version = NEW.version)
BEGIN
    SELECT RAISE(ABORT, 'game_events is append-only: this version is taken');
END;

-- game_snapshots ----------------------------------------------------------------------------------

CREATE TABLE game_snapshots (
    -- The state of a game after one of its events, so that replay need not begin at the first.
    game_id    TEXT    NOT NULL,
    version    INTEGER NOT NULL, -- The last event that is in it.
    state      TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_game_snapshots PRIMARY KEY (game_id, version),
    CONSTRAINT fk_game_snapshots_game_id FOREIGN KEY (game_id) REFERENCES games (id) ON DELETE CASCADE,
    CONSTRAINT ck_game_snapshots_version CHECK (version > 0),
    CONSTRAINT ck_game_snapshots_state_json CHECK (json_valid(state))
) STRICT;

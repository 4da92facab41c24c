-- V12 event_store: what happened in each game, event by event, and states to replay from.

-- game_events -------------------------------------------------------------------------------------

CREATE TABLE game_events (
    game_id    TEXT COLLATE "C" NOT NULL,
    version    BIGINT           NOT NULL,
    event_type TEXT             NOT NULL,
    payload    JSONB            NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_game_events PRIMARY KEY (game_id, version),
    CONSTRAINT fk_game_events_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT ck_game_events_version CHECK (version > 0)
);

COMMENT ON TABLE game_events IS
    'One event of a game. Never changed: its state at any moment is what its events up to then make.';
COMMENT ON COLUMN game_events.version IS
    'Counts the events of the game: 1, 2, 3 and so on.';
COMMENT ON COLUMN game_events.event_type IS
    'Open vocabulary, checked by the program.';

CREATE TRIGGER game_events_append_only_update
    BEFORE UPDATE ON game_events FOR EACH ROW
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER game_events_append_only_delete
    BEFORE DELETE ON game_events FOR EACH ROW
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER game_events_append_only_truncate
    BEFORE TRUNCATE ON game_events FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change();

-- game_snapshots ----------------------------------------------------------------------------------

CREATE TABLE game_snapshots (
    game_id    TEXT COLLATE "C" NOT NULL,
    version    BIGINT           NOT NULL,
    state      JSONB            NOT NULL,
    created_at TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_game_snapshots PRIMARY KEY (game_id, version),
    CONSTRAINT fk_game_snapshots_game_id FOREIGN KEY (game_id) REFERENCES games (id) ON DELETE CASCADE,
    CONSTRAINT ck_game_snapshots_version CHECK (version > 0)
);

COMMENT ON TABLE game_snapshots IS
    'The state of a game after one of its events, so that replay need not begin at the first.';
COMMENT ON COLUMN game_snapshots.version IS
    'The last event that is in it.';

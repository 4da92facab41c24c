-- V5 audit_logging: the audit trail, and the triggers that write it for the tables of V1 to V4. A
-- table that comes later brings its own.

-- audit_logs --------------------------------------------------------------------------------------

CREATE TABLE audit_logs (
    -- One line per changed row of an audited table, in the same transaction. Never changed.
    -- Names users without a foreign key, so that lines stay when a user goes.
    id           INTEGER NOT NULL,
    user_id      TEXT, -- Who did it; NULL when done by hand in a shell.
    action       TEXT    NOT NULL,
    entity_type  TEXT    NOT NULL, -- Name of the table.
    -- Primary key as text, bytes as lower-case hex; the old one if an update changed it.
    entity_id    TEXT    NOT NULL,
    -- The row before; NULL for an insert. Times are Unix microseconds, bytes lower-case hex.
    before_state TEXT,
    after_state  TEXT, -- The row after; NULL for a delete. Same form.
    ip_address   TEXT,
    user_agent   TEXT,
    created_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    metadata     TEXT,

    CONSTRAINT pk_audit_logs PRIMARY KEY (id),
    CONSTRAINT ck_audit_logs_id CHECK (id > 0),
    CONSTRAINT ck_audit_logs_action CHECK (action IN ('insert', 'update', 'delete')),
    CONSTRAINT ck_audit_logs_before_state CHECK ((before_state IS NULL) = (action = 'insert')),
    CONSTRAINT ck_audit_logs_after_state CHECK ((after_state IS NULL) = (action = 'delete')),
    CONSTRAINT ck_audit_logs_before_state_json CHECK (before_state IS NULL OR json_valid(before_state)),
    CONSTRAINT ck_audit_logs_after_state_json CHECK (after_state IS NULL OR json_valid(after_state)),
    CONSTRAINT ck_audit_logs_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- The trail of one row. The only index: each one slows every audited write, and time ranges go by
-- id.
CREATE INDEX idx_audit_logs_entity_type_entity_id ON audit_logs (entity_type, entity_id);

CREATE TRIGGER audit_logs_append_only_update
    BEFORE UPDATE ON audit_logs
BEGIN
    SELECT RAISE(ABORT, 'audit_logs is append-only: UPDATE is refused');
END;

CREATE TRIGGER audit_logs_append_only_delete
    BEFORE DELETE ON audit_logs
BEGIN
    SELECT RAISE(ABORT, 'audit_logs is append-only: DELETE is refused');
END;

-- REPLACE removes the old row without firing a delete trigger unless recursive_triggers is on, so
-- it is refused before the insert. (NEW.id is -1 as long as SQLite has not chosen one, hence the
-- CHECK that ids are positive.)
CREATE TRIGGER audit_logs_append_only_replace
    BEFORE INSERT ON audit_logs
    WHEN EXISTS (SELECT 1 FROM audit_logs WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'audit_logs is append-only: this id is taken');
END;

-- audit_context -----------------------------------------------------------------------------------

-- SQLite only. A trigger in the main schema cannot see temporary tables, and a plain shell has
-- none of the functions that a program registers, so who did it is handed over in this one row.
-- A writer sets it at the start of its transaction and clears it before COMMIT: others never see
-- it filled. The triggers read it by scalar sub-selects, because a join would write no audit
-- line at all if the row were gone.
CREATE TABLE audit_context (
    -- Who is changing rows in the running transaction; always exactly one row, empty when done by hand.
    id         INTEGER NOT NULL,
    user_id    TEXT,
    ip_address TEXT,
    user_agent TEXT,
    at         INTEGER, -- Unix microseconds of the program's clock

    CONSTRAINT pk_audit_context PRIMARY KEY (id),
    CONSTRAINT ck_audit_context_one_row CHECK (id = 1)
) STRICT;

INSERT INTO audit_context (id) VALUES (1);

-- How the audit triggers are made, here and in later migrations:
-- * They list the columns without updated_at and compare their values: an update that changes
--   nothing, or only that time, leaves no line, and neither does the trigger that sets it.
-- * When that trigger is about to set updated_at, the state after carries the time it will write:
--   'now' stands still within one statement.
-- * json() embeds JSON instead of a string, and true and false instead of 1 and 0. Bytes become
--   lower-case hex, because JSON cannot hold a BLOB. Floats get 17 digits, enough to read the same
--   number back; json_object by itself writes 15 in older versions of SQLite.

-- audit of users ----------------------------------------------------------------------------------

CREATE TRIGGER audit_users_insert
    AFTER INSERT ON users
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'users', NEW.id,
        NULL,
        json_object(
            'id', NEW.id,
            'username', NEW.username,
            'public_key', lower(hex(NEW.public_key)),
            'reputation', json(printf('%!.17g', NEW.reputation)),
            'created_at', NEW.created_at,
            'updated_at', NEW.updated_at
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_users_update
    AFTER UPDATE OF id, username, public_key, reputation, created_at
    ON users
    WHEN OLD.id IS NOT NEW.id
        OR OLD.username IS NOT NEW.username
        OR OLD.public_key IS NOT NEW.public_key
        OR OLD.reputation IS NOT NEW.reputation
        OR OLD.created_at IS NOT NEW.created_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'users', OLD.id,
        json_object(
            'id', OLD.id,
            'username', OLD.username,
            'public_key', lower(hex(OLD.public_key)),
            'reputation', json(printf('%!.17g', OLD.reputation)),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        json_object(
            'id', NEW.id,
            'username', NEW.username,
            'public_key', lower(hex(NEW.public_key)),
            'reputation', json(printf('%!.17g', NEW.reputation)),
            'created_at', NEW.created_at,
            'updated_at', iif(
                NEW.updated_at IS OLD.updated_at,
                CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
                NEW.updated_at
            )
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_users_delete
    AFTER DELETE ON users
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'users', OLD.id,
        json_object(
            'id', OLD.id,
            'username', OLD.username,
            'public_key', lower(hex(OLD.public_key)),
            'reputation', json(printf('%!.17g', OLD.reputation)),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

-- audit of games ----------------------------------------------------------------------------------

CREATE TRIGGER audit_games_insert
    AFTER INSERT ON games
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'games', NEW.id,
        NULL,
        json_object(
            'id', NEW.id,
            'state', NEW.state,
            'pot_size', NEW.pot_size,
            'phase', NEW.phase,
            'created_at', NEW.created_at,
            'completed_at', NEW.completed_at,
            'winner_id', NEW.winner_id
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_games_update
    AFTER UPDATE ON games
    WHEN OLD.id IS NOT NEW.id
        OR OLD.state IS NOT NEW.state
        OR OLD.pot_size IS NOT NEW.pot_size
        OR OLD.phase IS NOT NEW.phase
        OR OLD.created_at IS NOT NEW.created_at
        OR OLD.completed_at IS NOT NEW.completed_at
        OR OLD.winner_id IS NOT NEW.winner_id
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'games', OLD.id,
        json_object(
            'id', OLD.id,
            'state', OLD.state,
            'pot_size', OLD.pot_size,
            'phase', OLD.phase,
            'created_at', OLD.created_at,
            'completed_at', OLD.completed_at,
            'winner_id', OLD.winner_id
        ),
        json_object(
            'id', NEW.id,
            'state', NEW.state,
            'pot_size', NEW.pot_size,
            'phase', NEW.phase,
            'created_at', NEW.created_at,
            'completed_at', NEW.completed_at,
            'winner_id', NEW.winner_id
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_games_delete
    AFTER DELETE ON games
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'games', OLD.id,
        json_object(
            'id', OLD.id,
            'state', OLD.state,
            'pot_size', OLD.pot_size,
            'phase', OLD.phase,
            'created_at', OLD.created_at,
            'completed_at', OLD.completed_at,
            'winner_id', OLD.winner_id
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

-- audit of bets -----------------------------------------------------------------------------------

CREATE TRIGGER audit_bets_insert
    AFTER INSERT ON bets
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'bets', lower(hex(NEW.id)),
        NULL,
        json_object(
            'id', lower(hex(NEW.id)),
            'game_id', NEW.game_id,
            'player_id', NEW.player_id,
            'bet_type', NEW.bet_type,
            'amount', NEW.amount,
            'outcome', NEW.outcome,
            'created_at', NEW.created_at,
            'resolved_at', NEW.resolved_at
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_bets_update
    AFTER UPDATE ON bets
    WHEN OLD.id IS NOT NEW.id
        OR OLD.game_id IS NOT NEW.game_id
        OR OLD.player_id IS NOT NEW.player_id
        OR OLD.bet_type IS NOT NEW.bet_type
        OR OLD.amount IS NOT NEW.amount
        OR OLD.outcome IS NOT NEW.outcome
        OR OLD.created_at IS NOT NEW.created_at
        OR OLD.resolved_at IS NOT NEW.resolved_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'bets', lower(hex(OLD.id)),
        json_object(
            'id', lower(hex(OLD.id)),
            'game_id', OLD.game_id,
            'player_id', OLD.player_id,
            'bet_type', OLD.bet_type,
            'amount', OLD.amount,
            'outcome', OLD.outcome,
            'created_at', OLD.created_at,
            'resolved_at', OLD.resolved_at
        ),
        json_object(
            'id', lower(hex(NEW.id)),
            'game_id', NEW.game_id,
            'player_id', NEW.player_id,
            'bet_type', NEW.bet_type,
            'amount', NEW.amount,
            'outcome', NEW.outcome,
            'created_at', NEW.created_at,
            'resolved_at', NEW.resolved_at
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_bets_delete
    AFTER DELETE ON bets
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'bets', lower(hex(OLD.id)),
        json_object(
            'id', lower(hex(OLD.id)),
            'game_id', OLD.game_id,
            'player_id', OLD.player_id,
            'bet_type', OLD.bet_type,
            'amount', OLD.amount,
            'outcome', OLD.outcome,
            'created_at', OLD.created_at,
            'resolved_at', OLD.resolved_at
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

-- audit of transactions ---------------------------------------------------------------------------

CREATE TRIGGER audit_transactions_insert
    AFTER INSERT ON transactions
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'transactions', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'user_id', NEW.user_id,
            'transaction_type', NEW.transaction_type,
            'amount', NEW.amount,
            'balance_before', NEW.balance_before,
            'balance_after', NEW.balance_after,
            'status', NEW.status,
            'reference_id', NEW.reference_id,
            'created_at', NEW.created_at,
            'metadata', json(NEW.metadata)
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_transactions_update
    AFTER UPDATE ON transactions
    WHEN OLD.id IS NOT NEW.id
        OR OLD.user_id IS NOT NEW.user_id
        OR OLD.transaction_type IS NOT NEW.transaction_type
        OR OLD.amount IS NOT NEW.amount
        OR OLD.balance_before IS NOT NEW.balance_before
        OR OLD.balance_after IS NOT NEW.balance_after
        OR OLD.status IS NOT NEW.status
        OR OLD.reference_id IS NOT NEW.reference_id
        OR OLD.created_at IS NOT NEW.created_at
        OR json(OLD.metadata) IS NOT json(NEW.metadata)
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'transactions', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'user_id', OLD.user_id,
            'transaction_type', OLD.transaction_type,
            'amount', OLD.amount,
            'balance_before', OLD.balance_before,
            'balance_after', OLD.balance_after,
            'status', OLD.status,
            'reference_id', OLD.reference_id,
            'created_at', OLD.created_at,
            'metadata', json(OLD.metadata)
        ),
        json_object(
            'id', NEW.id,
            'user_id', NEW.user_id,
            'transaction_type', NEW.transaction_type,
            'amount', NEW.amount,
            'balance_before', NEW.balance_before,
            'balance_after', NEW.balance_after,
            'status', NEW.status,
            'reference_id', NEW.reference_id,
            'created_at', NEW.created_at,
            'metadata', json(NEW.metadata)
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_transactions_delete
    AFTER DELETE ON transactions
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'transactions', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'user_id', OLD.user_id,
            'transaction_type', OLD.transaction_type,
            'amount', OLD.amount,
            'balance_before', OLD.balance_before,
            'balance_after', OLD.balance_after,
            'status', OLD.status,
            'reference_id', OLD.reference_id,
            'created_at', OLD.created_at,
            'metadata', json(OLD.metadata)
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

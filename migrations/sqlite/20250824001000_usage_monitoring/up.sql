-- V10 usage_monitoring: sessions, their events and snapshots, and the configuration of usage
-- monitoring.

-- sessions ----------------------------------------------------------------------------------------

CREATE TABLE sessions (
    -- A session that events and snapshots belong to.
    session_id TEXT    NOT NULL,
    started_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    ended_at   INTEGER, -- NULL while the session runs.
    metadata   TEXT,

    CONSTRAINT pk_sessions PRIMARY KEY (session_id),
    CONSTRAINT ck_sessions_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- Latest sessions.
CREATE INDEX idx_sessions_started_at ON sessions (started_at);

-- events ------------------------------------------------------------------------------------------

CREATE TABLE events (
    -- Something that happened in a session.
    id         INTEGER NOT NULL,
    session_id TEXT    NOT NULL,
    event_type TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    payload    TEXT    NOT NULL DEFAULT '{}',
    timestamp  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_events PRIMARY KEY (id),
    CONSTRAINT fk_events_session_id FOREIGN KEY (session_id) REFERENCES sessions (session_id) ON DELETE CASCADE,
    CONSTRAINT ck_events_payload_json CHECK (json_valid(payload))
) STRICT;

-- Events of one session, in order of time; the foreign key.
CREATE INDEX idx_events_session_id_timestamp ON events (session_id, timestamp);

-- Events of one type, in order of time.
CREATE INDEX idx_events_event_type_timestamp ON events (event_type, timestamp);

-- Events of a span of time.
CREATE INDEX idx_events_timestamp ON events (timestamp);

-- usage_snapshots ---------------------------------------------------------------------------------

CREATE TABLE usage_snapshots (
    -- Usage at one moment of a session.
    id            INTEGER NOT NULL,
    session_id    TEXT    NOT NULL,
    snapshot_data TEXT    NOT NULL,
    snapshot_type TEXT    NOT NULL DEFAULT 'stats',
    timestamp     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_usage_snapshots PRIMARY KEY (id),
    CONSTRAINT fk_usage_snapshots_session_id FOREIGN KEY (session_id) REFERENCES sessions (session_id) ON DELETE CASCADE,
    CONSTRAINT ck_usage_snapshots_snapshot_type CHECK (snapshot_type IN ('stats', 'config', 'session')),
    CONSTRAINT ck_usage_snapshots_snapshot_data_json CHECK (json_valid(snapshot_data))
) STRICT;

-- Snapshots of one session; the foreign key.
CREATE INDEX idx_usage_snapshots_session_id ON usage_snapshots (session_id);

-- Snapshots past their keeping time.
CREATE INDEX idx_usage_snapshots_timestamp ON usage_snapshots (timestamp);

-- Snapshots of one type.
CREATE INDEX idx_usage_snapshots_type ON usage_snapshots (snapshot_type);

-- usage_config ------------------------------------------------------------------------------------

CREATE TABLE usage_config (
    -- How usage is shown. At most one row is active.
    id                  INTEGER NOT NULL,
    plan                TEXT    NOT NULL DEFAULT 'custom',
    custom_limit_tokens INTEGER, -- Limit of the custom plan, in tokens of a language model.
    view                TEXT    NOT NULL DEFAULT 'realtime',
    timezone            TEXT    NOT NULL DEFAULT 'auto', -- IANA name, or auto.
    time_format         TEXT    NOT NULL DEFAULT 'auto',
    theme               TEXT    NOT NULL DEFAULT 'auto',
    refresh_rate        INTEGER NOT NULL DEFAULT 10, -- Seconds between two readings of the data.
    refresh_per_second  REAL    NOT NULL DEFAULT 0.75, -- Times that the display is drawn in a second.
    reset_hour          INTEGER, -- Hour of the day, 0 to 23, at which counting starts anew.
    created_at          INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at          INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    is_active           INTEGER NOT NULL DEFAULT 1,

    CONSTRAINT pk_usage_config PRIMARY KEY (id),
    CONSTRAINT ck_usage_config_plan CHECK (plan IN ('pro', 'max5', 'max20', 'custom')),
    CONSTRAINT ck_usage_config_custom_limit_tokens
        CHECK (custom_limit_tokens IS NULL OR custom_limit_tokens > 0),
    CONSTRAINT ck_usage_config_view CHECK (view IN ('realtime', 'daily', 'monthly', 'session')),
    CONSTRAINT ck_usage_config_time_format CHECK (time_format IN ('12h', '24h', 'auto')),
    CONSTRAINT ck_usage_config_theme CHECK (theme IN ('light', 'dark', 'classic', 'auto')),
    CONSTRAINT ck_usage_config_refresh_rate CHECK (refresh_rate >= 1 AND refresh_rate <= 60),
    CONSTRAINT ck_usage_config_refresh_per_second
        CHECK (refresh_per_second >= 0.1 AND refresh_per_second <= 20.0),
    CONSTRAINT ck_usage_config_reset_hour CHECK (reset_hour IS NULL OR (reset_hour >= 0 AND reset_hour <= 23)),
    CONSTRAINT ck_usage_config_is_active_bool CHECK (is_active IN (0, 1))
) STRICT;

-- At most one active configuration.
CREATE UNIQUE INDEX idx_usage_config_active ON usage_config (is_active) WHERE is_active = 1;

CREATE TRIGGER update_usage_config_updated_at
    AFTER UPDATE OF id, plan, custom_limit_tokens, view, timezone, time_format, theme, refresh_rate,
    refresh_per_second, reset_hour, created_at, is_active
    ON usage_config
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE usage_config
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

-- The active configuration, with every default. It is written before the audit triggers exist:
-- what a migration writes is in the ledger of migrations, and the trail begins empty.
INSERT INTO usage_config DEFAULT VALUES;

CREATE TRIGGER audit_usage_config_insert
    AFTER INSERT ON usage_config
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'usage_config', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'plan', NEW.plan,
            'custom_limit_tokens', NEW.custom_limit_tokens,
            'view', NEW.view,
            'timezone', NEW.timezone,
            'time_format', NEW.time_format,
            'theme', NEW.theme,
            'refresh_rate', NEW.refresh_rate,
            'refresh_per_second', json(printf('%!.17g', NEW.refresh_per_second)),
            'reset_hour', NEW.reset_hour,
            'created_at', NEW.created_at,
            'updated_at', NEW.updated_at,
            'is_active', json(iif(NEW.is_active, 'true', 'false'))
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_usage_config_update
    AFTER UPDATE OF id, plan, custom_limit_tokens, view, timezone, time_format, theme, refresh_rate,
        refresh_per_second, reset_hour, created_at, is_active
    ON usage_config
    WHEN OLD.id IS NOT NEW.id
        OR OLD.plan IS NOT NEW.plan
        OR OLD.custom_limit_tokens IS NOT NEW.custom_limit_tokens
        OR OLD.view IS NOT NEW.view
        OR OLD.timezone IS NOT NEW.timezone
        OR OLD.time_format IS NOT NEW.time_format
        OR OLD.theme IS NOT NEW.theme
        OR OLD.refresh_rate IS NOT NEW.refresh_rate
        OR OLD.refresh_per_second IS NOT NEW.refresh_per_second
        OR OLD.reset_hour IS NOT NEW.reset_hour
        OR OLD.created_at IS NOT NEW.created_at
        OR OLD.is_active IS NOT NEW.is_active
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'usage_config', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'plan', OLD.plan,
            'custom_limit_tokens', OLD.custom_limit_tokens,
            'view', OLD.view,
            'timezone', OLD.timezone,
            'time_format', OLD.time_format,
            'theme', OLD.theme,
            'refresh_rate', OLD.refresh_rate,
            'refresh_per_second', json(printf('%!.17g', OLD.refresh_per_second)),
            'reset_hour', OLD.reset_hour,
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at,
            'is_active', json(iif(OLD.is_active, 'true', 'false'))
        ),
        json_object(
            'id', NEW.id,
            'plan', NEW.plan,
            'custom_limit_tokens', NEW.custom_limit_tokens,
            'view', NEW.view,
            'timezone', NEW.timezone,
            'time_format', NEW.time_format,
            'theme', NEW.theme,
            'refresh_rate', NEW.refresh_rate,
            'refresh_per_second', json(printf('%!.17g', NEW.refresh_per_second)),
            'reset_hour', NEW.reset_hour,
            'created_at', NEW.created_at,
            'updated_at', iif(
                NEW.updated_at IS OLD.updated_at,
                CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
                NEW.updated_at
            ),
            'is_active', json(iif(NEW.is_active, 'true', 'false'))
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_usage_config_delete
    AFTER DELETE ON usage_config
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'usage_config', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'plan', OLD.plan,
            'custom_limit_tokens', OLD.custom_limit_tokens,
            'view', OLD.view,
            'timezone', OLD.timezone,
            'time_format', OLD.time_format,
            'theme', OLD.theme,
            'refresh_rate', OLD.refresh_rate,
            'refresh_per_second', json(printf('%!.17g', OLD.refresh_per_second)),
            'reset_hour', OLD.reset_hour,
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at,
            'is_active', json(iif(OLD.is_active, 'true', 'false'))
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

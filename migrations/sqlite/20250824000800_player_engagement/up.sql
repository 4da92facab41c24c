-- V8 player_engagement: Telegram profiles, games against the house, notifications, the outbox and
-- settings.

-- telegram_profiles -------------------------------------------------------------------------------

CREATE TABLE telegram_profiles (
    -- The Telegram account of a player.
    user_id        TEXT    NOT NULL,
    telegram_id    INTEGER NOT NULL, -- Given by Telegram.
    username       TEXT, -- Without the @; changes at Telegram's side, so not unique.
    first_name     TEXT,
    last_name      TEXT,
    language_code  TEXT, -- IETF language tag.
    is_bot         INTEGER NOT NULL DEFAULT 0,
    is_premium     INTEGER NOT NULL DEFAULT 0,
    email_verified INTEGER NOT NULL DEFAULT 0,
    phone_verified INTEGER NOT NULL DEFAULT 0,
    metadata       TEXT,
    created_at     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_telegram_profiles PRIMARY KEY (user_id),
    CONSTRAINT uq_telegram_profiles_telegram_id UNIQUE (telegram_id),
    CONSTRAINT fk_telegram_profiles_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_telegram_profiles_is_bot_bool CHECK (is_bot IN (0, 1)),
    CONSTRAINT ck_telegram_profiles_is_premium_bool CHECK (is_premium IN (0, 1)),
    CONSTRAINT ck_telegram_profiles_email_verified_bool CHECK (email_verified IN (0, 1)),
    CONSTRAINT ck_telegram_profiles_phone_verified_bool CHECK (phone_verified IN (0, 1)),
    CONSTRAINT ck_telegram_profiles_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- Newest profiles.
CREATE INDEX idx_telegram_profiles_created_at ON telegram_profiles (created_at);

-- Profiles whose address is not verified yet.
CREATE INDEX idx_telegram_profiles_email_verified ON telegram_profiles (email_verified);

CREATE TRIGGER update_telegram_profiles_updated_at
    AFTER UPDATE OF user_id, telegram_id, username, first_name, last_name, language_code, is_bot, is_premium,
    email_verified, phone_verified, metadata, created_at
    ON telegram_profiles
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE telegram_profiles
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER audit_telegram_profiles_insert
    AFTER INSERT ON telegram_profiles
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'telegram_profiles', NEW.user_id,
        NULL,
        json_object(
            'user_id', NEW.user_id,
            'telegram_id', NEW.telegram_id,
            'username', NEW.username,
            'first_name', NEW.first_name,
            'last_name', NEW.last_name,
            'language_code', NEW.language_code,
            'is_bot', json(iif(NEW.is_bot, 'true', 'false')),
            'is_premium', json(iif(NEW.is_premium, 'true', 'false')),
            'email_verified', json(iif(NEW.email_verified, 'true', 'false')),
            'phone_verified', json(iif(NEW.phone_verified, 'true', 'false')),
            'metadata', json(NEW.metadata),
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

CREATE TRIGGER audit_telegram_profiles_update
    AFTER UPDATE OF user_id, telegram_id, username, first_name, last_name, language_code, is_bot, is_premium,
        email_verified, phone_verified, metadata, created_at
    ON telegram_profiles
    WHEN OLD.user_id IS NOT NEW.user_id
        OR OLD.telegram_id IS NOT NEW.telegram_id
        OR OLD.username IS NOT NEW.username
        OR OLD.first_name IS NOT NEW.first_name
        OR OLD.last_name IS NOT NEW.last_name
        OR OLD.language_code IS NOT NEW.language_code
        OR OLD.is_bot IS NOT NEW.is_bot
        OR OLD.is_premium IS NOT NEW.is_premium
        OR OLD.email_verified IS NOT NEW.email_verified
        OR OLD.phone_verified IS NOT NEW.phone_verified
        OR json(OLD.metadata) IS NOT json(NEW.metadata)
        OR OLD.created_at IS NOT NEW.created_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'telegram_profiles', OLD.user_id,
        json_object(
            'user_id', OLD.user_id,
            'telegram_id', OLD.telegram_id,
            'username', OLD.username,
            'first_name', OLD.first_name,
            'last_name', OLD.last_name,
            'language_code', OLD.language_code,
            'is_bot', json(iif(OLD.is_bot, 'true', 'false')),
            'is_premium', json(iif(OLD.is_premium, 'true', 'false')),
            'email_verified', json(iif(OLD.email_verified, 'true', 'false')),
            'phone_verified', json(iif(OLD.phone_verified, 'true', 'false')),
            'metadata', json(OLD.metadata),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        json_object(
            'user_id', NEW.user_id,
            'telegram_id', NEW.telegram_id,
            'username', NEW.username,
            'first_name', NEW.first_name,
            'last_name', NEW.last_name,
            'language_code', NEW.language_code,
            'is_bot', json(iif(NEW.is_bot, 'true', 'false')),
            'is_premium', json(iif(NEW.is_premium, 'true', 'false')),
            'email_verified', json(iif(NEW.email_verified, 'true', 'false')),
            'phone_verified', json(iif(NEW.phone_verified, 'true', 'false')),
            'metadata', json(NEW.metadata),
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

CREATE TRIGGER audit_telegram_profiles_delete
    AFTER DELETE ON telegram_profiles
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'telegram_profiles', OLD.user_id,
        json_object(
            'user_id', OLD.user_id,
            'telegram_id', OLD.telegram_id,
            'username', OLD.username,
            'first_name', OLD.first_name,
            'last_name', OLD.last_name,
            'language_code', OLD.language_code,
            'is_bot', json(iif(OLD.is_bot, 'true', 'false')),
            'is_premium', json(iif(OLD.is_premium, 'true', 'false')),
            'email_verified', json(iif(OLD.email_verified, 'true', 'false')),
            'phone_verified', json(iif(OLD.phone_verified, 'true', 'false')),
            'metadata', json(OLD.metadata),
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

-- house_games -------------------------------------------------------------------------------------

CREATE TABLE house_games (
    -- A game of one player against the house, decided by an algorithm.
    id             INTEGER NOT NULL,
    user_id        TEXT    NOT NULL,
    algorithm_type TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    bet_amount     INTEGER NOT NULL, -- Smallest unit of CRAP.
    outcome        TEXT, -- NULL until the game is decided; open vocabulary.
    multiplier     REAL    NOT NULL DEFAULT 0.0, -- Payout in multiples of the bet.
    payout_amount  INTEGER NOT NULL DEFAULT 0, -- Smallest unit of CRAP.
    -- Share of the bet that the house keeps on average: 0.014 is 1.4 per cent.
    house_edge     REAL    NOT NULL DEFAULT 0.0,
    session_id     TEXT, -- Session of play, as the client names it; not a row of sessions.
    seed           TEXT, -- Seed of the random numbers, so that the game can be proven fair.
    created_at     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    metadata       TEXT,

    CONSTRAINT pk_house_games PRIMARY KEY (id),
    CONSTRAINT fk_house_games_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_house_games_bet_amount CHECK (bet_amount >= 0),
    CONSTRAINT ck_house_games_multiplier CHECK (multiplier >= 0 AND multiplier <= 1e308),
    CONSTRAINT ck_house_games_payout_amount CHECK (payout_amount >= 0),
    CONSTRAINT ck_house_games_house_edge CHECK (abs(house_edge) <= 1),
    CONSTRAINT ck_house_games_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- Games of one player, in order of time; the foreign key.
CREATE INDEX idx_house_games_user_id_created_at ON house_games (user_id, created_at);

-- Games of a span of time.
CREATE INDEX idx_house_games_created_at ON house_games (created_at);

-- Games of one session of play.
CREATE INDEX idx_house_games_session_id ON house_games (session_id);

CREATE TRIGGER audit_house_games_insert
    AFTER INSERT ON house_games
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'house_games', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'user_id', NEW.user_id,
            'algorithm_type', NEW.algorithm_type,
            'bet_amount', NEW.bet_amount,
            'outcome', NEW.outcome,
            'multiplier', json(printf('%!.17g', NEW.multiplier)),
            'payout_amount', NEW.payout_amount,
            'house_edge', json(printf('%!.17g', NEW.house_edge)),
            'session_id', NEW.session_id,
            'seed', NEW.seed,
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

CREATE TRIGGER audit_house_games_update
    AFTER UPDATE ON house_games
    WHEN OLD.id IS NOT NEW.id
        OR OLD.user_id IS NOT NEW.user_id
        OR OLD.algorithm_type IS NOT NEW.algorithm_type
        OR OLD.bet_amount IS NOT NEW.bet_amount
        OR OLD.outcome IS NOT NEW.outcome
        OR OLD.multiplier IS NOT NEW.multiplier
        OR OLD.payout_amount IS NOT NEW.payout_amount
        OR OLD.house_edge IS NOT NEW.house_edge
        OR OLD.session_id IS NOT NEW.session_id
        OR OLD.seed IS NOT NEW.seed
        OR OLD.created_at IS NOT NEW.created_at
        OR json(OLD.metadata) IS NOT json(NEW.metadata)
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'house_games', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'user_id', OLD.user_id,
            'algorithm_type', OLD.algorithm_type,
            'bet_amount', OLD.bet_amount,
            'outcome', OLD.outcome,
            'multiplier', json(printf('%!.17g', OLD.multiplier)),
            'payout_amount', OLD.payout_amount,
            'house_edge', json(printf('%!.17g', OLD.house_edge)),
            'session_id', OLD.session_id,
            'seed', OLD.seed,
            'created_at', OLD.created_at,
            'metadata', json(OLD.metadata)
        ),
        json_object(
            'id', NEW.id,
            'user_id', NEW.user_id,
            'algorithm_type', NEW.algorithm_type,
            'bet_amount', NEW.bet_amount,
            'outcome', NEW.outcome,
            'multiplier', json(printf('%!.17g', NEW.multiplier)),
            'payout_amount', NEW.payout_amount,
            'house_edge', json(printf('%!.17g', NEW.house_edge)),
            'session_id', NEW.session_id,
            'seed', NEW.seed,
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

CREATE TRIGGER audit_house_games_delete
    AFTER DELETE ON house_games
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'house_games', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'user_id', OLD.user_id,
            'algorithm_type', OLD.algorithm_type,
            'bet_amount', OLD.bet_amount,
            'outcome', OLD.outcome,
            'multiplier', json(printf('%!.17g', OLD.multiplier)),
            'payout_amount', OLD.payout_amount,
            'house_edge', json(printf('%!.17g', OLD.house_edge)),
            'session_id', OLD.session_id,
            'seed', OLD.seed,
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

-- notifications -----------------------------------------------------------------------------------

CREATE TABLE notifications (
    -- A message to a player.
    id                INTEGER NOT NULL,
    user_id           TEXT    NOT NULL,
    notification_type TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    title             TEXT    NOT NULL,
    message           TEXT    NOT NULL,
    is_read           INTEGER NOT NULL DEFAULT 0,
    read_at           INTEGER, -- Set exactly when is_read is.
    created_at        INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    metadata          TEXT,

    CONSTRAINT pk_notifications PRIMARY KEY (id),
    CONSTRAINT fk_notifications_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_notifications_read_at CHECK (is_read = (read_at IS NOT NULL)),
    CONSTRAINT ck_notifications_is_read_bool CHECK (is_read IN (0, 1)),
    CONSTRAINT ck_notifications_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- Notifications of one player, newest first; the foreign key.
CREATE INDEX idx_notifications_user_id_created_at ON notifications (user_id, created_at);

-- Unread notifications of one player, and their number.
CREATE INDEX idx_notifications_unread ON notifications (user_id, created_at) WHERE read_at IS NULL;

-- Read notifications past their keeping time.
CREATE INDEX idx_notifications_is_read_created_at ON notifications (is_read, created_at);

-- Notifications of a span of time.
CREATE INDEX idx_notifications_created_at ON notifications (created_at);

-- outbox ------------------------------------------------------------------------------------------

CREATE TABLE outbox (
    -- An event that has to reach the outside, written in the transaction that caused it and
    -- delivered afterwards.
    id            INTEGER NOT NULL,
    user_id       TEXT,
    outbox_type   TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    status        TEXT    NOT NULL DEFAULT 'pending', -- failed waits for its next attempt; dead is given up.
    payload       TEXT    NOT NULL,
    attempts      INTEGER NOT NULL DEFAULT 0, -- Deliveries tried so far.
    -- When the entry is due, or its lease ends while processing; NULL when delivered or dead.
    next_retry_at INTEGER DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    metadata      TEXT,

    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT fk_outbox_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT ck_outbox_status CHECK (status IN ('pending', 'processing', 'failed', 'delivered', 'dead')),
    CONSTRAINT ck_outbox_attempts CHECK (attempts >= 0 AND attempts <= 1000000),
    CONSTRAINT ck_outbox_next_retry_at CHECK ((next_retry_at IS NULL) = (status IN ('delivered', 'dead'))),
    CONSTRAINT ck_outbox_payload_json CHECK (json_valid(payload)),
    CONSTRAINT ck_outbox_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- Entries of one player; the foreign key.
CREATE INDEX idx_outbox_user_id ON outbox (user_id);

-- Entries in one status, oldest first; how many, and how old.
CREATE INDEX idx_outbox_status_created_at ON outbox (status, created_at);

-- Entries past their keeping time.
CREATE INDEX idx_outbox_created_at ON outbox (created_at);

-- Entries that are due. The comparison with a time implies NOT NULL, so a bound parameter is enough
-- to use it.
CREATE INDEX idx_outbox_next_retry_at ON outbox (next_retry_at) WHERE next_retry_at IS NOT NULL;

CREATE TRIGGER update_outbox_updated_at
    AFTER UPDATE OF id, user_id, outbox_type, status, payload, attempts, next_retry_at, created_at, metadata
    ON outbox
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE outbox
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

-- settings ----------------------------------------------------------------------------------------

CREATE TABLE settings (
    -- A setting of the whole application.
    id            INTEGER NOT NULL,
    setting_key   TEXT    NOT NULL,
    setting_value TEXT    NOT NULL,
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_settings PRIMARY KEY (id),
    CONSTRAINT uq_settings_setting_key UNIQUE (setting_key),
    CONSTRAINT ck_settings_setting_value_json CHECK (json_valid(setting_value))
) STRICT;

CREATE TRIGGER update_settings_updated_at
    AFTER UPDATE OF id, setting_key, setting_value, created_at
    ON settings
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE settings
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

CREATE TRIGGER audit_settings_insert
    AFTER INSERT ON settings
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'settings', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'setting_key', NEW.setting_key,
            'setting_value', json(NEW.setting_value),
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

CREATE TRIGGER audit_settings_update
    AFTER UPDATE OF id, setting_key, setting_value, created_at
    ON settings
    WHEN OLD.id IS NOT NEW.id
        OR OLD.setting_key IS NOT NEW.setting_key
        OR json(OLD.setting_value) IS NOT json(NEW.setting_value)
        OR OLD.created_at IS NOT NEW.created_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'settings', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'setting_key', OLD.setting_key,
            'setting_value', json(OLD.setting_value),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        json_object(
            'id', NEW.id,
            'setting_key', NEW.setting_key,
            'setting_value', json(NEW.setting_value),
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

CREATE TRIGGER audit_settings_delete
    AFTER DELETE ON settings
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'settings', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'setting_key', OLD.setting_key,
            'setting_value', json(OLD.setting_value),
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

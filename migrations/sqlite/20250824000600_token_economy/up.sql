-- V6 token_economy: balances of players, and what they have staked.

-- token_balances ----------------------------------------------------------------------------------

CREATE TABLE token_balances (
    -- The CRAP of one player, in its smallest unit. The total is balance + locked_balance +
    -- staked_balance.
    user_id        TEXT    NOT NULL,
    balance        INTEGER NOT NULL DEFAULT 0, -- What is available.
    locked_balance INTEGER NOT NULL DEFAULT 0, -- Held for open bets.
    staked_balance INTEGER NOT NULL DEFAULT 0, -- Held in active staking positions.
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    last_updated   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_token_balances PRIMARY KEY (user_id),
    CONSTRAINT fk_token_balances_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_token_balances_balance CHECK (balance >= 0),
    CONSTRAINT ck_token_balances_locked_balance CHECK (locked_balance >= 0),
    CONSTRAINT ck_token_balances_staked_balance CHECK (staked_balance >= 0)
) STRICT;

CREATE TRIGGER update_token_balances_last_updated
    AFTER UPDATE OF user_id, balance, locked_balance, staked_balance
    ON token_balances
    WHEN NEW.last_updated IS OLD.last_updated
BEGIN
    UPDATE token_balances
    SET last_updated = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER audit_token_balances_insert
    AFTER INSERT ON token_balances
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'token_balances', NEW.user_id,
        NULL,
        json_object(
            'user_id', NEW.user_id,
            'balance', NEW.balance,
            'locked_balance', NEW.locked_balance,
            'staked_balance', NEW.staked_balance,
            'last_updated', NEW.last_updated
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_token_balances_update
    AFTER UPDATE OF user_id, balance, locked_balance, staked_balance
    ON token_balances
    WHEN OLD.user_id IS NOT NEW.user_id
        OR OLD.balance IS NOT NEW.balance
        OR OLD.locked_balance IS NOT NEW.locked_balance
        OR OLD.staked_balance IS NOT NEW.staked_balance
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'token_balances', OLD.user_id,
        json_object(
            'user_id', OLD.user_id,
            'balance', OLD.balance,
            'locked_balance', OLD.locked_balance,
            'staked_balance', OLD.staked_balance,
            'last_updated', OLD.last_updated
        ),
        json_object(
            'user_id', NEW.user_id,
            'balance', NEW.balance,
            'locked_balance', NEW.locked_balance,
            'staked_balance', NEW.staked_balance,
            'last_updated', iif(
                NEW.last_updated IS OLD.last_updated,
                CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
                NEW.last_updated
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

CREATE TRIGGER audit_token_balances_delete
    AFTER DELETE ON token_balances
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'token_balances', OLD.user_id,
        json_object(
            'user_id', OLD.user_id,
            'balance', OLD.balance,
            'locked_balance', OLD.locked_balance,
            'staked_balance', OLD.staked_balance,
            'last_updated', OLD.last_updated
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

-- staking_positions -------------------------------------------------------------------------------

CREATE TABLE staking_positions (
    -- CRAP that a player has locked away for a reward.
    id               TEXT    NOT NULL,
    user_id          TEXT    NOT NULL,
    amount           INTEGER NOT NULL, -- Smallest unit of CRAP.
    lock_period_days INTEGER NOT NULL,
    reward_rate      REAL    NOT NULL, -- Simple interest per year of 365 days: 0.05 is five per cent.
    started_at       INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    ends_at          INTEGER NOT NULL,
    claimed_rewards  INTEGER NOT NULL DEFAULT 0, -- Rewards paid so far, smallest unit of CRAP.
    is_active        INTEGER NOT NULL DEFAULT 1,

    CONSTRAINT pk_staking_positions PRIMARY KEY (id),
    CONSTRAINT fk_staking_positions_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_staking_positions_amount CHECK (amount > 0),
    CONSTRAINT ck_staking_positions_lock_period_days CHECK (lock_period_days >= 0 AND lock_period_days <= 36500),
    CONSTRAINT ck_staking_positions_reward_rate CHECK (reward_rate >= 0 AND reward_rate <= 1000000),
    CONSTRAINT ck_staking_positions_ends_at CHECK (ends_at >= started_at),
    CONSTRAINT ck_staking_positions_claimed_rewards CHECK (claimed_rewards >= 0),
    CONSTRAINT ck_staking_positions_is_active_bool CHECK (is_active IN (0, 1))
) STRICT;

-- Positions of one player, in order of time; the foreign key.
CREATE INDEX idx_staking_positions_user_id_started_at ON staking_positions (user_id, started_at);

-- Active positions whose lock has ended.
CREATE INDEX idx_staking_positions_is_active_ends_at ON staking_positions (is_active, ends_at);

CREATE TRIGGER audit_staking_positions_insert
    AFTER INSERT ON staking_positions
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'staking_positions', NEW.id,
        NULL,
        json_object(
            'id', NEW.id,
            'user_id', NEW.user_id,
            'amount', NEW.amount,
            'lock_period_days', NEW.lock_period_days,
            'reward_rate', json(printf('%!.17g', NEW.reward_rate)),
            'started_at', NEW.started_at,
            'ends_at', NEW.ends_at,
            'claimed_rewards', NEW.claimed_rewards,
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

CREATE TRIGGER audit_staking_positions_update
    AFTER UPDATE ON staking_positions
    WHEN OLD.id IS NOT NEW.id
        OR OLD.user_id IS NOT NEW.user_id
        OR OLD.amount IS NOT NEW.amount
        OR OLD.lock_period_days IS NOT NEW.lock_period_days
        OR OLD.reward_rate IS NOT NEW.reward_rate
        OR OLD.started_at IS NOT NEW.started_at
        OR OLD.ends_at IS NOT NEW.ends_at
        OR OLD.claimed_rewards IS NOT NEW.claimed_rewards
        OR OLD.is_active IS NOT NEW.is_active
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'staking_positions', OLD.id,
        json_object(
            'id', OLD.id,
            'user_id', OLD.user_id,
            'amount', OLD.amount,
            'lock_period_days', OLD.lock_period_days,
            'reward_rate', json(printf('%!.17g', OLD.reward_rate)),
            'started_at', OLD.started_at,
            'ends_at', OLD.ends_at,
            'claimed_rewards', OLD.claimed_rewards,
            'is_active', json(iif(OLD.is_active, 'true', 'false'))
        ),
        json_object(
            'id', NEW.id,
            'user_id', NEW.user_id,
            'amount', NEW.amount,
            'lock_period_days', NEW.lock_period_days,
            'reward_rate', json(printf('%!.17g', NEW.reward_rate)),
            'started_at', NEW.started_at,
            'ends_at', NEW.ends_at,
            'claimed_rewards', NEW.claimed_rewards,
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

CREATE TRIGGER audit_staking_positions_delete
    AFTER DELETE ON staking_positions
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'staking_positions', OLD.id,
        json_object(
            'id', OLD.id,
            'user_id', OLD.user_id,
            'amount', OLD.amount,
            'lock_period_days', OLD.lock_period_days,
            'reward_rate', json(printf('%!.17g', OLD.reward_rate)),
            'started_at', OLD.started_at,
            'ends_at', OLD.ends_at,
            'claimed_rewards', OLD.claimed_rewards,
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

-- V6 token_economy: balances of players, and what they have staked.

-- functions ---------------------------------------------------------------------------------------

CREATE FUNCTION update_last_updated_column() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.last_updated := now();
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION update_last_updated_column() IS
    'Trigger function: sets last_updated to the time of the transaction.';

-- token_balances ----------------------------------------------------------------------------------

CREATE TABLE token_balances (
    user_id        TEXT COLLATE "C" NOT NULL,
    balance        BIGINT           NOT NULL DEFAULT 0,
    locked_balance BIGINT           NOT NULL DEFAULT 0,
    staked_balance BIGINT           NOT NULL DEFAULT 0,
    last_updated   TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_token_balances PRIMARY KEY (user_id),
    CONSTRAINT fk_token_balances_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_token_balances_balance CHECK (balance >= 0),
    CONSTRAINT ck_token_balances_locked_balance CHECK (locked_balance >= 0),
    CONSTRAINT ck_token_balances_staked_balance CHECK (staked_balance >= 0)
);

COMMENT ON TABLE token_balances IS
    'The CRAP of one player, in its smallest unit. The total is balance + locked_balance + staked_balance.';
COMMENT ON COLUMN token_balances.balance IS
    'What is available.';
COMMENT ON COLUMN token_balances.locked_balance IS
    'Held for open bets.';
COMMENT ON COLUMN token_balances.staked_balance IS
    'Held in active staking positions.';
COMMENT ON COLUMN token_balances.last_updated IS
    'Set by the writer; a trigger sets it when a statement left it unchanged.';

CREATE TRIGGER update_token_balances_last_updated
    BEFORE UPDATE OF user_id, balance, locked_balance, staked_balance
    ON token_balances FOR EACH ROW
    WHEN (NEW.last_updated IS NOT DISTINCT FROM OLD.last_updated)
    EXECUTE FUNCTION update_last_updated_column();

CREATE TRIGGER audit_token_balances_insert
    AFTER INSERT ON token_balances FOR EACH ROW
    EXECUTE FUNCTION audit_row('user_id', '{last_updated}', '{}');

CREATE TRIGGER audit_token_balances_update
    AFTER UPDATE OF user_id, balance, locked_balance, staked_balance
    ON token_balances FOR EACH ROW
    WHEN (
        OLD.user_id IS DISTINCT FROM NEW.user_id
        OR OLD.balance IS DISTINCT FROM NEW.balance
        OR OLD.locked_balance IS DISTINCT FROM NEW.locked_balance
        OR OLD.staked_balance IS DISTINCT FROM NEW.staked_balance
    )
    EXECUTE FUNCTION audit_row('user_id', '{last_updated}', '{}');

CREATE TRIGGER audit_token_balances_delete
    AFTER DELETE ON token_balances FOR EACH ROW
    EXECUTE FUNCTION audit_row('user_id', '{last_updated}', '{}');

CREATE TRIGGER audit_token_balances_truncate
    BEFORE TRUNCATE ON token_balances FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_truncate();

-- staking_positions -------------------------------------------------------------------------------

CREATE TABLE staking_positions (
    id               TEXT COLLATE "C" NOT NULL,
    user_id          TEXT COLLATE "C" NOT NULL,
    amount           BIGINT           NOT NULL,
    lock_period_days INTEGER          NOT NULL,
    reward_rate      DOUBLE PRECISION NOT NULL,
    started_at       TIMESTAMPTZ      NOT NULL DEFAULT now(),
    ends_at          TIMESTAMPTZ      NOT NULL,
    claimed_rewards  BIGINT           NOT NULL DEFAULT 0,
    is_active        BOOLEAN          NOT NULL DEFAULT TRUE,

    CONSTRAINT pk_staking_positions PRIMARY KEY (id),
    CONSTRAINT fk_staking_positions_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_staking_positions_amount CHECK (amount > 0),
    CONSTRAINT ck_staking_positions_lock_period_days CHECK (lock_period_days >= 0 AND lock_period_days <= 36500),
    CONSTRAINT ck_staking_positions_reward_rate CHECK (reward_rate >= 0 AND reward_rate <= 1000000),
    CONSTRAINT ck_staking_positions_ends_at CHECK (ends_at >= started_at),
    CONSTRAINT ck_staking_positions_claimed_rewards CHECK (claimed_rewards >= 0)
);

COMMENT ON TABLE staking_positions IS
    'CRAP that a player has locked away for a reward.';
COMMENT ON COLUMN staking_positions.amount IS
    'Smallest unit of CRAP.';
COMMENT ON COLUMN staking_positions.reward_rate IS
    'Simple interest per year of 365 days: 0.05 is five per cent.';
COMMENT ON COLUMN staking_positions.claimed_rewards IS
    'Rewards paid so far, smallest unit of CRAP.';

-- Positions of one player, in order of time; the foreign key.
CREATE INDEX idx_staking_positions_user_id_started_at ON staking_positions (user_id, started_at);

-- Active positions whose lock has ended.
CREATE INDEX idx_staking_positions_is_active_ends_at ON staking_positions (is_active, ends_at);

CREATE TRIGGER audit_staking_positions_insert
    AFTER INSERT ON staking_positions FOR EACH ROW
    EXECUTE FUNCTION audit_row('id', '{started_at,ends_at}', '{}');

CREATE TRIGGER audit_staking_positions_update
    AFTER UPDATE ON staking_positions FOR EACH ROW
    WHEN (
        OLD.id IS DISTINCT FROM NEW.id
        OR OLD.user_id IS DISTINCT FROM NEW.user_id
        OR OLD.amount IS DISTINCT FROM NEW.amount
        OR OLD.lock_period_days IS DISTINCT FROM NEW.lock_period_days
        OR OLD.reward_rate IS DISTINCT FROM NEW.reward_rate
        OR OLD.started_at IS DISTINCT FROM NEW.started_at
        OR OLD.ends_at IS DISTINCT FROM NEW.ends_at
        OR OLD.claimed_rewards IS DISTINCT FROM NEW.claimed_rewards
        OR OLD.is_active IS DISTINCT FROM NEW.is_active
    )
    EXECUTE FUNCTION audit_row('id', '{started_at,ends_at}', '{}');

CREATE TRIGGER audit_staking_positions_delete
    AFTER DELETE ON staking_positions FOR EACH ROW
    EXECUTE FUNCTION audit_row('id', '{started_at,ends_at}', '{}');

CREATE TRIGGER audit_staking_positions_truncate
    BEFORE TRUNCATE ON staking_positions FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_truncate();

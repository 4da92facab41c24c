-- Undoes V11 money_accounts.

DROP INDEX idx_player_statistics_total_won_player_id;
DROP INDEX idx_player_statistics_total_wagered_player_id;
DROP INDEX idx_player_statistics_biggest_win_player_id;
DROP INDEX idx_player_statistics_games_won_player_id;

-- Leaderboard by winnings.
CREATE INDEX idx_player_statistics_total_won ON player_statistics (total_won);

-- Leaderboard by turnover.
CREATE INDEX idx_player_statistics_total_wagered ON player_statistics (total_wagered);

-- Leaderboard by the largest single win.
CREATE INDEX idx_player_statistics_biggest_win ON player_statistics (biggest_win);

-- Leaderboard by games won.
CREATE INDEX idx_player_statistics_games_won ON player_statistics (games_won);

DROP TABLE game_players;
DROP TABLE operations;
DROP TABLE account_entries;
DROP TABLE accounts;

-- The triggers name the columns, so they go first, and come back as V5 made them.
DROP TRIGGER audit_transactions_insert;
DROP TRIGGER audit_transactions_update;
DROP TRIGGER audit_transactions_delete;

ALTER TABLE transactions DROP COLUMN staked_change;
ALTER TABLE transactions DROP COLUMN locked_change;

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

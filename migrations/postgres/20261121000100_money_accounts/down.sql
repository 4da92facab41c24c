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

-- The trigger names the columns, so it goes first, and comes back as V5 made it.
DROP TRIGGER audit_transactions_update ON transactions;

ALTER TABLE transactions DROP COLUMN staked_change;
ALTER TABLE transactions DROP COLUMN locked_change;

CREATE TRIGGER audit_transactions_update
    AFTER UPDATE ON transactions FOR EACH ROW
    WHEN (
        OLD.id IS DISTINCT FROM NEW.id
        OR OLD.user_id IS DISTINCT FROM NEW.user_id
        OR OLD.transaction_type IS DISTINCT FROM NEW.transaction_type
        OR OLD.amount IS DISTINCT FROM NEW.amount
        OR OLD.balance_before IS DISTINCT FROM NEW.balance_before
        OR OLD.balance_after IS DISTINCT FROM NEW.balance_after
        OR OLD.status IS DISTINCT FROM NEW.status
        OR OLD.reference_id IS DISTINCT FROM NEW.reference_id
        OR OLD.created_at IS DISTINCT FROM NEW.created_at
        OR OLD.metadata IS DISTINCT FROM NEW.metadata
    )
    EXECUTE FUNCTION audit_row('id', '{created_at}', '{}');

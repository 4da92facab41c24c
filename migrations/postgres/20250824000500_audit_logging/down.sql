-- Undoes V5 audit_logging. The triggers on older tables go first, then what they write to.

DROP TRIGGER audit_users_insert ON users;
DROP TRIGGER audit_users_update ON users;
DROP TRIGGER audit_users_delete ON users;
DROP TRIGGER audit_users_truncate ON users;
DROP TRIGGER audit_games_insert ON games;
DROP TRIGGER audit_games_update ON games;
DROP TRIGGER audit_games_delete ON games;
DROP TRIGGER audit_games_truncate ON games;
DROP TRIGGER audit_bets_insert ON bets;
DROP TRIGGER audit_bets_update ON bets;
DROP TRIGGER audit_bets_delete ON bets;
DROP TRIGGER audit_bets_truncate ON bets;
DROP TRIGGER audit_transactions_insert ON transactions;
DROP TRIGGER audit_transactions_update ON transactions;
DROP TRIGGER audit_transactions_delete ON transactions;

DROP TABLE audit_logs;

DROP FUNCTION refuse_truncate();
DROP FUNCTION audit_row();

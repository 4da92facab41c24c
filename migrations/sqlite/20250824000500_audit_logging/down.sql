-- Undoes V5 audit_logging. The triggers on older tables go first, then what they write to.

DROP TRIGGER audit_users_insert;
DROP TRIGGER audit_users_update;
DROP TRIGGER audit_users_delete;
DROP TRIGGER audit_games_insert;
DROP TRIGGER audit_games_update;
DROP TRIGGER audit_games_delete;
DROP TRIGGER audit_bets_insert;
DROP TRIGGER audit_bets_update;
DROP TRIGGER audit_bets_delete;
DROP TRIGGER audit_transactions_insert;
DROP TRIGGER audit_transactions_update;
DROP TRIGGER audit_transactions_delete;

DROP TABLE audit_logs;
DROP TABLE audit_context;

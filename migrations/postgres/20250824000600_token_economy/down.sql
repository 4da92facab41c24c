-- Undoes V6 token_economy.

DROP TABLE staking_positions;
DROP TABLE token_balances;

DROP FUNCTION update_last_updated_column();

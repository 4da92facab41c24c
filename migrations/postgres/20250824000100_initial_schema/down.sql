-- Undoes V1 initial_schema. Children go before their parents, so that no foreign key is in the way.

DROP TABLE transactions;
DROP TABLE bets;
DROP TABLE games;
DROP TABLE users;

DROP FUNCTION refuse_change();
DROP FUNCTION update_updated_at_column();

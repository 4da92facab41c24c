-- Undoes V1 initial_schema. Children go before their parents, so that no foreign key is in the way.

DROP TABLE transactions;
DROP TABLE bets;
DROP TABLE games;
DROP TABLE users;

PRAGMA application_id = 0;

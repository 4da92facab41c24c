-- V11 money_accounts: accounts that are no player's and their lines, what makes operations on money
-- idempotent, and who takes part in a game.

-- transactions ------------------------------------------------------------------------------------

-- What a line does to each of the three balances, so that all of them can be recomputed from lines.
-- amount is what it does to the available one. A line that is older than these columns says nothing
-- of the others, hence the default.
-- (The comments stand before the type, or SQLite would not keep them, and have no comma: taking a
-- column away cuts back to the last one.)
ALTER TABLE transactions ADD COLUMN
    locked_change /* What the line does to the locked balance; smallest unit of CRAP. */ INTEGER NOT NULL DEFAULT 0;
ALTER TABLE transactions ADD COLUMN
    staked_change /* What the line does to the staked balance; smallest unit of CRAP. */ INTEGER NOT NULL DEFAULT 0;

-- audit of transactions ---------------------------------------------------------------------------

DROP TRIGGER audit_transactions_insert;
DROP TRIGGER audit_transactions_update;
DROP TRIGGER audit_transactions_delete;

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
            'metadata', json(NEW.metadata),
            'locked_change', NEW.locked_change,
            'staked_change', NEW.staked_change
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
        OR OLD.locked_change IS NOT NEW.locked_change
        OR OLD.staked_change IS NOT NEW.staked_change
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
            'metadata', json(OLD.metadata),
            'locked_change', OLD.locked_change,
            'staked_change', OLD.staked_change
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
            'metadata', json(NEW.metadata),
            'locked_change', NEW.locked_change,
            'staked_change', NEW.staked_change
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
            'metadata', json(OLD.metadata),
            'locked_change', OLD.locked_change,
            'staked_change', OLD.staked_change
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

-- accounts ----------------------------------------------------------------------------------------

CREATE TABLE accounts (
    -- An account that is no player's: of the house, of the treasury, or the pot of a game. Its entries
    -- are its trail.
    id         TEXT    NOT NULL, -- house, treasury, or pot: followed by the id of the game.
    kind       TEXT    NOT NULL,
    game_id    TEXT, -- The game whose pot it is; NULL for the others.
    balance    INTEGER NOT NULL DEFAULT 0, -- Smallest unit of CRAP.
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_accounts PRIMARY KEY (id),
    CONSTRAINT uq_accounts_game_id UNIQUE (game_id),
    CONSTRAINT fk_accounts_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT ck_accounts_kind CHECK (kind IN ('house', 'treasury', 'pot')),
    CONSTRAINT ck_accounts_game_id CHECK ((kind = 'pot') = (game_id IS NOT NULL)),
    CONSTRAINT ck_accounts_balance CHECK (balance >= 0)
) STRICT;

CREATE TRIGGER update_accounts_updated_at
    AFTER UPDATE OF id, kind, game_id, balance, created_at
    ON accounts
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE accounts
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

-- The two that there is one of. Pots come and stay with their games.
INSERT INTO accounts (id, kind) VALUES ('house', 'house'), ('treasury', 'treasury');

-- account_entries ---------------------------------------------------------------------------------

CREATE TABLE account_entries (
    -- One line in the ledger of an account. Never changed: a reversal is a line of its own.
    id             INTEGER NOT NULL,
    account_id     TEXT    NOT NULL,
    entry_type     TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    amount         INTEGER NOT NULL, -- Smallest unit of CRAP; negative when it leaves the account.
    balance_before INTEGER NOT NULL, -- Smallest unit of CRAP.
    balance_after  INTEGER NOT NULL, -- Smallest unit of CRAP.
    reference_id   TEXT, -- What the line belongs to: a bet, a game, a request, the line it reverses.
    created_at     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_account_entries PRIMARY KEY (id),
    CONSTRAINT fk_account_entries_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
    CONSTRAINT ck_account_entries_id CHECK (id > 0),
    CONSTRAINT ck_account_entries_balance_before CHECK (balance_before >= 0),
    CONSTRAINT ck_account_entries_balance_after CHECK (balance_after >= 0),
    CONSTRAINT ck_account_entries_balance CHECK (balance_after - balance_before = amount)
) STRICT;

-- Lines of one account, in order of time; the foreign key.
CREATE INDEX idx_account_entries_account_id_created_at ON account_entries (account_id, created_at);

CREATE TRIGGER account_entries_append_only_update
    BEFORE UPDATE ON account_entries
BEGIN
    SELECT RAISE(ABORT, 'account_entries is append-only: UPDATE is refused');
END;

CREATE TRIGGER account_entries_append_only_delete
    BEFORE DELETE ON account_entries
BEGIN
    SELECT RAISE(ABORT, 'account_entries is append-only: DELETE is refused');
END;

-- As on transactions: REPLACE would remove the old row without firing a delete trigger.
CREATE TRIGGER account_entries_append_only_replace
    BEFORE INSERT ON account_entries
    WHEN EXISTS (SELECT 1 FROM account_entries WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'account_entries is append-only: this id is taken');
END;

-- operations --------------------------------------------------------------------------------------

CREATE TABLE operations (
    -- An operation on money that was asked for, and what came of it: the same reference with the same
    -- content gets the same answer.
    kind         TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    reference    TEXT    NOT NULL, -- Given by the caller.
    content_hash BLOB    NOT NULL, -- SHA-256 of what was asked for.
    -- JSON, kept byte for byte so that it can be given again; empty while the operation runs.
    answer       TEXT    NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_operations PRIMARY KEY (kind, reference),
    CONSTRAINT ck_operations_content_hash CHECK (length(content_hash) = 32)
) STRICT;

-- game_players ------------------------------------------------------------------------------------

CREATE TABLE game_players (
    -- A player who takes part in a game.
    game_id   TEXT    NOT NULL,
    player_id TEXT    NOT NULL,
    joined_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_game_players PRIMARY KEY (game_id, player_id),
    CONSTRAINT fk_game_players_game_id FOREIGN KEY (game_id) REFERENCES games (id) ON DELETE CASCADE,
    CONSTRAINT fk_game_players_player_id FOREIGN KEY (player_id) REFERENCES users (id)
) STRICT;

-- Games of one player, in order of time; the foreign key.
CREATE INDEX idx_game_players_player_id_joined_at ON game_players (player_id, joined_at);

-- player_statistics -------------------------------------------------------------------------------

-- Many players tie, so a leaderboard is a page in the order of the value and then the player: the
-- indexes hold both.
DROP INDEX idx_player_statistics_total_won;
DROP INDEX idx_player_statistics_total_wagered;
DROP INDEX idx_player_statistics_biggest_win;
DROP INDEX idx_player_statistics_games_won;

-- Leaderboard by winnings.
CREATE INDEX idx_player_statistics_total_won_player_id ON player_statistics (total_won, player_id);

-- Leaderboard by turnover.
CREATE INDEX idx_player_statistics_total_wagered_player_id ON player_statistics (total_wagered, player_id);

-- Leaderboard by the largest single win.
CREATE INDEX idx_player_statistics_biggest_win_player_id ON player_statistics (biggest_win, player_id);

-- Leaderboard by games won.
CREATE INDEX idx_player_statistics_games_won_player_id ON player_statistics (games_won, player_id);

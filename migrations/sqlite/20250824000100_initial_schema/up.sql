-- V1 initial_schema: players, games, bets and the money lines of players.

-- "BCDB" in ASCII (0x42434442) marks the file as one of ours. It is a field of the file's header
-- and no part of the schema: what .dump writes lacks it, so a database made from a dump does too.
PRAGMA application_id = 1111704642;

-- Times are INTEGER, Unix microseconds, UTC. Money is INTEGER, in the smallest unit of CRAP.
-- Defaults and triggers use nothing that a plain sqlite3 3.40 shell lacks.
--
-- A foreign key without an action refuses to delete a parent in use: nothing that money hangs on
-- goes away with something else. It is NO ACTION and not RESTRICT, which SQLite reports as an
-- error of a trigger, so that nobody could tell it from the others.

-- users -------------------------------------------------------------------------------------------

CREATE TABLE users (
    -- A player.
    id         TEXT    NOT NULL,
    username   TEXT    NOT NULL,
    public_key BLOB    NOT NULL, -- Raw bytes of the key that the player signs with.
    reputation REAL    NOT NULL DEFAULT 0.0,
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_username UNIQUE (username),
    CONSTRAINT ck_users_reputation CHECK (abs(reputation) <= 1e308)
) STRICT;

-- Players by reputation, best first.
CREATE INDEX idx_users_reputation ON users (reputation);

-- Newest players; pages of the list of users.
CREATE INDEX idx_users_created_at ON users (created_at);

CREATE TRIGGER update_users_updated_at
    AFTER UPDATE OF id, username, public_key, reputation, created_at
    ON users
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE users
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

-- games -------------------------------------------------------------------------------------------

CREATE TABLE games (
    -- A game of dice, from its opening to its end.
    id           TEXT    NOT NULL,
    state        TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    pot_size     INTEGER NOT NULL DEFAULT 0, -- Smallest unit of CRAP; mirrors the account of the pot.
    phase        TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    created_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    completed_at INTEGER, -- NULL while the game is active.
    winner_id    TEXT,

    CONSTRAINT pk_games PRIMARY KEY (id),
    CONSTRAINT fk_games_winner_id FOREIGN KEY (winner_id) REFERENCES users (id),
    CONSTRAINT ck_games_pot_size CHECK (pot_size >= 0)
) STRICT;

-- Games that a player won; the foreign key.
CREATE INDEX idx_games_winner_id ON games (winner_id);

-- Games in one state, in order of time.
CREATE INDEX idx_games_state_created_at ON games (state, created_at);

-- All games, in order of time.
CREATE INDEX idx_games_created_at ON games (created_at);

-- Active games, in order of time.
CREATE INDEX idx_games_active ON games (created_at) WHERE completed_at IS NULL;

-- bets --------------------------------------------------------------------------------------------

CREATE TABLE bets (
    -- A bet of one player in one game.
    id          BLOB    NOT NULL,
    game_id     TEXT    NOT NULL,
    player_id   TEXT    NOT NULL,
    bet_type    TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    amount      INTEGER NOT NULL, -- Smallest unit of CRAP.
    outcome     TEXT, -- NULL until the bet is settled; open vocabulary.
    created_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    resolved_at INTEGER, -- NULL until the bet is settled.

    CONSTRAINT pk_bets PRIMARY KEY (id),
    CONSTRAINT fk_bets_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT fk_bets_player_id FOREIGN KEY (player_id) REFERENCES users (id),
    CONSTRAINT ck_bets_amount CHECK (amount > 0)
) STRICT;

-- Bets of one game, in order of time; the foreign key.
CREATE INDEX idx_bets_game_id_created_at ON bets (game_id, created_at);

-- Bets of one player, in order of time; the foreign key.
CREATE INDEX idx_bets_player_id_created_at ON bets (player_id, created_at);

-- Bets of a span of time.
CREATE INDEX idx_bets_created_at ON bets (created_at);

-- transactions ------------------------------------------------------------------------------------

CREATE TABLE transactions (
    -- One line in the ledger of a player. Never changed: a reversal is a line of its own, and
    -- status is final when the line is written.
    id               INTEGER NOT NULL,
    user_id          TEXT    NOT NULL,
    transaction_type TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    amount           INTEGER NOT NULL, -- Smallest unit of CRAP; negative when it leaves the balance.
    balance_before   INTEGER NOT NULL, -- Available balance before this line, smallest unit of CRAP.
    balance_after    INTEGER NOT NULL, -- Available balance after this line, smallest unit of CRAP.
    status           TEXT    NOT NULL DEFAULT 'completed',
    reference_id     TEXT, -- What the line belongs to: a bet, a game, a request, the line it reverses.
    created_at       INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    metadata         TEXT,

    CONSTRAINT pk_transactions PRIMARY KEY (id),
    CONSTRAINT fk_transactions_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_transactions_id CHECK (id > 0),
    CONSTRAINT ck_transactions_balance_before CHECK (balance_before >= 0),
    CONSTRAINT ck_transactions_balance_after CHECK (balance_after >= 0),
    CONSTRAINT ck_transactions_status CHECK (status IN ('pending', 'completed', 'failed', 'cancelled')),
    CONSTRAINT ck_transactions_balance
        CHECK (balance_after - balance_before = CASE status WHEN 'completed' THEN amount ELSE 0 END),
    CONSTRAINT ck_transactions_metadata_json CHECK (metadata IS NULL OR json_valid(metadata))
) STRICT;

-- Lines of one player, in order of time; the foreign key.
CREATE INDEX idx_transactions_user_id_created_at ON transactions (user_id, created_at);

-- Lines of a span of time.
CREATE INDEX idx_transactions_created_at ON transactions (created_at);

-- Lines of one kind, in order of time.
CREATE INDEX idx_transactions_transaction_type_created_at ON transactions (transaction_type, created_at);

-- All lines of one bet, game or request.
CREATE INDEX idx_transactions_reference_id ON transactions (reference_id);

CREATE TRIGGER transactions_append_only_update
    BEFORE UPDATE ON transactions
BEGIN
    SELECT RAISE(ABORT, 'transactions is append-only: UPDATE is refused');
END;

CREATE TRIGGER transactions_append_only_delete
    BEFORE DELETE ON transactions
BEGIN
    SELECT RAISE(ABORT, 'transactions is append-only: DELETE is refused');
END;

-- REPLACE removes the old row without firing a delete trigger unless recursive_triggers is on, so
-- it is refused before the insert. (NEW.id is -1 as long as SQLite has not chosen one, hence the
-- CHECK that ids are positive.)
CREATE TRIGGER transactions_append_only_replace
    BEFORE INSERT ON transactions
    WHEN EXISTS (SELECT 1 FROM transactions WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'transactions is append-only: this id is taken');
END;

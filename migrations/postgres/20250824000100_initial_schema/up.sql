-- V1 initial_schema: players, games, bets and the money lines of players.

-- Times are TIMESTAMPTZ. Money is BIGINT, in the smallest unit of CRAP. Texts that are keys or
-- indexed collate as "C", so that order and pages are the same as on SQLite.
--
-- A foreign key without an action refuses to delete a parent in use: nothing that money hangs on
-- goes away with something else. It is NO ACTION and not RESTRICT, which SQLite reports as an
-- error of a trigger, so that nobody could tell it from the others.

-- functions ---------------------------------------------------------------------------------------

-- Fires only when the statement left updated_at as it was (the WHEN of each trigger), so that a
-- repository can write the time of its own clock.
CREATE FUNCTION update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END;
$$;

COMMENT ON FUNCTION update_updated_at_column() IS
    'Trigger function: sets updated_at to the time of the transaction.';

-- A guard for tables whose lines are never changed. The text is the same on SQLite.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END;
$$;

COMMENT ON FUNCTION refuse_change() IS
    'Trigger function: refuses UPDATE, DELETE and TRUNCATE on an append-only table.';

-- users -------------------------------------------------------------------------------------------

CREATE TABLE users (
    id         TEXT COLLATE "C" NOT NULL,
    username   TEXT COLLATE "C" NOT NULL,
    public_key BYTEA            NOT NULL,
    reputation DOUBLE PRECISION NOT NULL DEFAULT 0.0,
    created_at TIMESTAMPTZ      NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_username UNIQUE (username),
    CONSTRAINT ck_users_reputation CHECK (abs(reputation) <= double precision '1e308')
);

COMMENT ON TABLE users IS
    'A player.';
COMMENT ON COLUMN users.public_key IS
    'Raw bytes of the key that the player signs with.';
COMMENT ON COLUMN users.updated_at IS
    'Set by the writer; a trigger sets it when a statement left it unchanged.';

-- Players by reputation, best first.
CREATE INDEX idx_users_reputation ON users (reputation);

-- Newest players; pages of the list of users.
CREATE INDEX idx_users_created_at ON users (created_at);

CREATE TRIGGER update_users_updated_at
    BEFORE UPDATE OF id, username, public_key, reputation, created_at
    ON users FOR EACH ROW
    WHEN (NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at)
    EXECUTE FUNCTION update_updated_at_column();

-- games -------------------------------------------------------------------------------------------

CREATE TABLE games (
    id           TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL,
    pot_size     BIGINT           NOT NULL DEFAULT 0,
    phase        TEXT             NOT NULL,
    created_at   TIMESTAMPTZ      NOT NULL DEFAULT now(),
    completed_at TIMESTAMPTZ,
    winner_id    TEXT COLLATE "C",

    CONSTRAINT pk_games PRIMARY KEY (id),
    CONSTRAINT fk_games_winner_id FOREIGN KEY (winner_id) REFERENCES users (id),
    CONSTRAINT ck_games_pot_size CHECK (pot_size >= 0)
);

COMMENT ON TABLE games IS
    'A game of dice, from its opening to its end.';
COMMENT ON COLUMN games.state IS
    'Open vocabulary, checked by the program.';
COMMENT ON COLUMN games.pot_size IS
    'Smallest unit of CRAP; mirrors the account of the pot.';
COMMENT ON COLUMN games.phase IS
    'Open vocabulary, checked by the program.';
COMMENT ON COLUMN games.completed_at IS
    'NULL while the game is active.';

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
    id          BYTEA            NOT NULL,
    game_id     TEXT COLLATE "C" NOT NULL,
    player_id   TEXT COLLATE "C" NOT NULL,
    bet_type    TEXT             NOT NULL,
    amount      BIGINT           NOT NULL,
    outcome     TEXT,
    created_at  TIMESTAMPTZ      NOT NULL DEFAULT now(),
    resolved_at TIMESTAMPTZ,

    CONSTRAINT pk_bets PRIMARY KEY (id),
    CONSTRAINT fk_bets_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT fk_bets_player_id FOREIGN KEY (player_id) REFERENCES users (id),
    CONSTRAINT ck_bets_amount CHECK (amount > 0)
);

COMMENT ON TABLE bets IS
    'A bet of one player in one game.';
COMMENT ON COLUMN bets.bet_type IS
    'Open vocabulary, checked by the program.';
COMMENT ON COLUMN bets.amount IS
    'Smallest unit of CRAP.';
COMMENT ON COLUMN bets.outcome IS
    'NULL until the bet is settled; open vocabulary.';
COMMENT ON COLUMN bets.resolved_at IS
    'NULL until the bet is settled.';

-- Bets of one game, in order of time; the foreign key.
CREATE INDEX idx_bets_game_id_created_at ON bets (game_id, created_at);

-- Bets of one player, in order of time; the foreign key.
CREATE INDEX idx_bets_player_id_created_at ON bets (player_id, created_at);

-- Bets of a span of time.
CREATE INDEX idx_bets_created_at ON bets (created_at);

-- transactions ------------------------------------------------------------------------------------

CREATE TABLE transactions (
    id               BIGINT           NOT NULL GENERATED BY DEFAULT AS IDENTITY,
    user_id          TEXT COLLATE "C" NOT NULL,
    transaction_type TEXT COLLATE "C" NOT NULL,
    amount           BIGINT           NOT NULL,
    balance_before   BIGINT           NOT NULL,
    balance_after    BIGINT           NOT NULL,
    status           TEXT             NOT NULL DEFAULT 'completed',
    reference_id     TEXT COLLATE "C",
    created_at       TIMESTAMPTZ      NOT NULL DEFAULT now(),
    metadata         JSONB,

    CONSTRAINT pk_transactions PRIMARY KEY (id),
    CONSTRAINT fk_transactions_user_id FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_transactions_id CHECK (id > 0),
    CONSTRAINT ck_transactions_balance_before CHECK (balance_before >= 0),
    CONSTRAINT ck_transactions_balance_after CHECK (balance_after >= 0),
    CONSTRAINT ck_transactions_status CHECK (status IN ('pending', 'completed', 'failed', 'cancelled')),
    CONSTRAINT ck_transactions_balance
        CHECK (balance_after - balance_before = CASE status WHEN 'completed' THEN amount ELSE 0 END)
);

COMMENT ON TABLE transactions IS
    'One line in the ledger of a player. Never changed: a reversal is a line of its own, and status is final when the line is written.';
COMMENT ON COLUMN transactions.transaction_type IS
    'Open vocabulary, checked by the program.';
COMMENT ON COLUMN transactions.amount IS
    'Smallest unit of CRAP; negative when it leaves the balance.';
COMMENT ON COLUMN transactions.balance_before IS
    'Available balance before this line, smallest unit of CRAP.';
COMMENT ON COLUMN transactions.balance_after IS
    'Available balance after this line, smallest unit of CRAP.';
COMMENT ON COLUMN transactions.reference_id IS
    'What the line belongs to: a bet, a game, a request, the line it reverses.';

-- Lines of one player, in order of time; the foreign key.
CREATE INDEX idx_transactions_user_id_created_at ON transactions (user_id, created_at);

-- Lines of a span of time.
CREATE INDEX idx_transactions_created_at ON transactions (created_at);

-- Lines of one kind, in order of time.
CREATE INDEX idx_transactions_transaction_type_created_at ON transactions (transaction_type, created_at);

-- All lines of one bet, game or request.
CREATE INDEX idx_transactions_reference_id ON transactions (reference_id);

CREATE TRIGGER transactions_append_only_update
    BEFORE UPDATE ON transactions FOR EACH ROW
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_append_only_delete
    BEFORE DELETE ON transactions FOR EACH ROW
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER transactions_append_only_truncate
    BEFORE TRUNCATE ON transactions FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change();

-- V3 consensus_tracking: rounds of the byzantine consensus and the votes in them.

-- consensus_rounds --------------------------------------------------------------------------------

CREATE TABLE consensus_rounds (
    -- A round of consensus over one proposal.
    round_number  INTEGER NOT NULL, -- Given by the protocol, not by the database.
    game_id       TEXT,
    proposer_id   TEXT    NOT NULL,
    proposal_hash BLOB    NOT NULL,
    vote_count    INTEGER NOT NULL DEFAULT 0,
    finalized     INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    finalized_at  INTEGER, -- Set exactly when finalized is.

    CONSTRAINT pk_consensus_rounds PRIMARY KEY (round_number),
    CONSTRAINT fk_consensus_rounds_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT ck_consensus_rounds_round_number CHECK (round_number >= 0),
    CONSTRAINT ck_consensus_rounds_vote_count CHECK (vote_count >= 0),
    CONSTRAINT ck_consensus_rounds_finalized CHECK (finalized = (finalized_at IS NOT NULL)),
    CONSTRAINT ck_consensus_rounds_finalized_bool CHECK (finalized IN (0, 1))
) STRICT;

-- Rounds of one game, latest first; the foreign key.
CREATE INDEX idx_consensus_rounds_game_id_round_number ON consensus_rounds (game_id, round_number);

-- Rounds of a span of time.
CREATE INDEX idx_consensus_rounds_created_at ON consensus_rounds (created_at);

-- Rounds that are still open.
CREATE INDEX idx_consensus_rounds_open ON consensus_rounds (created_at) WHERE finalized_at IS NULL;

-- consensus_votes ---------------------------------------------------------------------------------

CREATE TABLE consensus_votes (
    -- The vote of one peer in one round.
    id           TEXT    NOT NULL,
    round_number INTEGER NOT NULL,
    voter_id     TEXT    NOT NULL,
    vote_hash    BLOB    NOT NULL,
    signature    BLOB    NOT NULL,
    created_at   INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_consensus_votes PRIMARY KEY (id),
    CONSTRAINT uq_consensus_votes_round_number_voter_id UNIQUE (round_number, voter_id),
    CONSTRAINT fk_consensus_votes_round_number FOREIGN KEY (round_number) REFERENCES consensus_rounds (round_number)
) STRICT;

-- Votes of one voter, in order of time. Those of one round are found by the unique key, which also
-- serves the foreign key.
CREATE INDEX idx_consensus_votes_voter_id_created_at ON consensus_votes (voter_id, created_at);

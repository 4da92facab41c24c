-- V3 consensus_tracking: rounds of the byzantine consensus and the votes in them.

-- consensus_rounds --------------------------------------------------------------------------------

CREATE TABLE consensus_rounds (
    round_number  BIGINT           NOT NULL,
    game_id       TEXT COLLATE "C",
    proposer_id   TEXT COLLATE "C" NOT NULL,
    proposal_hash BYTEA            NOT NULL,
    vote_count    BIGINT           NOT NULL DEFAULT 0,
    finalized     BOOLEAN          NOT NULL DEFAULT FALSE,
    created_at    TIMESTAMPTZ      NOT NULL DEFAULT now(),
    finalized_at  TIMESTAMPTZ,

    CONSTRAINT pk_consensus_rounds PRIMARY KEY (round_number),
    CONSTRAINT fk_consensus_rounds_game_id FOREIGN KEY (game_id) REFERENCES games (id),
    CONSTRAINT ck_consensus_rounds_round_number CHECK (round_number >= 0),
    CONSTRAINT ck_consensus_rounds_vote_count CHECK (vote_count >= 0),
    CONSTRAINT ck_consensus_rounds_finalized CHECK (finalized = (finalized_at IS NOT NULL))
);

COMMENT ON TABLE consensus_rounds IS
    'A round of consensus over one proposal.';
COMMENT ON COLUMN consensus_rounds.round_number IS
    'Given by the protocol, not by the database.';
COMMENT ON COLUMN consensus_rounds.finalized_at IS
    'Set exactly when finalized is.';

-- Rounds of one game, latest first; the foreign key.
CREATE INDEX idx_consensus_rounds_game_id_round_number ON consensus_rounds (game_id, round_number);

-- Rounds of a span of time.
CREATE INDEX idx_consensus_rounds_created_at ON consensus_rounds (created_at);

-- Rounds that are still open.
CREATE INDEX idx_consensus_rounds_open ON consensus_rounds (created_at) WHERE finalized_at IS NULL;

-- consensus_votes ---------------------------------------------------------------------------------

CREATE TABLE consensus_votes (
    id           TEXT COLLATE "C" NOT NULL,
    round_number BIGINT           NOT NULL,
    voter_id     TEXT COLLATE "C" NOT NULL,
    vote_hash    BYTEA            NOT NULL,
    signature    BYTEA            NOT NULL,
    created_at   TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_consensus_votes PRIMARY KEY (id),
    CONSTRAINT uq_consensus_votes_round_number_voter_id UNIQUE (round_number, voter_id),
    CONSTRAINT fk_consensus_votes_round_number FOREIGN KEY (round_number) REFERENCES consensus_rounds (round_number)
);

COMMENT ON TABLE consensus_votes IS
    'The vote of one peer in one round.';

-- Votes of one voter, in order of time. Those of one round are found by the unique key, which also
-- serves the foreign key.
CREATE INDEX idx_consensus_votes_voter_id_created_at ON consensus_votes (voter_id, created_at);

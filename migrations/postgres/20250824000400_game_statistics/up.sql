-- V4 game_statistics: what happened in each game and how each player fares.

-- game_statistics ---------------------------------------------------------------------------------

CREATE TABLE game_statistics (
    game_id       TEXT COLLATE "C" NOT NULL,
    player_count  BIGINT           NOT NULL DEFAULT 0,
    bet_count     BIGINT           NOT NULL DEFAULT 0,
    total_wagered BIGINT           NOT NULL DEFAULT 0,
    total_won     BIGINT           NOT NULL DEFAULT 0,
    biggest_win   BIGINT           NOT NULL DEFAULT 0,
    created_at    TIMESTAMPTZ      NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_game_statistics PRIMARY KEY (game_id),
    CONSTRAINT fk_game_statistics_game_id FOREIGN KEY (game_id) REFERENCES games (id) ON DELETE CASCADE,
    CONSTRAINT ck_game_statistics_player_count CHECK (player_count >= 0),
    CONSTRAINT ck_game_statistics_bet_count CHECK (bet_count >= 0),
    CONSTRAINT ck_game_statistics_total_wagered CHECK (total_wagered >= 0),
    CONSTRAINT ck_game_statistics_total_won CHECK (total_won >= 0),
    CONSTRAINT ck_game_statistics_biggest_win CHECK (biggest_win >= 0)
);

COMMENT ON TABLE game_statistics IS
    'Analytics of one game.';
COMMENT ON COLUMN game_statistics.total_wagered IS
    'Smallest unit of CRAP.';
COMMENT ON COLUMN game_statistics.total_won IS
    'Paid out to players, smallest unit of CRAP.';
COMMENT ON COLUMN game_statistics.biggest_win IS
    'Largest single payout, smallest unit of CRAP.';
COMMENT ON COLUMN game_statistics.updated_at IS
    'Set by the writer; a trigger sets it when a statement left it unchanged.';

-- Games with the highest turnover.
CREATE INDEX idx_game_statistics_total_wagered ON game_statistics (total_wagered);

CREATE TRIGGER update_game_statistics_updated_at
    BEFORE UPDATE OF game_id, player_count, bet_count, total_wagered, total_won, biggest_win, created_at
    ON game_statistics FOR EACH ROW
    WHEN (NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at)
    EXECUTE FUNCTION update_updated_at_column();

-- player_statistics -------------------------------------------------------------------------------

CREATE TABLE player_statistics (
    player_id              TEXT COLLATE "C" NOT NULL,
    games_played           BIGINT           NOT NULL DEFAULT 0,
    games_won              BIGINT           NOT NULL DEFAULT 0,
    bet_count              BIGINT           NOT NULL DEFAULT 0,
    bets_won               BIGINT           NOT NULL DEFAULT 0,
    total_wagered          BIGINT           NOT NULL DEFAULT 0,
    total_won              BIGINT           NOT NULL DEFAULT 0,
    biggest_win            BIGINT           NOT NULL DEFAULT 0,
    current_streak         BIGINT           NOT NULL DEFAULT 0,
    longest_winning_streak BIGINT           NOT NULL DEFAULT 0,
    longest_losing_streak  BIGINT           NOT NULL DEFAULT 0,
    last_played_at         TIMESTAMPTZ,
    created_at             TIMESTAMPTZ      NOT NULL DEFAULT now(),
    updated_at             TIMESTAMPTZ      NOT NULL DEFAULT now(),

    CONSTRAINT pk_player_statistics PRIMARY KEY (player_id),
    CONSTRAINT fk_player_statistics_player_id FOREIGN KEY (player_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT ck_player_statistics_games_played CHECK (games_played >= 0),
    CONSTRAINT ck_player_statistics_games_won CHECK (games_won >= 0),
    CONSTRAINT ck_player_statistics_bet_count CHECK (bet_count >= 0),
    CONSTRAINT ck_player_statistics_bets_won CHECK (bets_won >= 0),
    CONSTRAINT ck_player_statistics_total_wagered CHECK (total_wagered >= 0),
    CONSTRAINT ck_player_statistics_total_won CHECK (total_won >= 0),
    CONSTRAINT ck_player_statistics_biggest_win CHECK (biggest_win >= 0),
    CONSTRAINT ck_player_statistics_longest_winning_streak CHECK (longest_winning_streak >= 0),
    CONSTRAINT ck_player_statistics_longest_losing_streak CHECK (longest_losing_streak >= 0)
);

COMMENT ON TABLE player_statistics IS
    'Totals of one player over all games.';
COMMENT ON COLUMN player_statistics.total_wagered IS
    'Smallest unit of CRAP.';
COMMENT ON COLUMN player_statistics.total_won IS
    'Smallest unit of CRAP.';
COMMENT ON COLUMN player_statistics.biggest_win IS
    'Largest single payout, smallest unit of CRAP.';
COMMENT ON COLUMN player_statistics.current_streak IS
    'Settled bets won in a row; negative: lost in a row.';
COMMENT ON COLUMN player_statistics.updated_at IS
    'Set by the writer; a trigger sets it when a statement left it unchanged.';

-- Leaderboard by winnings.
CREATE INDEX idx_player_statistics_total_won ON player_statistics (total_won);

-- Leaderboard by turnover.
CREATE INDEX idx_player_statistics_total_wagered ON player_statistics (total_wagered);

-- Leaderboard by the largest single win.
CREATE INDEX idx_player_statistics_biggest_win ON player_statistics (biggest_win);

-- Leaderboard by games won.
CREATE INDEX idx_player_statistics_games_won ON player_statistics (games_won);

-- Players who played of late.
CREATE INDEX idx_player_statistics_last_played_at ON player_statistics (last_played_at);

CREATE TRIGGER update_player_statistics_updated_at
    BEFORE UPDATE OF player_id, games_played, games_won, bet_count, bets_won, total_wagered, total_won,
    biggest_win, current_streak, longest_winning_streak, longest_losing_streak,
    last_played_at, created_at
    ON player_statistics FOR EACH ROW
    WHEN (NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at)
    EXECUTE FUNCTION update_updated_at_column();

-- V4 game_statistics: what happened in each game and how each player fares.

-- game_statistics ---------------------------------------------------------------------------------

CREATE TABLE game_statistics (
    -- Analytics of one game.
    game_id       TEXT    NOT NULL,
    player_count  INTEGER NOT NULL DEFAULT 0,
    bet_count     INTEGER NOT NULL DEFAULT 0,
    total_wagered INTEGER NOT NULL DEFAULT 0, -- Smallest unit of CRAP.
    total_won     INTEGER NOT NULL DEFAULT 0, -- Paid out to players, smallest unit of CRAP.
    biggest_win   INTEGER NOT NULL DEFAULT 0, -- Largest single payout, smallest unit of CRAP.
    created_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at    INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_game_statistics PRIMARY KEY (game_id),
    CONSTRAINT fk_game_statistics_game_id FOREIGN KEY (game_id) REFERENCES games (id) ON DELETE CASCADE,
    CONSTRAINT ck_game_statistics_player_count CHECK (player_count >= 0),
    CONSTRAINT ck_game_statistics_bet_count CHECK (bet_count >= 0),
    CONSTRAINT ck_game_statistics_total_wagered CHECK (total_wagered >= 0),
    CONSTRAINT ck_game_statistics_total_won CHECK (total_won >= 0),
    CONSTRAINT ck_game_statistics_biggest_win CHECK (biggest_win >= 0)
) STRICT;

-- Games with the highest turnover.
CREATE INDEX idx_game_statistics_total_wagered ON game_statistics (total_wagered);

CREATE TRIGGER update_game_statistics_updated_at
    AFTER UPDATE OF game_id, player_count, bet_count, total_wagered, total_won, biggest_win, created_at
    ON game_statistics
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE game_statistics
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE game_id = NEW.game_id;
END;

-- player_statistics -------------------------------------------------------------------------------

CREATE TABLE player_statistics (
    -- Totals of one player over all games.
    player_id              TEXT    NOT NULL,
    games_played           INTEGER NOT NULL DEFAULT 0,
    games_won              INTEGER NOT NULL DEFAULT 0,
    bet_count              INTEGER NOT NULL DEFAULT 0,
    bets_won               INTEGER NOT NULL DEFAULT 0,
    total_wagered          INTEGER NOT NULL DEFAULT 0, -- Smallest unit of CRAP.
    total_won              INTEGER NOT NULL DEFAULT 0, -- Smallest unit of CRAP.
    biggest_win            INTEGER NOT NULL DEFAULT 0, -- Largest single payout, smallest unit of CRAP.
    current_streak         INTEGER NOT NULL DEFAULT 0, -- Settled bets won in a row; negative: lost in a row.
    longest_winning_streak INTEGER NOT NULL DEFAULT 0,
    longest_losing_streak  INTEGER NOT NULL DEFAULT 0,
    last_played_at         INTEGER,
    created_at             INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at             INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

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
) STRICT;

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
    AFTER UPDATE OF player_id, games_played, games_won, bet_count, bets_won, total_wagered, total_won,
    biggest_win, current_streak, longest_winning_streak, longest_losing_streak,
    last_played_at, created_at
    ON player_statistics
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE player_statistics
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE player_id = NEW.player_id;
END;

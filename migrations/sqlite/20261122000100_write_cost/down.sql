-- Undoes V14 write_cost.

-- Players who played of late.
CREATE INDEX idx_player_statistics_last_played_at ON player_statistics (last_played_at);

-- Games with the highest turnover.
CREATE INDEX idx_game_statistics_total_wagered ON game_statistics (total_wagered);

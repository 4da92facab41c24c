-- V14 write_cost: two indexes that no query goes along, and that every bet had to change.

-- game_statistics ---------------------------------------------------------------------------------

DROP INDEX idx_game_statistics_total_wagered;

-- player_statistics -------------------------------------------------------------------------------

DROP INDEX idx_player_statistics_last_played_at;

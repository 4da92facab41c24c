-- Undoes V4 game_statistics.

DROP TABLE player_statistics;
DROP TABLE game_statistics;

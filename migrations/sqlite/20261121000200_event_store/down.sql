-- Undoes V12 event_store.

DROP TABLE game_snapshots;
DROP TABLE game_events;

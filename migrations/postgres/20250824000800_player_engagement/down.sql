-- Undoes V8 player_engagement.

DROP TABLE settings;
DROP TABLE outbox;
DROP TABLE notifications;
DROP TABLE house_games;
DROP TABLE telegram_profiles;

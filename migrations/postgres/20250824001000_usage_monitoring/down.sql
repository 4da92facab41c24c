-- Undoes V10 usage_monitoring.

DROP TABLE usage_config;
DROP TABLE usage_snapshots;
DROP TABLE events;
DROP TABLE sessions;

-- Undoes V9 world_engine.

DROP TABLE assets;
DROP TABLE world_objects;
DROP TABLE worlds;

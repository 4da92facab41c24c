-- V9 world_engine: worlds, the objects in them, and what is known of assets.

-- worlds ------------------------------------------------------------------------------------------

CREATE TABLE worlds (
    -- A world that objects stand in.
    id          INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT,
    created_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_worlds PRIMARY KEY (id),
    CONSTRAINT uq_worlds_name UNIQUE (name),
    CONSTRAINT ck_worlds_name_length CHECK (length(name) <= 255)
) STRICT;

CREATE TRIGGER update_worlds_updated_at
    AFTER UPDATE OF id, name, description, created_at
    ON worlds
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE worlds
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

CREATE TRIGGER audit_worlds_insert
    AFTER INSERT ON worlds
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'worlds', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'name', NEW.name,
            'description', NEW.description,
            'created_at', NEW.created_at,
            'updated_at', NEW.updated_at
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_worlds_update
    AFTER UPDATE OF id, name, description, created_at
    ON worlds
    WHEN OLD.id IS NOT NEW.id
        OR OLD.name IS NOT NEW.name
        OR OLD.description IS NOT NEW.description
        OR OLD.created_at IS NOT NEW.created_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'worlds', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'name', OLD.name,
            'description', OLD.description,
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        json_object(
            'id', NEW.id,
            'name', NEW.name,
            'description', NEW.description,
            'created_at', NEW.created_at,
            'updated_at', iif(
                NEW.updated_at IS OLD.updated_at,
                CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
                NEW.updated_at
            )
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_worlds_delete
    AFTER DELETE ON worlds
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'worlds', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'name', OLD.name,
            'description', OLD.description,
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

-- world_objects -----------------------------------------------------------------------------------

CREATE TABLE world_objects (
    -- An object in a world.
    id          INTEGER NOT NULL,
    world_id    INTEGER NOT NULL,
    object_type TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    name        TEXT    NOT NULL,
    position    TEXT    NOT NULL, -- Object with the numbers x, y and z.
    properties  TEXT    NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at  INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_world_objects PRIMARY KEY (id),
    CONSTRAINT fk_world_objects_world_id FOREIGN KEY (world_id) REFERENCES worlds (id) ON DELETE CASCADE,
    CONSTRAINT ck_world_objects_object_type_length CHECK (length(object_type) <= 50),
    CONSTRAINT ck_world_objects_name_length CHECK (length(name) <= 255),
    CONSTRAINT ck_world_objects_position_x
        CHECK (CASE WHEN json_valid(position)
            THEN coalesce(json_type(position, '$.x'), '') IN ('integer', 'real')
                AND json_extract(position, '$.x') BETWEEN -1e308 AND 1e308
            ELSE 0 END),
    CONSTRAINT ck_world_objects_position_y
        CHECK (CASE WHEN json_valid(position)
            THEN coalesce(json_type(position, '$.y'), '') IN ('integer', 'real')
                AND json_extract(position, '$.y') BETWEEN -1e308 AND 1e308
            ELSE 0 END),
    CONSTRAINT ck_world_objects_position_z
        CHECK (CASE WHEN json_valid(position)
            THEN coalesce(json_type(position, '$.z'), '') IN ('integer', 'real')
                AND json_extract(position, '$.z') BETWEEN -1e308 AND 1e308
            ELSE 0 END),
    CONSTRAINT ck_world_objects_position_json CHECK (json_valid(position)),
    CONSTRAINT ck_world_objects_properties_json CHECK (json_valid(properties))
) STRICT;

-- Objects of one world; the foreign key.
CREATE INDEX idx_world_objects_world_id ON world_objects (world_id);

-- Objects of one type in a world.
CREATE INDEX idx_world_objects_world_id_object_type ON world_objects (world_id, object_type);

-- Objects within a range of x, or a box, in a world.
CREATE INDEX idx_world_objects_world_id_x_y_z ON world_objects (
    world_id,
    json_extract(position, '$.x'),
    json_extract(position, '$.y'),
    json_extract(position, '$.z')
);

-- Objects within a range of y in a world.
CREATE INDEX idx_world_objects_world_id_y ON world_objects (world_id, json_extract(position, '$.y'));

-- Objects within a range of z in a world.
CREATE INDEX idx_world_objects_world_id_z ON world_objects (world_id, json_extract(position, '$.z'));

CREATE TRIGGER update_world_objects_updated_at
    AFTER UPDATE OF id, world_id, object_type, name, position, properties, created_at
    ON world_objects
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE world_objects
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

CREATE TRIGGER audit_world_objects_insert
    AFTER INSERT ON world_objects
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'world_objects', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'world_id', NEW.world_id,
            'object_type', NEW.object_type,
            'name', NEW.name,
            'position', json(NEW.position),
            'properties', json(NEW.properties),
            'created_at', NEW.created_at,
            'updated_at', NEW.updated_at
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_world_objects_update
    AFTER UPDATE OF id, world_id, object_type, name, position, properties, created_at
    ON world_objects
    WHEN OLD.id IS NOT NEW.id
        OR OLD.world_id IS NOT NEW.world_id
        OR OLD.object_type IS NOT NEW.object_type
        OR OLD.name IS NOT NEW.name
        OR json(OLD.position) IS NOT json(NEW.position)
        OR json(OLD.properties) IS NOT json(NEW.properties)
        OR OLD.created_at IS NOT NEW.created_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'world_objects', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'world_id', OLD.world_id,
            'object_type', OLD.object_type,
            'name', OLD.name,
            'position', json(OLD.position),
            'properties', json(OLD.properties),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        json_object(
            'id', NEW.id,
            'world_id', NEW.world_id,
            'object_type', NEW.object_type,
            'name', NEW.name,
            'position', json(NEW.position),
            'properties', json(NEW.properties),
            'created_at', NEW.created_at,
            'updated_at', iif(
                NEW.updated_at IS OLD.updated_at,
                CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
                NEW.updated_at
            )
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_world_objects_delete
    AFTER DELETE ON world_objects
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'world_objects', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'world_id', OLD.world_id,
            'object_type', OLD.object_type,
            'name', OLD.name,
            'position', json(OLD.position),
            'properties', json(OLD.properties),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

-- assets ------------------------------------------------------------------------------------------

CREATE TABLE assets (
    -- What is known of a file that lies in an object store: the bytes themselves are not here.
    id         INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    kind       TEXT    NOT NULL, -- Open vocabulary, checked by the program.
    location   TEXT    NOT NULL, -- URL or path in the object store.
    size_bytes INTEGER NOT NULL,
    hash       BLOB    NOT NULL, -- SHA-256 of the content.
    metadata   TEXT    NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),
    -- Set by the writer; a trigger sets it when a statement left it unchanged.
    updated_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_assets PRIMARY KEY (id),
    CONSTRAINT uq_assets_location UNIQUE (location),
    CONSTRAINT ck_assets_name_length CHECK (length(name) <= 255),
    CONSTRAINT ck_assets_kind_length CHECK (length(kind) <= 50),
    CONSTRAINT ck_assets_size_bytes CHECK (size_bytes >= 0),
    CONSTRAINT ck_assets_metadata_json CHECK (json_valid(metadata))
) STRICT;

-- Assets of one kind, by name.
CREATE INDEX idx_assets_kind_name ON assets (kind, name);

-- Assets of the same content.
CREATE INDEX idx_assets_hash ON assets (hash);

CREATE TRIGGER update_assets_updated_at
    AFTER UPDATE OF id, name, kind, location, size_bytes, hash, metadata, created_at
    ON assets
    WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE assets
    SET updated_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
    WHERE id = NEW.id;
END;

CREATE TRIGGER audit_assets_insert
    AFTER INSERT ON assets
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'insert', 'assets', CAST(NEW.id AS TEXT),
        NULL,
        json_object(
            'id', NEW.id,
            'name', NEW.name,
            'kind', NEW.kind,
            'location', NEW.location,
            'size_bytes', NEW.size_bytes,
            'hash', lower(hex(NEW.hash)),
            'metadata', json(NEW.metadata),
            'created_at', NEW.created_at,
            'updated_at', NEW.updated_at
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_assets_update
    AFTER UPDATE OF id, name, kind, location, size_bytes, hash, metadata, created_at
    ON assets
    WHEN OLD.id IS NOT NEW.id
        OR OLD.name IS NOT NEW.name
        OR OLD.kind IS NOT NEW.kind
        OR OLD.location IS NOT NEW.location
        OR OLD.size_bytes IS NOT NEW.size_bytes
        OR OLD.hash IS NOT NEW.hash
        OR json(OLD.metadata) IS NOT json(NEW.metadata)
        OR OLD.created_at IS NOT NEW.created_at
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'update', 'assets', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'name', OLD.name,
            'kind', OLD.kind,
            'location', OLD.location,
            'size_bytes', OLD.size_bytes,
            'hash', lower(hex(OLD.hash)),
            'metadata', json(OLD.metadata),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        json_object(
            'id', NEW.id,
            'name', NEW.name,
            'kind', NEW.kind,
            'location', NEW.location,
            'size_bytes', NEW.size_bytes,
            'hash', lower(hex(NEW.hash)),
            'metadata', json(NEW.metadata),
            'created_at', NEW.created_at,
            'updated_at', iif(
                NEW.updated_at IS OLD.updated_at,
                CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER),
                NEW.updated_at
            )
        ),
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

CREATE TRIGGER audit_assets_delete
    AFTER DELETE ON assets
BEGIN
    INSERT INTO audit_logs (
        user_id, action, entity_type, entity_id, before_state, after_state,
        ip_address, user_agent, created_at
    ) VALUES (
        (SELECT user_id FROM audit_context WHERE id = 1),
        'delete', 'assets', CAST(OLD.id AS TEXT),
        json_object(
            'id', OLD.id,
            'name', OLD.name,
            'kind', OLD.kind,
            'location', OLD.location,
            'size_bytes', OLD.size_bytes,
            'hash', lower(hex(OLD.hash)),
            'metadata', json(OLD.metadata),
            'created_at', OLD.created_at,
            'updated_at', OLD.updated_at
        ),
        NULL,
        (SELECT ip_address FROM audit_context WHERE id = 1),
        (SELECT user_agent FROM audit_context WHERE id = 1),
        coalesce(
            (SELECT at FROM audit_context WHERE id = 1),
            CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)
        )
    );
END;

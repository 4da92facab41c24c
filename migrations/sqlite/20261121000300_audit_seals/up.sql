-- V13 audit_seals: the chain of hashes over the audit trail.

-- audit_seals -------------------------------------------------------------------------------------

CREATE TABLE audit_seals (
    -- A run of lines of audit_logs under one hash, which holds that of the seal before. Never changed.
    id            INTEGER NOT NULL, -- Given by the program: 1, 2, 3 and so on.
    first_id      INTEGER NOT NULL, -- First line of audit_logs in it.
    last_id       INTEGER NOT NULL, -- Last line of audit_logs in it.
    row_count     INTEGER NOT NULL,
    -- The hash of all its lines, then id and short hash of each in order, to name the first bad one.
    marks         BLOB    NOT NULL,
    previous_hash BLOB    NOT NULL, -- The hash of the seal before; zeros in the first.
    hash          BLOB    NOT NULL, -- SHA-256.
    sealed_at     INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_audit_seals PRIMARY KEY (id),
    CONSTRAINT uq_audit_seals_last_id UNIQUE (last_id),
    CONSTRAINT ck_audit_seals_id CHECK (id > 0),
    CONSTRAINT ck_audit_seals_first_id CHECK (first_id <= last_id),
    CONSTRAINT ck_audit_seals_row_count CHECK (row_count > 0),
    CONSTRAINT ck_audit_seals_previous_hash CHECK (length(previous_hash) = 32),
    CONSTRAINT ck_audit_seals_hash CHECK (length(hash) = 32)
) STRICT;

CREATE TRIGGER audit_seals_append_only_update
    BEFORE UPDATE ON audit_seals
BEGIN
    SELECT RAISE(ABORT, 'audit_seals is append-only: UPDATE is refused');
END;

CREATE TRIGGER audit_seals_append_only_delete
    BEFORE DELETE ON audit_seals
BEGIN
    SELECT RAISE(ABORT, 'audit_seals is append-only: DELETE is refused');
END;

-- As on transactions: REPLACE would remove the old row without firing a delete trigger, and here it
-- would do so for either key.
CREATE TRIGGER audit_seals_append_only_replace
    BEFORE INSERT ON audit_seals
    WHEN EXISTS (SELECT 1 FROM audit_seals WHERE id = NEW.id OR last_id = NEW.last_id)
BEGIN
    SELECT RAISE(ABORT, 'audit_seals is append-only: this id or last_id is taken');
END;

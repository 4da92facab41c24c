-- V13 audit_seals: the chain of hashes over the audit trail.

-- audit_seals -------------------------------------------------------------------------------------

CREATE TABLE audit_seals (
    id            BIGINT      NOT NULL,
    first_id      BIGINT      NOT NULL,
    last_id       BIGINT      NOT NULL,
    row_count     BIGINT      NOT NULL,
    marks         BYTEA       NOT NULL,
    previous_hash BYTEA       NOT NULL,
    hash          BYTEA       NOT NULL,
    sealed_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT pk_audit_seals PRIMARY KEY (id),
    CONSTRAINT uq_audit_seals_last_id UNIQUE (last_id),
    CONSTRAINT ck_audit_seals_id CHECK (id > 0),
    CONSTRAINT ck_audit_seals_first_id CHECK (first_id <= last_id),
    CONSTRAINT ck_audit_seals_row_count CHECK (row_count > 0),
    CONSTRAINT ck_audit_seals_previous_hash CHECK (length(previous_hash) = 32),
    CONSTRAINT ck_audit_seals_hash CHECK (length(hash) = 32)
);

COMMENT ON TABLE audit_seals IS
    'A run of lines of audit_logs under one hash, which holds that of the seal before. Never changed.';
COMMENT ON COLUMN audit_seals.id IS
    'Given by the program: 1, 2, 3 and so on.';
COMMENT ON COLUMN audit_seals.first_id IS
    'First line of audit_logs in it.';
COMMENT ON COLUMN audit_seals.last_id IS
    'Last line of audit_logs in it.';
COMMENT ON COLUMN audit_seals.marks IS
    'The hash of all its lines, then id and short hash of each in order, to name the first bad one.';
COMMENT ON COLUMN audit_seals.previous_hash IS
    'The hash of the seal before; zeros in the first.';
COMMENT ON COLUMN audit_seals.hash IS
    'SHA-256.';

CREATE TRIGGER audit_seals_append_only_update
    BEFORE UPDATE ON audit_seals FOR EACH ROW
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_seals_append_only_delete
    BEFORE DELETE ON audit_seals FOR EACH ROW
    EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_seals_append_only_truncate
    BEFORE TRUNCATE ON audit_seals FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change();

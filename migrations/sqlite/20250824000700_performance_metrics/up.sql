-- V7 performance_metrics: samples of the health of the system.

-- performance_metrics -----------------------------------------------------------------------------

CREATE TABLE performance_metrics (
    -- One sample of one measured value.
    id          INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    value       REAL    NOT NULL,
    unit        TEXT, -- Of value, for instance ms, bytes or 1.
    labels      TEXT    NOT NULL DEFAULT '{}', -- What tells samples of one name apart.
    recorded_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)),

    CONSTRAINT pk_performance_metrics PRIMARY KEY (id),
    CONSTRAINT ck_performance_metrics_value CHECK (abs(value) <= 1e308),
    CONSTRAINT ck_performance_metrics_labels_json CHECK (json_valid(labels))
) STRICT;

-- Samples of one name over a span of time.
CREATE INDEX idx_performance_metrics_name_recorded_at ON performance_metrics (name, recorded_at);

-- Samples past their keeping time.
CREATE INDEX idx_performance_metrics_recorded_at ON performance_metrics (recorded_at);

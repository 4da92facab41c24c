-- Undoes V7 performance_metrics.

DROP TABLE performance_metrics;

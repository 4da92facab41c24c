-- Undoes V13 audit_seals.

DROP TABLE audit_seals;

-- Undoes V3 consensus_tracking.

DROP TABLE consensus_votes;
DROP TABLE consensus_rounds;

-- Calls that touched the chain of evidence and have been told: 16 bytes of the SHA-256 of the event's id.
CREATE TABLE changes (event BLOB PRIMARY KEY, at INTEGER NOT NULL) WITHOUT ROWID;

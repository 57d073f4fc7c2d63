-- For each table the number of its rows and the sum, modulo 2^256, of a hash of each: kept by triggers of the warden's own
-- connections, so that whoever writes by another way is noticed. Not for counters, which are held against what they count.
CREATE TABLE seals (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, sum BLOB NOT NULL) WITHOUT ROWID;

-- What the warden said, in order. Each hash covers the entry and the hash before it.
CREATE TABLE journal (
  seq     INTEGER PRIMARY KEY,
  at      INTEGER NOT NULL,
  what    TEXT    NOT NULL,              -- raised, reopened, resolved, acknowledged, digest, quarantine, snapshot…
  subject TEXT    NOT NULL,
  detail  TEXT    NOT NULL,
  hash    BLOB    NOT NULL
);

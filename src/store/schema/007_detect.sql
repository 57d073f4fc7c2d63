-- What a rule saw, as JSON, for findings that a rule raised.
ALTER TABLE findings ADD COLUMN detection TEXT;

-- What rules remember of each of their groups: windows that are not full yet, or were a while ago.
CREATE TABLE watches (
  id    BLOB PRIMARY KEY,                -- 16 bytes of the SHA-256 of rule and group
  rule  TEXT    NOT NULL,
  grp   TEXT    NOT NULL,                -- values of the group's fields: a JSON array
  alarm INTEGER NOT NULL,                -- 1 while a finding is open for it
  due   INTEGER NOT NULL,                -- when it is to be looked at again
  state TEXT    NOT NULL                 -- JSON
) WITHOUT ROWID;
CREATE INDEX watches_due ON watches (due);
CREATE INDEX watches_alarm ON watches (rule) WHERE alarm = 1;

-- Events that rules have counted: 16 bytes of the SHA-256 of rule, step, event id and account.
CREATE TABLE counted (event BLOB PRIMARY KEY, seen INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX counted_seen ON counted (seen);

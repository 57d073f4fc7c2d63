-- What nobody wants to be told of for a while, and what a far side calls the first alert of a finding.

CREATE TABLE silences (
  id      INTEGER PRIMARY KEY,
  finding TEXT,                          -- null: any; all that is given must hold
  kind    TEXT,
  account TEXT,
  author  TEXT    NOT NULL,
  note    TEXT    NOT NULL,
  created INTEGER NOT NULL,
  until   INTEGER NOT NULL,
  over    INTEGER                        -- when what it held back was released; null: in force
);
CREATE INDEX silences_in_force ON silences (until) WHERE over IS NULL;

ALTER TABLE outbox ADD COLUMN thread TEXT;

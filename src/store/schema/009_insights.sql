-- What is unusual without a rule that says so.

-- What a log came to, until it is folded into what is known of its account.
CREATE TABLE tallies (
  id      INTEGER PRIMARY KEY,
  source  INTEGER NOT NULL REFERENCES sources (id),
  account TEXT    NOT NULL,
  arrived INTEGER NOT NULL,              -- when it was delivered
  tally   TEXT    NOT NULL               -- JSON
);
CREATE INDEX tallies_account ON tallies (account);

-- Since when calls of an account are counted, and which trail tells of which region: a JSON object.
CREATE TABLE baselines (account TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;

-- How often one thing happens.
CREATE TABLE rates (
  account TEXT    NOT NULL,
  region  TEXT    NOT NULL,
  source  TEXT    NOT NULL,              -- eventSource
  name    TEXT    NOT NULL,              -- eventName
  error   TEXT    NOT NULL,              -- errorCode; empty: writing calls
  due     INTEGER NOT NULL,              -- when it is to be looked at again
  state   TEXT    NOT NULL,              -- JSON
  PRIMARY KEY (account, region, source, name, error)
) WITHOUT ROWID;
CREATE INDEX rates_due ON rates (due);

-- What an account has done before: a JSON object.
CREATE TABLE acquaintances (account TEXT PRIMARY KEY, seen TEXT NOT NULL) WITHOUT ROWID;

-- Insights records, CloudTrail's and ours.
CREATE TABLE insights (
  id      TEXT PRIMARY KEY,              -- eventID
  shared  TEXT    NOT NULL,              -- sharedEventID
  account TEXT    NOT NULL,
  at      INTEGER NOT NULL,              -- eventTime
  ended   INTEGER NOT NULL,              -- 1: an incident ended, 0: it began
  record  TEXT    NOT NULL               -- JSON
) WITHOUT ROWID;
CREATE INDEX insights_at ON insights (at);
CREATE INDEX insights_shared ON insights (shared);

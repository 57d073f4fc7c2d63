-- The records of the logs, in files of columns.

-- Logs whose records are not in the archive yet, in the order in which they came.
CREATE TABLE unarchived (
  id      INTEGER PRIMARY KEY,
  place   INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  version TEXT    NOT NULL,
  UNIQUE (place, name, version)
);

-- The files that make up the archive, and those that others have replaced and that are removed a while later.
CREATE TABLE files (
  id       INTEGER PRIMARY KEY,
  name     TEXT    NOT NULL UNIQUE,      -- under the archive's location: date=yyyy-mm-dd/NAME.parquet
  date     TEXT    NOT NULL,             -- of its records: yyyy-mm-dd
  rows     INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  oldest   INTEGER NOT NULL,             -- eventTime, where it is a time
  newest   INTEGER NOT NULL,
  level    INTEGER NOT NULL,             -- 0 as it was gathered, 1 and 2 compacted once and twice
  made     INTEGER NOT NULL,
  replaced INTEGER                       -- null: part of the archive
);
CREATE INDEX files_live ON files (date, newest) WHERE replaced IS NULL;
CREATE INDEX files_replaced ON files (replaced) WHERE replaced IS NOT NULL;

-- Files that are about to be put in their place and are no part of the archive yet: what a crash leaves of them is removed.
CREATE TABLE unfinished (name TEXT PRIMARY KEY) WITHOUT ROWID;

-- Dates whose list of files, for readers without the ledger, is to be written anew.
CREATE TABLE relist (date TEXT PRIMARY KEY) WITHOUT ROWID;

-- `archived` of an object is how many rows the archive has of it: the others of its records were there already. Null: not done.
ALTER TABLE days ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;

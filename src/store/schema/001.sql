-- Times are whole seconds since the Unix epoch, UTC. Hashes and signatures are bytes.

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

-- A source is one [[trail]] of the configuration.
CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- What is known of each object. A repeat of (source, key, version) changes nothing.
CREATE TABLE objects (
  source    INTEGER NOT NULL,
  key       TEXT    NOT NULL,
  version   TEXT    NOT NULL,            -- '' in an unversioned bucket
  kind      INTEGER NOT NULL,            -- 0 events, 1 insight, 2 network activity, 3 aggregated, 9 digest
  account   TEXT,
  region    TEXT,
  delivered INTEGER NOT NULL,            -- from the key
  state     INTEGER NOT NULL,            -- 0 admitted, 1 refused, 2 absent, 3 unusable
  listed    INTEGER NOT NULL DEFAULT 0,  -- 0 by no digest yet, 1 hash fits, 2 hash differs, 3 told as unlisted, 4 not expected
  sha       BLOB,                        -- of the inflated first member
  size      INTEGER NOT NULL,
  etag      TEXT,
  records   INTEGER NOT NULL DEFAULT 0,
  rejects   INTEGER NOT NULL DEFAULT 0,
  seen      INTEGER NOT NULL,
  removed   INTEGER,
  archived  INTEGER,
  PRIMARY KEY (source, key, version)
) WITHOUT ROWID;
CREATE INDEX objects_unlisted ON objects (source, account, region, delivered) WHERE listed = 0 AND kind = 0 AND state = 0;

CREATE TABLE chains (
  id       INTEGER PRIMARY KEY,
  source   INTEGER NOT NULL,
  root     TEXT    NOT NULL,
  account  TEXT    NOT NULL,
  region   TEXT    NOT NULL,
  trail    TEXT    NOT NULL,
  home     TEXT    NOT NULL,
  backfill INTEGER NOT NULL,
  first    INTEGER,                      -- start of the first good digest
  head     INTEGER,                      -- end of the last good digest
  UNIQUE (source, root, region, trail, home, backfill)
);
CREATE INDEX chains_place ON chains (source, account, region);

CREATE TABLE digests (
  source    INTEGER NOT NULL,
  key       TEXT    NOT NULL,
  chain     INTEGER NOT NULL REFERENCES chains (id),
  start     INTEGER NOT NULL,
  end       INTEGER NOT NULL,
  verdict   INTEGER NOT NULL,            -- 0 unchecked, 1 good, 2 bad
  joined    INTEGER NOT NULL DEFAULT 0,  -- 1 when nothing more is to be learned of its predecessor
  disowned  INTEGER NOT NULL DEFAULT 0,  -- 1 when its successor names another hash or signature
  faulty    INTEGER NOT NULL DEFAULT 0,  -- 1 when something is wrong around a signature that holds
  sha       BLOB,
  signature BLOB,
  prev_bucket TEXT,
  prev_key    TEXT,
  prev_sha    BLOB,
  prev_signature BLOB,
  logs      INTEGER NOT NULL DEFAULT 0,
  fingerprint TEXT,                      -- of the key that is not known yet, and when to ask for it
  key_time  INTEGER,
  seen      INTEGER NOT NULL,
  PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX digests_chain ON digests (chain, end);
CREATE INDEX digests_loose ON digests (source, end) WHERE joined = 0;
CREATE INDEX digests_unchecked ON digests (source, fingerprint) WHERE verdict = 0;

-- Logs that a good digest lists and that have not been seen.
CREATE TABLE awaited (
  source INTEGER NOT NULL,
  key    TEXT    NOT NULL,
  sha    BLOB    NOT NULL,
  digest TEXT    NOT NULL,
  due    INTEGER NOT NULL,
  told   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (source, key)
) WITHOUT ROWID;
CREATE INDEX awaited_due ON awaited (source, due) WHERE told = 0;

-- Logs that a digest lists which proves nothing yet, or no more: neither listed nor unlisted.
CREATE TABLE claimed (
  source INTEGER NOT NULL,
  key    TEXT    NOT NULL,
  digest TEXT    NOT NULL,
  PRIMARY KEY (source, key, digest)
) WITHOUT ROWID;
CREATE INDEX claimed_digest ON claimed (source, digest);

CREATE TABLE findings (
  id       TEXT PRIMARY KEY,
  kind     TEXT NOT NULL,
  severity TEXT NOT NULL,
  state    TEXT NOT NULL,
  subject  TEXT NOT NULL,
  account  TEXT,
  region   TEXT,
  trail    TEXT,
  bucket   TEXT,
  object   TEXT,
  hours    TEXT NOT NULL,                -- JSON array of times
  detail   TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  resolved_at INTEGER,
  note     TEXT,
  count    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX findings_state ON findings (state, last_seen);

CREATE TABLE outbox (
  id       INTEGER PRIMARY KEY,
  finding  TEXT    NOT NULL,
  channel  TEXT    NOT NULL,
  reason   TEXT    NOT NULL,
  repeat   INTEGER,                      -- seconds
  due      INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  state    TEXT    NOT NULL,             -- due, sent, dead
  error    TEXT,
  created  INTEGER NOT NULL,
  sent_at  INTEGER
);
CREATE INDEX outbox_due ON outbox (channel, due) WHERE state = 'due';
CREATE INDEX outbox_finding ON outbox (finding);

CREATE TABLE quarantine (
  id       TEXT PRIMARY KEY,
  source   INTEGER NOT NULL,
  message  TEXT    NOT NULL,
  body     BLOB    NOT NULL,
  reason   TEXT    NOT NULL,
  attempts INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  state    TEXT    NOT NULL              -- held, replayed, dropped
) WITHOUT ROWID;

CREATE TABLE members (
  account  TEXT PRIMARY KEY,
  name     TEXT NOT NULL,
  ou       TEXT,
  state    TEXT NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  present  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE keys (
  region   TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  der      BLOB NOT NULL,
  valid_from INTEGER,
  valid_to   INTEGER,
  first_seen INTEGER NOT NULL,
  PRIMARY KEY (region, fingerprint)
) WITHOUT ROWID;

-- Where long work goes on: backfill's finished folders, scrub's place.
CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;

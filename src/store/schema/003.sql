-- Rows without what repeats: most of a key says where the object lies, and its file name says that again. And tables for days
-- that are closed and folded away. `root`, `region`, `name` and `sha256` are functions of the program that migrates.

-- A root (`[prefix/]AWSLogs/[o-id/]account/`) and region. What has no such key lies at the place '', ''.
CREATE TABLE places (
  id     INTEGER PRIMARY KEY,
  source INTEGER NOT NULL,
  root   TEXT    NOT NULL,
  region TEXT    NOT NULL,
  UNIQUE (source, root, region)
);

-- The rows behind `objects`. `name` is the key in short: yyyymmdd, a letter for its folder, and the rest of the file name:
--   e i n a  events, insight, network activity, aggregated: hhmm and the unique part
--   E I N A  the same folders, in a name of another form: all between `account_` and `.json.gz`
--   d b      a digest, a backfill digest: hhmmss, trail, `_`, home region
-- At the place '', '' it is the whole key.
CREATE TABLE deliveries (
  place     INTEGER NOT NULL,
  name      TEXT    NOT NULL,
  version   TEXT    NOT NULL,            -- '' in an unversioned bucket
  kind      INTEGER NOT NULL,            -- 0 events, 1 insight, 2 network activity, 3 aggregated, 9 digest
  delivered INTEGER NOT NULL,            -- from the key
  state     INTEGER NOT NULL,            -- 0 admitted, 1 refused, 2 absent, 3 unusable
  listed    INTEGER NOT NULL DEFAULT 0,  -- 0 by no digest yet, 1 hash fits, 2 hash differs, 3 told as unlisted, 4 not expected, 5 unproven
  sha       BLOB,                        -- of the inflated first member
  size      INTEGER NOT NULL,
  etag,                                  -- bytes where it is an MD5, else text
  records   INTEGER NOT NULL DEFAULT 0,
  rejects   INTEGER NOT NULL DEFAULT 0,
  seen      INTEGER NOT NULL,
  removed   INTEGER,
  archived  INTEGER,
  PRIMARY KEY (place, name, version)
) WITHOUT ROWID;
CREATE INDEX deliveries_unlisted ON deliveries (place, delivered) WHERE listed = 0 AND kind = 0 AND state = 0;

INSERT INTO places (source, root, region) SELECT DISTINCT source, root(key), region(key) FROM objects;
INSERT INTO deliveries
  SELECT id, name(key), version, kind, delivered, state, listed, sha, size,
         CASE WHEN length(etag) = 32 AND etag NOT GLOB '*[^0-9a-f]*' THEN unhex(etag) ELSE etag END,
         records, rejects, seen, removed, archived
  FROM objects JOIN places ON places.source = objects.source AND root = root(key) AND places.region = region(key);
DROP TABLE objects;

-- What is known of each object, with its whole key.
CREATE VIEW objects AS SELECT
  source,
  CASE WHEN root = '' THEN name ELSE
    root || folder || '/' || region || '/' || substr(name, 1, 4) || '/' || substr(name, 5, 2) || '/' || substr(name, 7, 2) || '/' ||
    account || '_' || CASE
      WHEN letter GLOB '[A-Z]' THEN substr(name, 10)
      WHEN letter = 'd' THEN
        folder || '_' || region || '_' || substr(name, 16) || '_' || substr(name, 1, 8) || 'T' || substr(name, 10, 6) || 'Z'
      WHEN letter = 'b' THEN
        folder || '_' || region || '_' || substr(name, 16) || '_' || substr(name, 1, 8) || 'T' || substr(name, 10, 6) || 'Z_backfill'
      ELSE folder || '_' || region || '_' || substr(name, 1, 8) || 'T' || substr(name, 10, 4) || 'Z_' || substr(name, 14)
    END || '.json.gz'
  END AS key,
  version, kind, account, region, delivered, state, listed, sha, size,
  CASE typeof(etag) WHEN 'blob' THEN lower(hex(etag)) ELSE etag END AS etag,
  records, rejects, seen, removed, archived, place, name
FROM (
  SELECT deliveries.*, source, root, region, substr(root, -13, 12) AS account, substr(name, 9, 1) AS letter,
    CASE lower(substr(name, 9, 1))
      WHEN 'e' THEN 'CloudTrail'
      WHEN 'i' THEN 'CloudTrail-Insight'
      WHEN 'n' THEN 'CloudTrail-NetworkActivity'
      WHEN 'a' THEN 'CloudTrail-Aggregated'
      ELSE 'CloudTrail-Digest'
    END AS folder
  FROM deliveries JOIN places ON places.id = place
);

-- The rows behind `digests`: chain and end make the key.
CREATE TABLE links (
  chain     INTEGER NOT NULL REFERENCES chains (id),
  end       INTEGER NOT NULL,
  start     INTEGER NOT NULL,
  verdict   INTEGER NOT NULL,            -- 0 unchecked, 1 good, 2 bad
  joined    INTEGER NOT NULL DEFAULT 0,  -- 1 when nothing more is to be learned of its predecessor
  disowned  INTEGER NOT NULL DEFAULT 0,  -- 1 when its successor names another hash or signature
  faulty    INTEGER NOT NULL DEFAULT 0,  -- 1 when something is wrong around a signature that holds
  sha       BLOB,
  signature BLOB,                        -- its SHA-256
  prev_end  INTEGER,                     -- of its predecessor, where that is of the same chain
  prev_key  TEXT,                        -- else its key
  prev_sha  BLOB,
  prev_signature BLOB,                   -- its SHA-256
  logs      INTEGER NOT NULL DEFAULT 0,
  fingerprint TEXT,                      -- of the key that is not known yet, and when to ask for it
  key_time  INTEGER,
  seen      INTEGER NOT NULL,
  PRIMARY KEY (chain, end)
) WITHOUT ROWID;
CREATE INDEX links_loose ON links (end) WHERE joined = 0;
CREATE INDEX links_unchecked ON links (fingerprint) WHERE verdict = 0;

INSERT INTO links
  SELECT chain, end, start, verdict, joined, disowned, faulty, sha, sha256(signature), NULL, prev_key, prev_sha,
         sha256(prev_signature), logs, fingerprint, key_time, seen
  FROM digests;
DROP TABLE digests;

CREATE VIEW digests AS SELECT
  source,
  root || 'CloudTrail-Digest/' || region || strftime('/%Y/%m/%d/', end, 'unixepoch') || account || '_CloudTrail-Digest_' || region ||
    '_' || trail || '_' || home || strftime('_%Y%m%dT%H%M%SZ', end, 'unixepoch') || iif(backfill, '_backfill', '') || '.json.gz' AS key,
  links.*,
  CASE WHEN prev_end IS NULL THEN prev_key ELSE
    root || 'CloudTrail-Digest/' || region || strftime('/%Y/%m/%d/', prev_end, 'unixepoch') || account || '_CloudTrail-Digest_' ||
      region || '_' || trail || '_' || home || strftime('_%Y%m%dT%H%M%SZ', prev_end, 'unixepoch') || iif(backfill, '_backfill', '') ||
      '.json.gz'
  END AS previous
FROM links JOIN chains ON chains.id = chain;

-- What has been folded of a place and a day of its keys, in sum.
CREATE TABLE days (
  place   INTEGER NOT NULL,
  day     INTEGER NOT NULL,              -- yyyymmdd
  objects INTEGER NOT NULL,
  records INTEGER NOT NULL,
  rejects INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (place, day)
) WITHOUT ROWID;

-- And what is left of each of those objects: 8 bytes of its key's SHA-256 and 16 of its content's, sorted. A row is small enough
-- to share a page with others, so this is a table with row ids on purpose.
CREATE TABLE folded (
  place   INTEGER NOT NULL,
  day     INTEGER NOT NULL,
  first   BLOB    NOT NULL,              -- the first 8 bytes of `entries`
  entries BLOB    NOT NULL,
  PRIMARY KEY (place, day, first)
);

-- Proven stretches of a chain whose digests have been folded; those at their two ends are still in `links`.
CREATE TABLE spans (
  chain   INTEGER NOT NULL REFERENCES chains (id),
  start   INTEGER NOT NULL,
  end     INTEGER NOT NULL,
  digests INTEGER NOT NULL,
  logs    INTEGER NOT NULL,
  PRIMARY KEY (chain, start)
) WITHOUT ROWID;

CREATE INDEX findings_object ON findings (object) WHERE state <> 'resolved';

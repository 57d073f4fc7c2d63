-- Who was a member when, where in the organization and in which state; and which hours are proven.

-- The way from the root to the account's unit: a JSON array of {id, name}, empty where it is not known.
UPDATE members SET ou = '[]';
ALTER TABLE members ADD COLUMN joined INTEGER;

-- A stretch of time in which a member's state and unit were the same.
CREATE TABLE stays (
  account TEXT    NOT NULL,
  since   INTEGER NOT NULL,
  until   INTEGER,                       -- null: still so
  state   TEXT    NOT NULL,
  ou      TEXT    NOT NULL,              -- as in `members`
  PRIMARY KEY (account, since)
) WITHOUT ROWID;
INSERT INTO stays SELECT account, first_seen, iif(present, NULL, max(last_seen, first_seen)), state, '[]' FROM members;

-- The stretches of time that the good digests of a chain prove, whether folded or not: made of `links` and `spans`.
CREATE VIEW proof AS
  SELECT chain, min(start) AS start, max(end) AS end FROM (
    SELECT chain, start, end,
      sum(fresh) OVER (PARTITION BY chain ORDER BY start, end ROWS UNBOUNDED PRECEDING) AS stretch
    FROM (
      SELECT chain, start, end,
        ifnull(start > max(end) OVER (
          PARTITION BY chain ORDER BY start, end ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 1) AS fresh
      FROM (
        SELECT chain, start, end FROM links
        WHERE verdict = 1 AND NOT disowned AND end > start AND end - start <= 90000
        UNION ALL SELECT chain, start, end FROM spans)))
  GROUP BY chain, stretch;

-- The same, kept: a chain without a gap has one row, however long it is.
CREATE TABLE proven (
  chain INTEGER NOT NULL REFERENCES chains (id),
  start INTEGER NOT NULL,
  end   INTEGER NOT NULL,
  PRIMARY KEY (chain, start)
) WITHOUT ROWID;
INSERT INTO proven SELECT chain, start, end FROM proof;

CREATE INDEX chains_account ON chains (account);
-- Digests that prove nothing: few, and looked for where an hour is not proven.
CREATE INDEX links_unproven ON links (chain, end) WHERE verdict <> 1 OR disowned;

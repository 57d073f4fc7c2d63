-- Who reads the list to its end goes on behind it later: a number that was given is not given again when the list was empty.
ALTER TABLE unarchived RENAME TO before;
CREATE TABLE unarchived (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  place   INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  version TEXT    NOT NULL,
  UNIQUE (place, name, version)
);
INSERT INTO unarchived SELECT * FROM before ORDER BY id;
DROP TABLE before;

-- Who reads a list to its end and goes on behind it later: a number that was given is not given again when the list was empty.
CREATE TABLE listed (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  place   INTEGER NOT NULL,
  name    TEXT    NOT NULL,
  version TEXT    NOT NULL,
  UNIQUE (place, name, version)
);
INSERT INTO listed SELECT * FROM unarchived ORDER BY id;
DROP TABLE unarchived;
ALTER TABLE listed RENAME TO unarchived;

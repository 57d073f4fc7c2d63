-- In a flood one alert tells of many rows: the one that was sent is the others' `told_by`.
ALTER TABLE outbox ADD COLUMN told_by INTEGER;
CREATE INDEX outbox_told_by ON outbox (told_by) WHERE told_by IS NOT NULL;

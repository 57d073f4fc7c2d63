-- Which objects of which buckets were written and removed, by whom, in a time.
SELECT
  eventtime,
  eventname,
  json_extract_scalar(requestparameters, '$.bucketName') AS bucket,
  json_extract_scalar(requestparameters, '$.key') AS object,
  useridentity.arn AS principal
FROM cloudtrail_logs
WHERE eventname IN ('PutObject', 'DeleteObject')
  AND json_extract_scalar(requestparameters, '$.bucketName') IS NOT NULL
  AND from_iso8601_timestamp(eventtime) >= from_iso8601_timestamp('2026-03-01T00:00:00Z')
  AND from_iso8601_timestamp(eventtime) < from_iso8601_timestamp('2026-03-15T00:00:00Z')
ORDER BY eventtime, eventid;

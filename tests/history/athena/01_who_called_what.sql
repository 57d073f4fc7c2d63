-- Which identities called which operations from where: the guide's first template.
SELECT
  useridentity.arn,
  eventname,
  sourceipaddress,
  eventtime
FROM cloudtrail_logs
WHERE eventtime >= '2026-03-01T00:00:00Z'
  AND eventtime < '2026-04-01T00:00:00Z'
ORDER BY eventtime, eventid
LIMIT 100;

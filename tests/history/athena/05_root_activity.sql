-- What the root user did, and not a service for it.
SELECT
  eventtime,
  recipientaccountid,
  eventsource,
  eventname,
  sourceipaddress,
  useragent
FROM cloudtrail_logs
WHERE useridentity.type = 'Root'
  AND useridentity.invokedby IS NULL
  AND eventtype <> 'AwsServiceEvent'
ORDER BY eventtime, eventid;

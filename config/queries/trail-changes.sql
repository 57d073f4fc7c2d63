-- title: Who changed the trails
-- question: Which calls stopped, removed or changed what is recorded?
SELECT
  eventtime, recipientaccountid AS account, awsregion AS region, eventname, useridentity.arn AS principal,
  sourceipaddress, errorcode, requestparameters
FROM cloudtrail
WHERE eventsource = 'cloudtrail.amazonaws.com' AND coalesce(readonly, 'false') <> 'true'
ORDER BY eventtime, eventid;

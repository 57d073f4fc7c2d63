-- title: What root users did
-- question: Which calls did a root user make itself, in which account and from where?
SELECT recipientaccountid AS account, eventtime, eventsource, eventname, sourceipaddress, useragent, errorcode
FROM cloudtrail
WHERE useridentity.type = 'Root' AND useridentity.invokedby IS NULL AND coalesce(eventtype, '') <> 'AwsServiceEvent'
ORDER BY eventtime, eventid;

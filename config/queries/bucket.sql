-- title: Who touched a bucket
-- question: Which calls named this bucket, by whom, from where, how often?
-- param: bucket text its name
SELECT
  eventname, coalesce(useridentity.arn, useridentity.invokedby, useridentity.accountid) AS principal, sourceipaddress,
  errorcode, count(*) AS calls, min(eventtime) AS first_seen, max(eventtime) AS last_seen
FROM cloudtrail
WHERE eventsource = 's3.amazonaws.com' AND json_extract_scalar(requestparameters, '$.bucketName') = $bucket
GROUP BY 1, 2, 3, 4
ORDER BY calls DESC, eventname, principal, sourceipaddress, errorcode;

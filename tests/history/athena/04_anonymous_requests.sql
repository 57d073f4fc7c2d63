-- Anonymous (unsigned) requests to the objects of a bucket.
SELECT *
FROM (
  SELECT eventid, eventtime, sourceipaddress, requestparameters
  FROM cloudtrail_logs
  WHERE eventsource = 's3.amazonaws.com'
    AND eventname IN ('GetObject')
    AND useridentity.accountid = 'anonymous'
    AND useridentity.arn IS NULL
    AND requestparameters LIKE '%"bucketName":"example-bucket"%'
)
ORDER BY eventtime, eventid;

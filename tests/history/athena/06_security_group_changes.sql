-- Who changed a security group.
SELECT
  eventname,
  useridentity.username,
  useridentity.arn,
  sourceipaddress,
  eventtime,
  requestparameters
FROM cloudtrail_logs
WHERE eventsource = 'ec2.amazonaws.com'
  AND (eventname LIKE '%SecurityGroupIngress' OR eventname LIKE '%SecurityGroupEgress')
  AND requestparameters LIKE '%sg-5887f224%'
  AND eventtime > '2026-02-15T00:00:00Z'
ORDER BY eventtime ASC, eventid;
